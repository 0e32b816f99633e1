# `snakemake search` searches for good values, in rounds of as many trials as there are cores. It is not part of `all`.
# The space is what `search` names, together with the sweep of the experiment.
rule search:
    input:
        # ancient: the id of a run depends on the checksum of the data, so the time of the file does not matter.
        ancient(DATA),
    log:
        LOGS / "search" / f"{CONFIG.title}.log",
    # A repeated call continues the search, or extends it.
    retries: 0
    # Unset if no jobs run, as with --report.
    threads: RESOURCES.cores or 1
    params:
        arguments=shlex.join(
            [
                # In two parts: Snakemake's lint takes a plus sign after a quote for the composition of a path.
                "+" f"experiment={config['experiment']}",
                *map(without_credentials, OVERRIDES),
                *SPACE,
            ]
        ),
        trials=f"--trials {config['trials']}" if "trials" in config else "",
        sampler=config["sampler"],
        pruner=config["pruner"],
    message:
        f"Searching with {CONFIG.title}"
    shell:
        "nerva search {params.arguments} {params.trials} --sampler {params.sampler} --pruner {params.pruner}"
        " --jobs {threads} 2>&1 | tee {log:q}"
