# The missing runs are trained in batches: a job trains the runs of a batch one after another.
# Calls such as `snakemake --report` have neither cores nor nodes.
PARALLEL = max(workflow.resource_settings.cores or 1, workflow.resource_settings.nodes or 1)
# The results of the runs that exist and are kept, by the ids of the runs.
KEPT = {
    point.run_id: record for point in SWEEP.points if not CONFIG.force and (record := point.folder.complete_record())
}
MISSING = [point for point in SWEEP.points if point.run_id not in KEPT]
# The process of a job on another machine gets its batch by name.
BATCHES = (
    write_batches(batches(MISSING, PARALLEL, None if config["batch"] == "auto" else config["batch"]), LOGS / "train")
    if workflow.is_main_process
    else []
)
# A run that exists is an input, so that its comparison is repeated if the run has changed.
TRAINED = [
    *(LOGS / "train" / f"{batch}.done" for batch in BATCHES),
    *(point.folder.record for point in SWEEP.points if point.run_id in KEPT),
]


rule train:
    input:
        # ancient: the id of a run contains the checksum of the data, so that the time of the file does not matter.
        ancient(DATA),
    output:
        # The runs are no outputs: Snakemake deletes outputs if the job fails, and a batch goes on with what is missing.
        touch(LOGS / "train" / "{batch}.done"),
    log:
        LOGS / "train" / "{batch}.log",
    threads: 1
    resources:
        mem_mb=1500,
    params:
        plan=str(LOGS / "train" / "{batch}.plan"),
    message:
        "Training the runs of batch {wildcards.batch}"
    shell:
        # 3: runs diverged. That is a result, which their folders and the leaderboard show.
        # 28: the disk is full. No other job could write its results, so that Snakemake is asked to stop.
        "nerva train --plan {params.plan:q} > {log:q} 2>&1 && rm -f {params.plan:q} || case $? in"
        " 3) ;;"
        " 28) kill -TERM $PPID; exit 28 ;;"
        " *) false ;; esac"
