# `snakemake replay`: is it true? Trains runs again from what was recorded, and compares. Not a part of `all`.
import random
import sys

VERDICTS = RESULTS / "logs" / "replay" / f"{CONFIG.title}.log"
REPLAYING = "replay" in sys.argv

# A verdict holds for the moment: each call asks anew.
if REPLAYING:
    for verdict in (VERDICTS, *(RESULTS / "logs" / "replay").glob("*.txt")):
        verdict.unlink(missing_ok=True)


rule replay_run:
    input:
        *RUN.evidence,
        RUN.summary,
        DATA,
    output:
        RESULTS / "logs" / "replay" / "{run}.txt",
    log:
        RESULTS / "logs" / "replay" / "{run}.log",
    threads: 1
    resources:
        mem_mb=1500,
    params:
        results=shlex.quote(f"results_dir='{RESULTS}'"),
    message:
        "Replaying run {wildcards.run}"
    shell:
        "nerva replay {wildcards.run} {params.results} 2>&1 | tee {log:q} > {output:q}"


rule replay:
    input:
        lambda wildcards: [
            RESULTS / "logs" / "replay" / f"{run}.txt"
            for run in random.sample(list(POINTS), min(config["sample"] or len(POINTS), len(POINTS)))
        ],
    log:
        VERDICTS,
    threads: 1
    resources:
        mem_mb=100,
    message:
        "Every replayed run is identical"
    shell:
        "cat {input:q} > {log:q}"
