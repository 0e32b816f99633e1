"""Finding recorded runs by their experiment, dataset or sweep."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import SweepRecord, read_sweeps
from nerva.experiment.report.loading import load_runs
from nerva.experiment.report.text import plural
from nerva.experiment.sweep.results import Run, Runs

_SHOWN_DAMAGED = 10


def recorded_runs(
    results: str | Path | None = None, experiment: str | None = None, data: str | None = None, sweep: str | None = None
) -> Runs:
    """The recorded runs that have ended; see `nerva.experiment.runs`."""
    folder = Path(os.environ.get("NERVA_RESULTS_DIR") or "results" if results is None else results)
    if not folder.is_dir():
        raise NervaError(f"there is no folder {folder} with results; results=... names another")
    found = [RunFolder(path.parent) for path in sorted(folder.glob("runs/*/run.json"))]
    if not found:
        raise NervaError(f"no run in {folder} has ended; train some first")
    name = " ".join(filter(None, (data, experiment, sweep))) or str(folder)
    if experiment is None and sweep is None:
        loaded = load(found, name, level=4)
    else:
        records = _matching(read_sweeps(folder, found), folder, experiment, data, sweep)
        ended = {run.run_id: run for run in found}
        wanted = [ended[run_id] for run_id in dict.fromkeys(i for r in records for i in r.runs) if run_id in ended]
        if not wanted:
            raise NervaError(f"no run of {name} in {folder} has ended; train some first")
        loaded = load(wanted, name, level=4)
        if experiment is not None:
            # A title joins two names by a hyphen, which both may contain.
            titles: dict[str, set[str]] = {}
            for record in records:
                titles.setdefault(record.title, set()).update(record.runs)
            chosen = [r for r in loaded if r.id in titles.get(f"{r.config.data.name}-{experiment}", ())]
            loaded = Runs(chosen, name)
            if not chosen:
                raise _unknown("experiment", experiment, records, folder)
    if data is not None:
        names = sorted({run.config.data.name for run in loaded})
        loaded = Runs([run for run in loaded if run.config.data.name == data], name)
        if not loaded:
            raise NervaError(f'there are no runs on the dataset "{data}"; there are some on: {", ".join(names)}')
    return loaded


def _matching(
    records: Sequence[SweepRecord], folder: Path, experiment: str | None, data: str | None, sweep: str | None
) -> list[SweepRecord]:
    """The sweeps of an experiment or with an id; a NervaError if there are none."""
    matching = list(records)
    if experiment is not None:
        matching = [record for record in matching if record.title.endswith(f"-{experiment}")]
        if not matching:
            raise _unknown("experiment", experiment, records, folder)
    if sweep is not None:
        known = matching
        matching = [r for r in known if r.sweep.id and sweep in (r.sweep.id, f"{r.title}-{r.sweep.id}")]
        if not matching:
            raise _unknown("sweep", sweep, known, folder)
    return matching


def _unknown(what: str, name: str, records: Sequence[SweepRecord], folder: Path) -> NervaError:
    known = {record.title: record.sweep.id for record in records}
    listed = sorted(known) if what == "experiment" else [f"{r.sweep.id} ({r.title})" for r in records if r.sweep.id]
    return NervaError(f'no run in {folder} is recorded for the {what} "{name}"; recorded are: {_listed(listed)}')


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:30]) + (", …" if len(texts) > 30 else "") or "none"


def load(folders: Sequence[RunFolder], name: str, trusted: frozenset[str] = frozenset(), level: int = 3) -> Runs:
    """Load runs that have ended. Damaged runs are left out, and named in a warning.

    Args:
        folders: the runs.
        name: what they are, for messages.
        trusted: the user-defined modules that the caller's own configuration names.
        level: how many calls above this one the warning is shown; see `warnings.warn`.

    Raises:
        NervaError: if all runs are damaged.
    """
    loaded, damaged = load_runs(folders)
    if damaged:
        lines = [f"\n  {run.run_id}: {run.reason}" for run in damaged[:_SHOWN_DAMAGED]]
        if more := len(damaged) - len(lines):
            lines.append(f"\n  and {more} more")
        text = f"{len(damaged)} of {plural(len(folders), 'run')} of {name} left out:{''.join(lines)}"
        if not loaded:
            raise NervaError(text)
        warnings.warn(text, stacklevel=level)
    return Runs([Run(run, trusted) for run in loaded], name)
