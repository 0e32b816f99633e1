# What was logged to another store, or to one that is gone, is still to be logged.
MARKER = SWEEP / f"tracked-{digest(CONFIG.tracking.uri)[:8]}.txt"
TRACKED = [MARKER] if CONFIG.tracking.enabled else []
if CONFIG.tracking.uri.startswith("sqlite:///") and not Path(CONFIG.tracking.uri.removeprefix("sqlite:///")).exists():
    MARKER.unlink(missing_ok=True)


rule track:
    input:
        SUMMARIES,
    output:
        MARKER,
    log:
        RESULTS / "logs" / "track" / f"{CONFIG.title}.log",
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Logging {len(POINTS)} runs to {private(CONFIG.tracking.uri)}"
    shell:
        "nerva track {params.arguments} > {output:q} 2> {log:q}"
