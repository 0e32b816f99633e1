"""Which runs were asked for together: `results/sweeps/`, a file a sweep.

A run's folder says what the run is, not what it is for: the same run may be a point of several sweeps, and of several
experiments. With these files, MLflow's database can be made again as it was.
"""

import functools
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.run_folder import RunFolder
from nerva.utilities import whole_or_absent


@dataclass
class Asked:
    """Runs that were asked for together, or one by one if the sweep has no id."""

    title: str  # the dataset and the experiment
    question: str = ""
    sweep: Sweep = field(default_factory=Sweep)
    runs: list[str] = field(default_factory=list)
    first: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="microseconds")
    )  # when they were asked for first


def remember(
    results_dir: str | Path, title: str, sweep: Sweep, question: str = "", run_ids: Sequence[str] = ()
) -> None:
    """Notes that runs were asked for, beside those that were before."""
    folder = Path(results_dir) / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f"{title}-{sweep.id}.json" if sweep.id else f"{title}.json")
    with FileLock(folder / ".lock"):
        before = _read(path) if path.exists() else None
        known = before or Asked(title, question, sweep)
        new = Asked(
            title,
            question or known.question,
            Sweep(sweep.id, sweep.name or known.sweep.name),
            list(dict.fromkeys((*known.runs, *run_ids))),
            known.first,
        )
        if new != before:
            with whole_or_absent(path) as temporary:
                temporary.write_text(json.dumps(asdict(new), indent=2) + "\n")


def remembered(results_dir: str | Path, folders: Sequence[RunFolder] | None = None) -> list[Asked]:
    """All that was asked for, in the order in which it was first.

    Args:
        results_dir: the folder of all results.
        folders: runs that say for what they were made first, also if they were brought here from elsewhere; by
            default, all that there are.
    """
    files = sorted((Path(results_dir) / "sweeps").glob("*.json"))
    found = {(asked.title, asked.sweep.id): asked for file in files if (asked := _read(file))}
    if folders is None:
        folders = [RunFolder(path.parent) for path in sorted(Path(results_dir).glob("runs/*/run.json"))]
    for folder in folders:
        made = _made_for(folder)
        if made is None:
            continue
        asked = found.setdefault((made.title, made.sweep.id), made)
        asked.first = min(asked.first, made.first)
        if folder.run_id not in asked.runs:
            asked.runs.append(folder.run_id)
    return sorted(found.values(), key=lambda asked: asked.first)


def _made_for(folder: RunFolder) -> Asked | None:
    """What a run that has ended was made for first; None if it doesn't say so."""
    with suppress(NervaError):  # of damaged files, and of runs that have not ended; whoever needs them says so
        started, origin = folder.read_summary()["started"], folder.read_provenance().get("part_of")
        if origin:
            return _asked(folder.provenance, {**origin, "runs": [folder.run_id], "first": started})
    return None


def _read(path: Path) -> Asked | None:
    """What a file says; None if it is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        _complain(path, str(error))
        return None
    return _asked(path, content)


def _asked(path: Path, content: Any) -> Asked | None:
    """What the content of a file means; None if that is nothing."""
    try:
        texts = (content["title"], content["question"], *content["runs"], *content["sweep"].values())
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("its values should be texts")
        sweep, first = Sweep(**content["sweep"]), _time(content["first"])
        return Asked(content["title"], content["question"], sweep, list(content["runs"]), first)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        _complain(path, str(error))
        return None


def _time(text: str) -> str:
    """A time, in a form in which texts are in the order of the times."""
    return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")


@functools.cache
def _complain(path: Path, reason: str) -> None:
    """Says once what is wrong with a file that can be done without."""
    logging.getLogger("nerva").warning(
        f"nerva: {path} can't be read ({reason}) and is done without: runs are known by what they were made for first; "
        "to be rid of it, delete it"
    )
