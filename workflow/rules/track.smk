from nerva.experiment.tracking import store_exists

# The marker of a sweep that is logged. Another store has another marker.
MARKER = SWEEP_DIR / f"tracked-{digest(CONFIG.tracking.uri)[:8]}.txt"
STORE_MISSING = CONFIG.tracking.enabled and not store_exists(CONFIG.tracking.uri)
# Creating a database takes seconds. This job does it while the first runs train.
STORE = [LOGS / "track" / f"{CALL}.store"] if STORE_MISSING else []
if STORE_MISSING:
    # All runs must be logged again. A dry run deletes no marker. It uses one that does not exist, so that Snakemake lists
    # the job.
    if EXECUTING:
        MARKER.unlink(missing_ok=True)
    elif LOOKING:
        MARKER = MARKER.with_suffix(".missing")
TRACKED = [MARKER] if CONFIG.tracking.enabled else []


rule store:
    output:
        # Not temp: Snakemake keeps what the target needs. The end of the pipeline deletes it.
        touch(LOGS / "track" / "{call}.store"),
    log:
        LOGS / "track" / "{call}.store.log",
    priority: 1
    retries: 0
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
    retries: 0
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Logging {len(PLAN.points)} runs to {private(CONFIG.tracking.uri)}"
    shell:
        "nerva track {params.arguments} > {output:q} 2> {log:q}"
