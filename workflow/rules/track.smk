TRACKED = [SWEEP / "tracked.txt"] if CONFIG.tracking.enabled else []


rule track:
    input:
        SUMMARIES,
    output:
        SWEEP / "tracked.txt",
    log:
        RESULTS / "logs" / "track" / f"{CONFIG.title}.log",
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Logging {len(POINTS)} runs to {CONFIG.tracking.uri}"
    shell:
        "nerva track {params.arguments} > {output} 2> {log}"
