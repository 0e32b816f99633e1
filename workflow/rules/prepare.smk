rule prepare:
    output:
        # update: what is there stays there, as somebody may be reading it.
        npz=update(DATA),
        provenance=report(
            update(DATA.with_suffix(".json")),
            caption="../report/data.rst",
            category="The data",
            labels={"": "provenance"},
        ),
    log:
        RESULTS / "logs" / "prepare" / f"{CONFIG.data.name}.log",
    threads: 1
    resources:
        mem_mb=2000,
    params:
        # Of the overrides, those that say where the data come from, and where they go.
        arguments=shlex.join(
            [CONFIG.data.name, *(o for o in FIRST.overrides if o.startswith(("data.", "results_dir=")))]
        ),
    message:
        f"Preparing {CONFIG.data.title}"
    shell:
        # What it says on the way, a progress bar among it, goes to the terminal.
        "nerva prepare {params.arguments} | tee {log:q}"
