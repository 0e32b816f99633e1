FORCING = ("-R", "--forcerun", "-F", "--forceall")
if CONFIG.force and EXECUTING and not any(word.startswith(FORCING) for word in sys.argv):
    raise WorkflowError("force=true trains runs again only if Snakemake is told to run the rule: add --forcerun train")


rule train:
    input:
        # ancient: the id of the run contains the checksum of the data, so that the time of the file does not matter.
        ancient(DATA),
    output:
        # update: existing files are not deleted first. Another process, such as a multirun of Hydra, may be training this
        # run; `nerva train` then waits for it, and finds the run complete.
        config=update(RUN.config),
        provenance=update(RUN.provenance),
        code=update(RUN.code),
        metrics=update(RUN.metrics),
        weights=update(RUN.weights),
        best=update(RUN.best),
        record=update(RUN.record),
    log:
        LOGS / "train" / "{run}.log",
    threads: 1
    resources:
        mem_mb=1500,
    params:
        overrides=overrides,
        point=point,
    message:
        "Training run {wildcards.run}: {params.point}"
    shell:
        # 3: the run diverged. That is a result, which the run's folder and the leaderboard show.
        # 28: the disk is full. No other job could write its results, so that Snakemake is asked to stop.
        # Otherwise: a run with a record is complete, whatever happened to the process afterwards. If the job failed,
        # Snakemake would delete the run. With force=true, the record may be that of the run before.
        "nerva train {params.overrides} > {log:q} 2>&1 || case $? in"
        " 3) ;;"
        " 28) kill -TERM $PPID; exit 28 ;;"
        " *) " + ("false" if CONFIG.force else "[ -e {output.record:q} ]") + " ;; esac"
