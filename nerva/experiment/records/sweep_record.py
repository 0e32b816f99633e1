"""Which runs belong to which sweep: `results/sweeps/`, one file per sweep.

A run's folder says what the run is, not what it is for: one run may be a point of several sweeps and experiments. From
these files, MLflow's database can be filled again as it was.
"""

import functools
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nerva.data.locks import locked
from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.files import read_record, write_record
from nerva.experiment.records.run_folder import RunFolder


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True)
class SweepRecord:
    """The runs of a sweep. The runs of an experiment that were started alone have a record whose sweep has no id."""

    title: str  # the dataset and the experiment
    question: str = ""
    sweep: Sweep = field(default_factory=Sweep)
    runs: list[str] = field(default_factory=list)  # ids, in the order of the sweep
    first: str = field(default_factory=_now)  # when the sweep was first asked for


def record_sweep(
    results_dir: str | Path, title: str, sweep: Sweep, question: str = "", run_ids: Sequence[str] = ()
) -> None:
    """Record that runs belong to a sweep, in addition to those that are recorded already."""
    folder = Path(results_dir) / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f"{title}-{sweep.id}.json" if sweep.id else f"{title}.json")
    with locked(folder / ".lock"):
        before = _read(path) if path.exists() else None
        known = before or SweepRecord(title, question, sweep)
        new = SweepRecord(
            title,
            question or known.question,
            Sweep(sweep.id, sweep.name or known.sweep.name),
            list(dict.fromkeys((*known.runs, *run_ids))),
            known.first,
        )
        if new != before:
            write_record(path, new)


def read_sweeps(results_dir: str | Path, folders: Sequence[RunFolder] | None = None) -> list[SweepRecord]:
    """The records of all sweeps, oldest first.

    Runs that were copied here from elsewhere have no file in `results/sweeps/`. Their provenance says for which sweep
    they were trained first.

    Args:
        results_dir: the folder of all results.
        folders: the runs whose provenance is read. Default: all runs.
    """
    files = sorted((Path(results_dir) / "sweeps").glob("*.json"))
    found = {(record.title, record.sweep.id): record for file in files if (record := _read(file))}
    if folders is None:
        folders = [RunFolder(path.parent) for path in sorted(Path(results_dir).glob("runs/*/run.json"))]
    for folder in folders:
        own = _first_sweep(folder)
        if own is None:
            continue
        known = found.setdefault((own.title, own.sweep.id), own)
        runs = known.runs if folder.run_id in known.runs else [*known.runs, folder.run_id]
        first = min(known.first, own.first)
        found[own.title, own.sweep.id] = SweepRecord(known.title, known.question, known.sweep, runs, first)
    return sorted(found.values(), key=lambda record: record.first)


def _first_sweep(folder: RunFolder) -> SweepRecord | None:
    """The sweep for which a run was trained first; None if the run has not ended, or its records are damaged."""
    with suppress(NervaError):  # a command that needs the run reports the damage
        started, part_of = folder.read_record().started, folder.read_provenance().part_of
        if part_of:
            return SweepRecord(part_of.title, part_of.question, part_of.sweep, [folder.run_id], _comparable(started))
    return None


def _read(path: Path) -> SweepRecord | None:
    """The record in a file; None, with a warning, if it is damaged."""
    try:
        record = read_record(path, SweepRecord, f"delete {path}")
        first = _comparable(datetime.fromisoformat(record.first))
    except (NervaError, ValueError, OverflowError) as error:
        _warn(path, str(error))
        return None
    return SweepRecord(record.title, record.question, record.sweep, record.runs, first)


def _comparable(time: datetime) -> str:
    """A time as a string. Such strings are in the order of the times."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


@functools.cache
def _warn(path: Path, reason: str) -> None:
    """Warn once about a damaged file that is not necessary."""
    logging.getLogger("nerva").warning(
        f"nerva: {path} is ignored ({reason}). Its runs belong to the sweep for which they were trained first."
    )
