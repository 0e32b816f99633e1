"""Logging the runs of sweeps that MLflow does not have."""

from collections.abc import Callable, Iterable

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import SweepRecord, read_sweeps
from nerva.experiment.report.text import plural
from nerva.experiment.sweep.plan import Plan
from nerva.experiment.tracking import create_database, track

Say = Callable[[str], object]


def log_plan(plan: Plan, say: Say) -> None:
    """Log the runs of a plan that have ended.

    Raises:
        NervaError: if tracking is off, no run has been trained, a record is damaged, or the store refuses.
    """
    config = plan.config
    record = SweepRecord(config.title, config.question, plan.sweep, [point.run_id for point in plan.points])
    if not _ended(record, config.results_dir):
        raise NervaError(
            f"none of the {len(plan.points)} runs of {config.title} has been trained yet; train them first"
        )
    plan.record()
    log_sweeps([record], config, say, frozenset(config.imports))


def log_all(config: Config, say: Say) -> None:
    """Log all runs in the results that have ended, each in the experiments for which it was trained.

    Raises:
        NervaError: if tracking is off, there are no runs, a record is damaged, or the store refuses.
    """
    records = read_sweeps(config.results_dir)
    if not any(_ended(record, config.results_dir) for record in records):
        raise NervaError(f"there are no runs in {config.results_dir}; train some first")
    log_sweeps(records, config, say)


def create_store(config: Config) -> None:
    """Create the database of a configuration, unless it exists.

    Raises:
        NervaError: if tracking is off, or the store refuses.
    """
    _require_tracking(config)
    create_database(config.tracking.uri, config.results_dir)


def _require_tracking(config: Config) -> None:
    if not config.tracking.enabled:
        raise NervaError("tracking is off; use tracking=mlflow")


def log_sweeps(
    records: Iterable[SweepRecord], config: Config, say: Say, trusted_imports: frozenset[str] = frozenset()
) -> None:
    """Log the runs of sweeps that have ended.

    Args:
        records: the sweeps.
        config: where the results and the store are.
        say: prints a line.
        trusted_imports: the user-defined modules that may be imported.

    Raises:
        NervaError: if tracking is off, a record is damaged, or the store refuses.
    """
    tracking, problems = config.tracking, []
    _require_tracking(config)
    for record in records:
        folders = _ended(record, config.results_dir)
        if not folders:
            continue
        try:
            logged = track(
                folders,
                record.title,
                tracking.uri,
                config.results_dir,
                record.sweep,
                record.question,
                trusted_imports=trusted_imports,
                models=tracking.models,
            )
        except NervaError as error:
            problems += str(error).splitlines()
            continue
        done = f"{plural(logged, 'run')} logged to {private(tracking.uri)}"
        say(f"{record.title}: {done}, {plural(len(folders) - logged, 'run')} already logged")
        if len(folders) < len(record.runs):
            say(f"{len(record.runs) - len(folders)} of {len(record.runs)} runs have not been trained yet")
    if problems:
        raise NervaError("\n".join(dict.fromkeys(problems)))


def _ended(record: SweepRecord, results_dir: str) -> list[RunFolder]:
    """The runs that no process is training: those that are complete, and those that were interrupted."""
    return [folder for run_id in record.runs if (folder := RunFolder.of(results_dir, run_id)).has_stopped()]
