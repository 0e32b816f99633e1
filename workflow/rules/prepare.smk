rule prepare:
    output:
        # update: an existing file is not deleted first, because another process may be reading it.
        npz=update(DATA),
        provenance=report(
            update(DATA.with_suffix(".json")),
            caption="../report/data.rst",
            category="The data",
            labels={"": "provenance"},
        ),
    log:
        LOGS / "prepare" / f"{CONFIG.data.name}.log",
    retries: 0
    threads: 1
    resources:
        mem_mb=2000,
    params:
        # The overrides that determine the source of the data and their folder.
        arguments=shlex.join(
            [
                next(o.removeprefix("data=") for o in PLAN.points[0].overrides if o.startswith("data=")),
                *(o for o in PLAN.points[0].overrides if o.lstrip("+").startswith(("data.", "results_dir="))),
            ]
        ),
    message:
        f"Preparing {CONFIG.data.title}"
    shell:
        # Messages, and the progress bar of a download, also go to the terminal.
        "nerva prepare {params.arguments} | tee {log:q}"
