"""The runs of a comparison: those of a plan, or those of a recorded sweep, which other code may have trained."""

from dataclasses import dataclass
from pathlib import Path

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.search_record import SearchRecord, read_search, search_path
from nerva.experiment.records.sweep_record import SweepRecord, read_sweeps
from nerva.experiment.report.text import plural
from nerva.experiment.sweep.plan import Plan


@dataclass(frozen=True)
class ComparedRuns:
    """The runs of a comparison, and the folder to which it is written."""

    folders: list[RunFolder]
    sweep_id: str
    results: Path
    search: SearchRecord | None = None  # if the sweep is a search


def compared_runs(plan: Plan, sweep_id: str | None, train_command: str) -> ComparedRuns:
    """The runs to compare.

    Args:
        plan: the plan of the experiment.
        sweep_id: a recorded sweep of this experiment. Default: the sweep of the plan.
        train_command: the command that trains the plan, for the message.

    Raises:
        NervaError: if a run of the plan has not been trained, no such sweep is recorded, or it is a search of which
            no run has ended.
    """
    title, results_dir = plan.config.title, Path(plan.config.results_dir)
    if sweep_id is None:
        missing = [folder for folder in plan.folders if not folder.record.exists()]
        if missing:
            message = f"{len(missing)} of {plural(len(plan.points), 'run')} of {title} are not trained yet"
            raise NervaError(f"{message}; try: {train_command}{_others(plan)}")
        return ComparedRuns(plan.folders, plan.sweep.id, plan.results)
    recorded = {record.sweep.id: record for record in _sweeps(plan)}
    if sweep_id not in recorded:
        raise NervaError(f"there is no sweep {sweep_id} of {title}; recorded are: {', '.join(recorded) or 'none'}")
    results = results_dir / f"{title}-{sweep_id}"
    if search := read_search(search_path(results_dir, title, sweep_id)):
        return ComparedRuns(ended_runs(search, results_dir), sweep_id, results, search)
    folders = [RunFolder.of(results_dir, run_id) for run_id in recorded[sweep_id].runs]
    return ComparedRuns(folders, sweep_id, results)


def ended_runs(search: SearchRecord, results_dir: str | Path) -> list[RunFolder]:
    """The runs of a search that have ended, each once: several trials may have the same values.

    Raises:
        NervaError: if there are none; the message says why trials failed.
    """
    run_ids = dict.fromkeys(trial.run_id for trial in search.trials if trial.run_id)
    folders = [RunFolder.of(results_dir, run_id) for run_id in run_ids]
    if ended := [folder for folder in folders if folder.record.exists()]:
        return ended
    raise NervaError(f"no run of search {search.sweep.id} has ended: {search.failures or 'it was interrupted'}")


def _sweeps(plan: Plan) -> list[SweepRecord]:
    """The recorded sweeps of an experiment."""
    records = read_sweeps(plan.config.results_dir)
    return [record for record in records if record.title == plan.config.title and record.sweep.id]


def _others(plan: Plan) -> str:
    """A hint at recorded sweeps of the same experiment."""
    known = {point.run_id for point in plan.points}
    others = [record for record in _sweeps(plan) if not known.issuperset(record.runs)]
    lines = [
        f"\n{plural(len(record.runs), 'run')} of a sweep with other code or values are recorded; to compare them, add "
        f"--sweep {record.sweep.id} ({record.sweep.name})"
        for record in others[-5:]
    ]
    return "".join(lines)
