FORCING = ("-R", "--forcerun", "-F", "--forceall")
if CONFIG.force and workflow.is_main_process and not any(word.startswith(FORCING) for word in sys.argv):
    raise WorkflowError("force=true makes runs again if Snakemake asks for them: add --forcerun train, and it does")


rule train:
    input:
        # The run's id has the data's checksum: that the file was made again means nothing.
        ancient(DATA),
    output:
        # update: what is there stays there. Somebody else, such as Hydra's multirun, may be making this very run;
        # `nerva train` waits then, and finds it done.
        config=update(RUN.config),
        provenance=update(RUN.provenance),
        code=update(RUN.code),
        metrics=update(RUN.metrics),
        weights=update(RUN.weights),
        best=update(RUN.best),
        summary=update(RUN.summary),
    log:
        RESULTS / "logs" / "train" / "{run}.log",
    threads: 1
    resources:
        mem_mb=1500,
    params:
        overrides=overrides,
        point=point,
    message:
        "Training run {wildcards.run}: {params.point}"
    shell:
        # 3: the run diverged. That is a result, which its folder says and the leaderboard shows. And a run that is
        # there is whole, whatever became of the process that made or awaited it: of a job that fails, Snakemake takes
        # the files away, also those of others. (One that is to be made again was there before.)
        "nerva train {params.overrides} > {log:q} 2>&1 || [ $? = 3 ] || "
        + ("false" if CONFIG.force else "[ -e {output.summary:q} ]")
