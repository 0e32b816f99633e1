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
        # Exit code 3: the run diverged. That is a result, which the run's folder and the leaderboard show. A run with a
        # record is complete, whatever happened to the process afterwards; if the job failed, Snakemake would delete it. With
        # force=true, the record may be that of the run before.
        "nerva train {params.overrides} > {log:q} 2>&1 || [ $? = 3 ] || "
        + ("false" if CONFIG.force else "[ -e {output.record:q} ]")
