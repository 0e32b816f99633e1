# `snakemake replay` trains runs again from their records and compares. It is not part of `all`.
import random
import re

VERDICTS = LOGS / "replay" / f"{SWEEP_DIR.name}.log"
REPLAYING = "replay" in sys.argv
ESCAPED = re.sub(r"(['\\])", r"\\\1", str(RESULTS))  # in quotes, as Hydra reads it

# A verdict is valid for one call: each call replays again.
if REPLAYING and EXECUTING:
    for verdict in (VERDICTS, *(LOGS / "replay").glob("*.txt")):
        verdict.unlink(missing_ok=True)


rule replay_run:
    input:
        *RUN.evidence,
        RUN.record,
        DATA,
    output:
        LOGS / "replay" / "{run}.txt",
    log:
        LOGS / "replay" / "{run}.log",
    threads: 1
    resources:
        mem_mb=1500,
    params:
        results=shlex.quote(f"results_dir='{ESCAPED}'"),
        # The user's own overrides name these modules.
        trust="--trust" if CONFIG.imports else "",
    message:
        "Replaying run {wildcards.run}"
    shell:
        "nerva replay {wildcards.run} {params.trust} {params.results} 2>&1 | tee {log:q} > {output:q}"


rule replay:
    input:
        lambda wildcards: [
            LOGS / "replay" / f"{run}.txt"
            for run in random.sample(list(POINTS), min(config["sample"] or len(POINTS), len(POINTS)))
        ],
    log:
        VERDICTS,
    threads: 1
    resources:
        mem_mb=100,
    message:
        "All replayed runs are identical"
    shell:
        "cat {input:q} > {log:q}"
