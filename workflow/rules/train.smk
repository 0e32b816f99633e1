# The missing runs are trained in batches: a job trains the runs of a batch one after another.
# Calls such as `snakemake --report` have neither cores nor nodes.
WORKERS = max(RESOURCES.cores or 1, RESOURCES.nodes or 1)
# The records of existing runs that are not trained again, by run id.
KEPT = {
    point.run_id: record for point in PLAN.points if not CONFIG.force and (record := point.folder.complete_record())
}
MISSING = [point for point in PLAN.points if point.run_id not in KEPT]
# Only the main process creates batches. A job of a cluster gets the name of its batch as a wildcard.
TRAIN_BATCHES = []
if workflow.is_main_process and not SEARCHING:
    SIZE = None if config["batch"] == "auto" else config["batch"]
    TRAIN_BATCHES = name_batches(split_into_batches(MISSING, WORKERS, SIZE, ON_CLUSTER), LOGS / "train")
# The rules that follow take these as inputs, so that they run again if the record of a run changes.
TRAINED = [
    *(LOGS / "train" / f"{batch}.done" for batch in TRAIN_BATCHES),
    *(point.folder.record for point in PLAN.points if point.run_id in KEPT),
]


rule train:
    input:
        # ancient: the id of a run depends on the checksum of the data, so the time of the file does not matter.
        ancient(DATA),
    output:
        # Runs are not outputs of this rule, because Snakemake deletes the outputs of a failed job. A repeated call trains
        # only the missing runs.
        touch(LOGS / "train" / "{batch}.done"),
    log:
        LOGS / "train" / "{batch}.log",
    threads: 1
    resources:
        **resources_of_batches(LOGS / "train"),
    params:
        plan=str(LOGS / "train" / "{batch}.plan"),
    message:
        "Training the runs of batch {wildcards.batch}"
    shell:
        # Exit code 3: some runs diverged. The job counts as successful: the leaderboard shows these runs.
        # Exit code 28: the disk is full. No other job could write its results, so Snakemake is asked to stop. (On a cluster,
        # that is the process of this job only.)
        "nerva train --plan {params.plan:q} > {log:q} 2>&1 || case $? in"
        " 3) ;;"
        " 28) kill -TERM $PPID; exit 28 ;;"
        " *) false ;; esac"
