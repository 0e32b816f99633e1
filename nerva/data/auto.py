"""The choice behind `data=auto`: the preferred dataset if its files are available, otherwise one that always is.

`predict` looks at this disk only and changes nothing. `choose` settles the choice: it may use the network, and it
writes the choice to `auto.json`, where later calls of both find it.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from nerva.data.description import Dataset
from nerva.data.json_files import read_json
from nerva.data.locks import locked
from nerva.data.prepare import Prepared
from nerva.data.raw import HASTY, fetch, folders, locate, read_checked
from nerva.data.steps import without_steps
from nerva.errors import NervaError
from nerva.utilities import whole_or_absent


@dataclass(frozen=True)
class AutoChoice:
    """The name of the dataset that was chosen, and why."""

    chosen: str
    reason: str


def recorded_choice(path: Path, candidates: tuple[str, str]) -> AutoChoice | None:
    """The choice that a file records, or None if there is no such file.

    Raises:
        NervaError: if the file does not record a choice between the candidates.
    """
    try:
        choice = read_json(path, AutoChoice)
        if choice.chosen not in candidates:
            raise ValueError(f'"{choice.chosen}" is neither {" nor ".join(candidates)}')
        return choice
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise NervaError(f"{path} should record a choice of data: {error}; delete it to choose again") from None


def predict(preferred: Dataset, otherwise: str, data_dir: Path) -> AutoChoice:
    """The dataset that `choose` would choose without a network, found without writing or downloading anything.

    Args:
        preferred: the dataset to use if it is on this disk.
        otherwise: the name of the dataset to use if not.
        data_dir: the folder of the recorded choice, and of prepared and raw files.

    Raises:
        NervaError: if a recorded choice is damaged, or NERVA_DATA_DIR names no folder.
    """
    choice = recorded_choice(_record(data_dir), (preferred.name, otherwise)) or _on_disk(preferred, data_dir)
    return choice or AutoChoice(otherwise, f"{_missing(preferred, data_dir)}; mirrors were not tried")


def choose(preferred: Dataset, otherwise: str, data_dir: Path) -> AutoChoice:
    """Return the recorded choice between two datasets. If there is none, choose, record the choice, and print it.

    The preferred dataset is chosen if it is on this disk, or if its smallest raw file can be downloaded within seconds,
    because then the other files can be as well.

    Args:
        preferred: the dataset to use if it is available.
        otherwise: the name of the dataset to use if not.
        data_dir: the folder of the recorded choice, `auto.json`, and of prepared and raw files.

    Raises:
        NervaError: if a recorded choice or a raw file of the preferred dataset is damaged.
    """
    path = _record(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    with locked(data_dir / ".auto.lock"):
        if recorded := recorded_choice(path, (preferred.name, otherwise)):
            return recorded
        choice = _choose(preferred, otherwise, data_dir)
        with whole_or_absent(path) as temporary:
            temporary.write_text(json.dumps(asdict(choice), indent=2) + "\n")
    print(f"data=auto takes {choice.chosen}: {choice.reason}", file=sys.stderr)
    if choice.chosen != preferred.name:
        print(
            f"To use {preferred.title}, say data={preferred.name}. To let data=auto choose again, delete {path}.",
            file=sys.stderr,
        )
    return choice


def _choose(preferred: Dataset, otherwise: str, data_dir: Path) -> AutoChoice:
    if not Prepared.of(without_steps(preferred), data_dir).exists():
        for name, path in locate(preferred, data_dir).items():
            read_checked(path, preferred.files[name])
    if choice := _on_disk(preferred, data_dir):
        return choice
    smallest = min(preferred.files, key=lambda name: "labels" not in name)
    try:
        fetch(preferred, smallest, data_dir, HASTY)
    except NervaError as error:
        print(error, file=sys.stderr)
        return AutoChoice(otherwise, f"{_missing(preferred, data_dir)}, and downloading it from the mirrors failed")
    return AutoChoice(preferred.name, "it can be downloaded")


def _on_disk(dataset: Dataset, data_dir: Path) -> AutoChoice | None:
    """The choice of a dataset that is on this disk, prepared or as raw files; None if it is not."""
    prepared = Prepared.of(without_steps(dataset), data_dir)
    if prepared.exists():
        return AutoChoice(dataset.name, f"it is prepared in {_relative(prepared.npz)}")
    located = locate(dataset, data_dir)
    if located and len(located) == len(dataset.files):
        return AutoChoice(dataset.name, f"its files are in {_relative(next(iter(located.values())).parent)}")
    return None


def _record(data_dir: Path) -> Path:
    """The file that records the choice."""
    return data_dir / "auto.json"


def _missing(dataset: Dataset, data_dir: Path) -> str:
    """A phrase that says where a dataset is not."""
    return f"{dataset.title} is not in {' or '.join(_relative(folder) for folder in folders(dataset, data_dir))}"


def _relative(path: Path) -> str:
    """A path relative to the working directory, if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
