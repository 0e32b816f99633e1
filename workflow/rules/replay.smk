# `snakemake replay` trains runs again from their records and compares. It is not part of `all`.
import random

VERDICTS = LOGS / "replay" / f"{SWEEP_DIR.name}.log"
REPLAYING = "replay" in sys.argv
SAMPLE = random.sample(PLAN.points, min(config["sample"] or len(PLAN.points), len(PLAN.points)))
REPLAYED = (
    name_batches(split_into_batches(SAMPLE, WORKERS, on_cluster=ON_CLUSTER), LOGS / "replay")
    if REPLAYING and workflow.is_main_process
    else []
)

# A verdict is valid for one call: each call replays again.
if REPLAYING and EXECUTING:
    VERDICTS.unlink(missing_ok=True)


rule replay_batch:
    input:
        TRAINED,
        DATA,
    output:
        temp(LOGS / "replay" / "{batch}.txt"),
    log:
        LOGS / "replay" / "{batch}.log",
    # A replay that differs would differ again.
    retries: 0
    threads: 1
    resources:
        **resources_of_batches(LOGS / "replay"),
    params:
        plan=str(LOGS / "replay" / "{batch}.plan"),
        # The user's own overrides name these modules.
        trust="--trust" if CONFIG.imports else "",
    message:
        "Replaying the runs of batch {wildcards.batch}"
    shell:
        "nerva replay --plan {params.plan:q} {params.trust} 2>&1 | tee {log:q} > {output:q}"


rule replay:
    input:
        [LOGS / "replay" / f"{batch}.txt" for batch in REPLAYED],
    log:
        VERDICTS,
    threads: 1
    resources:
        mem_mb=100,
    message:
        "All replayed runs are identical"
    shell:
        "cat {input:q} > {log:q}"
