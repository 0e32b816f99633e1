# The marker of a sweep that is logged. Another store has another marker.
MARKER = SWEEP_DIR / f"tracked-{digest(CONFIG.tracking.uri)[:8]}.txt"
if CONFIG.tracking.uri.startswith("sqlite:///") and not Path(CONFIG.tracking.uri.removeprefix("sqlite:///")).exists():
    # The database is missing, so that the runs have to be logged again. A dry run shows that without deleting the marker.
    if EXECUTING:
        MARKER.unlink(missing_ok=True)
    else:
        MARKER = MARKER.with_suffix(".missing")
TRACKED = [MARKER] if CONFIG.tracking.enabled else []


rule track:
    input:
        RECORDS,
    output:
        MARKER,
    log:
        LOGS / "track" / f"{SWEEP_DIR.name}.log",
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Logging {len(POINTS)} runs to {private(CONFIG.tracking.uri)}"
    shell:
        "nerva track {params.arguments} > {output:q} 2> {log:q}"
