from nerva.experiment.tracking import store_exists

# The marker of a sweep that is logged. Another store has another marker.
MARKER = SWEEP_DIR / f"tracked-{digest(CONFIG.tracking.uri)[:8]}.txt"
FRESH = CONFIG.tracking.enabled and not store_exists(CONFIG.tracking.uri)
if FRESH:
    # The database is missing, so that the runs have to be logged again. A dry run shows that without deleting the marker.
    if EXECUTING:
        MARKER.unlink(missing_ok=True)
    else:
        MARKER = MARKER.with_suffix(".missing")
TRACKED = [MARKER] if CONFIG.tracking.enabled else []
# A fresh database takes seconds to create, while the first runs train.
STORE = [LOGS / "track" / f"{SWEEP_DIR.name}.store"] if FRESH else []


rule store:
    output:
        temp(touch(LOGS / "track" / "{sweep}.store")),
    log:
        LOGS / "track" / "{sweep}.store.log",
    priority: 1
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Creating the database {private(CONFIG.tracking.uri)}"
    shell:
        "nerva track --create {params.arguments} > {log:q} 2>&1"


rule track:
    input:
        TRAINED,
    output:
        MARKER,
    log:
        LOGS / "track" / f"{SWEEP_DIR.name}.log",
    # If the database is still being created, this job imports MLflow meanwhile, and then waits.
    priority: 1
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Logging {len(SWEEP.points)} runs to {private(CONFIG.tracking.uri)}"
    shell:
        "nerva track {params.arguments} > {output:q} 2> {log:q}"
