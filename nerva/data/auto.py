"""The choice behind `data=auto`: one set where its files can be had, else one that is always there."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from nerva.data.description import Dataset
from nerva.data.raw import HASTY, fetch, folders, locate, read_checked
from nerva.errors import NervaError
from nerva.utilities import whole_or_absent


@dataclass(frozen=True)
class AutoChoice:
    """The set that was chosen, and why."""

    chosen: str
    reason: str


def choose(preferred: Dataset, otherwise: str, data_dir: Path) -> AutoChoice:
    """Chooses between two datasets once, and says so; after that, what was chosen then.

    The preferred one is taken if its raw files are there, or if its smallest file can be fetched in a few
    seconds: then the others can be, too.

    Args:
        preferred: the dataset to use if it can be had.
        otherwise: the name of the dataset to use if not.
        data_dir: the choice is written to `auto.json` in this folder.

    Raises:
        NervaError: if a raw file of the preferred set is there, but is damaged or another one.
    """
    path = data_dir / "auto.json"
    data_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(data_dir / ".auto.lock"):
        if path.exists():
            return read_choice(path, (preferred.name, otherwise))
        choice = _choose(preferred, otherwise, data_dir)
        with whole_or_absent(path) as temporary:
            temporary.write_text(json.dumps(asdict(choice), indent=2) + "\n")
    print(f"data=auto takes {choice.chosen}: {choice.reason}", file=sys.stderr)
    if choice.chosen != preferred.name:
        print(
            f"For {preferred.title}, say data={preferred.name}. To have data=auto choose anew, delete {path}.",
            file=sys.stderr,
        )
    return choice


def read_choice(path: Path, candidates: tuple[str, str]) -> AutoChoice:
    """The choice that a file records.

    Raises:
        NervaError: if it isn't such a file, or records another choice than between the candidates.
    """
    try:
        choice = AutoChoice(**json.loads(path.read_text()))
        if choice.chosen not in candidates:
            raise ValueError
        return choice
    except (ValueError, TypeError):
        raise NervaError(f"{path} should record a choice of data; delete it, to choose anew") from None


def _choose(preferred: Dataset, otherwise: str, data_dir: Path) -> AutoChoice:
    located = locate(preferred, data_dir)
    for name, path in located.items():
        read_checked(path, preferred.files[name])
    if len(located) == len(preferred.files):
        folder = next(iter(located.values())).parent
        return AutoChoice(preferred.name, f"its files are in {_relative(folder)}")
    name = min(preferred.files, key=lambda name: "labels" not in name)
    try:
        fetch(preferred, name, data_dir, HASTY)
    except NervaError as error:
        print(error, file=sys.stderr)
        places = " or ".join(_relative(folder) for folder in folders(preferred, data_dir))
        return AutoChoice(otherwise, f"{preferred.title} is not in {places}, and no mirror gave it")
    return AutoChoice(preferred.name, "it can be downloaded")


def _relative(path: Path) -> str:
    """A path as a person would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def predict(preferred: Dataset, otherwise: str, data_dir: Path) -> AutoChoice:
    """PLACEHOLDER until the engine branch is merged."""
    path = data_dir / "auto.json"
    if path.exists():
        return read_choice(path, (preferred.name, otherwise))
    return AutoChoice(otherwise, "not looked for on the network")
