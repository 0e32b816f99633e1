rule prepare:
    output:
        npz=DATA,
        provenance=DATA.with_suffix(".json"),
    log:
        RESULTS / "logs" / "prepare" / f"{CONFIG.data.name}.log",
    threads: 1
    resources:
        mem_mb=2000,
    params:
        # Of the overrides, those that say where the data come from.
        arguments=shlex.join([CONFIG.data.name, *(o for o in FIRST.overrides if o.startswith("data."))]),
    message:
        f"Preparing {CONFIG.data.title}"
    shell:
        # A progress bar is for the terminal, the rest for the log, too.
        "nerva prepare {params.arguments} 2>&1 | tee {log}"
