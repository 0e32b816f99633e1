"""Which runs were asked for together: `results/sweeps/`, a file a sweep.

A run's folder says what the run is, not what it is for: the same run may be a point of several sweeps, and of several
experiments. With these files, MLflow's database can be made again as it was.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from filelock import FileLock

from nerva.errors import NervaError
from nerva.experiment.config import Sweep
from nerva.experiment.folder import RunFolder
from nerva.utilities import whole_or_absent


@dataclass
class Asked:
    """Runs that were asked for together, or one by one if the sweep has no id."""

    title: str  # the dataset and the experiment
    question: str = ""
    sweep: Sweep = field(default_factory=Sweep)
    runs: list[str] = field(default_factory=list)


def remember(
    results_dir: str | Path, title: str, sweep: Sweep, question: str = "", run_ids: Sequence[str] = ()
) -> None:
    """Notes that runs were asked for, beside those that were before."""
    folder = Path(results_dir) / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f"{title}-{sweep.id}.json" if sweep.id else f"{title}.json")
    with FileLock(folder / ".lock"):
        known = _read(path) if path.exists() else Asked(title, question, sweep)
        new = Asked(
            title,
            question or known.question,
            Sweep(sweep.id, sweep.name or known.sweep.name),
            list(dict.fromkeys((*known.runs, *run_ids))),
        )
        if new != known or not path.exists():
            with whole_or_absent(path) as temporary:
                temporary.write_text(json.dumps(asdict(new), indent=2) + "\n")


def remembered(results_dir: str | Path) -> list[Asked]:
    """All that was asked for.

    Raises:
        NervaError: if a file can't be read.
    """
    found = [_read(path) for path in sorted((Path(results_dir) / "sweeps").glob("*.json"))]
    known = {run for asked in found for run in asked.runs}
    # Runs that were brought here from elsewhere say for what they were made first.
    others: dict[str, Asked] = {}
    for path in sorted(Path(results_dir).glob("runs/*/run.json")):
        if path.parent.name not in known and (origin := RunFolder(path.parent).read_provenance().get("part_of")):
            asked = Asked(origin["title"], origin["question"], Sweep(**origin["sweep"]))
            others.setdefault(f"{asked.title} {asked.sweep.id}", asked).runs.append(path.parent.name)
    return [*found, *others.values()]


def _read(path: Path) -> Asked:
    try:
        content = json.loads(path.read_text())
        return Asked(content["title"], content["question"], Sweep(**content["sweep"]), list(content["runs"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NervaError(
            f"{path} can't be read: {error}; without it, runs are known by what they were made for"
        ) from None
