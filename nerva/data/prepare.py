"""Prepared datasets: an `.npz` file with Xtrain, Ttrain, Xtest and Ttest, and a `.json` file with its provenance."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nerva.data import sources
from nerva.data.description import Dataset
from nerva.data.formats import FORMATS
from nerva.data.json_files import read_json
from nerva.data.locks import locked
from nerva.data.steps import apply_steps, file_digest, used, without_steps
from nerva.datasets import checksum, load_npz_dataset
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.utilities import whole_or_absent


@dataclass(frozen=True)
class Prepared:
    """The two files of a prepared dataset."""

    npz: Path
    provenance: Path

    @classmethod
    def of(cls, dataset: Dataset, data_dir: Path) -> "Prepared":
        """The files of a dataset, whether or not they exist."""
        # Files of users may have the same name, and other contents tomorrow.
        contents = dataset.checksum[:12] if dataset.source in sources.READERS else ""
        name = "-".join(filter(None, (dataset.name, contents, file_digest(dataset))))
        return cls(data_dir / f"{name}.npz", data_dir / f"{name}.json")

    def exists(self) -> bool:
        """Whether the dataset has been prepared."""
        # The provenance is written last.
        return self.npz.exists() and self.provenance.exists()


@dataclass(frozen=True)
class Provenance:
    """The origin and the content of a prepared dataset."""

    name: str
    title: str
    source: Any  # a text, or the name and the checksum of each raw file
    sha256: str  # of the arrays
    shapes: dict[str, list[int]]
    samples_per_class: dict[str, list[int]]  # empty for a regression
    steps: list[str] = field(default_factory=list)  # that were applied to the inputs
    target_steps: list[str] = field(default_factory=list)


def read_provenance(prepared: Prepared) -> Provenance:
    """Read the provenance of a prepared dataset.

    Raises:
        NervaError: if the file is missing or damaged.
    """
    try:
        return read_json(prepared.provenance, Provenance)
    except OSError as error:
        reason = str(error.strerror)
    except ValueError as error:
        reason = str(error)
    raise NervaError(f"{prepared.provenance} is missing or damaged ({reason}); delete it, and {prepared.npz}")


def prepare(dataset: Dataset, data_dir: Path) -> Prepared:
    """Prepare a dataset, unless it is prepared already.

    Inputs become float32, with one sample per row; pixels are in [0, 1]. Labels become int64, and the targets of a
    regression float32. A dataset with steps is prepared from the prepared file of the one without.

    Args:
        dataset: the dataset.
        data_dir: the folder for the two files; see `raw.folders` for where raw files are looked for.

    Raises:
        NervaError: if a raw file is damaged or unavailable, or the result is not as declared.
    """
    prepared = Prepared.of(dataset, data_dir)
    if prepared.exists():
        return prepared
    data_dir.mkdir(parents=True, exist_ok=True)
    name = prepared.npz.stem
    with locked(data_dir / f".{name}.lock"):
        if prepared.exists():
            return prepared
        for unfinished in data_dir.glob(f".{name}.*.tmp*"):
            unfinished.unlink()  # of a process that was killed
        if any(used(dataset)):
            plain = without_steps(dataset)
            source = read_provenance(prepare(plain, data_dir)).source
            arrays = apply_steps(dataset, load_prepared(plain, data_dir)[0])
        else:
            arrays, source = _read(dataset, data_dir)
        sha256 = checksum(arrays)
        _check(dataset, arrays, sha256)
        with whole_or_absent(prepared.npz) as temporary:
            # Not compressed: every run reads it, and reading must not take longer than an epoch.
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
        classes = {} if dataset.task == "regression" else {part: arrays[f"T{part}"] for part in ("train", "test")}
        steps, target_steps = used(dataset)
        provenance = Provenance(
            dataset.name,
            dataset.title,
            source,
            sha256,
            {name: list(array.shape) for name, array in arrays.items()},
            {part: np.bincount(T, minlength=dataset.classes).tolist() for part, T in classes.items()},
            steps,
            target_steps,
        )
        with whole_or_absent(prepared.provenance) as temporary:
            temporary.write_text(json.dumps(asdict(provenance), indent=2) + "\n")
    return prepared


def _read(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
    """The arrays of a dataset without steps, and where they come from."""
    if dataset.source in sources.READERS:
        content = sources.read(dataset, data_dir, download=True)
        check_unchanged(dataset, content)
        return content.arrays, content.origin
    if dataset.source not in FORMATS:
        raise NervaError(f'data.source should be {", ".join([*FORMATS, *sources.READERS])}, not "{dataset.source}"')
    read, needed = FORMATS[dataset.source]
    if missing := [name for name in needed if name not in dataset.files]:
        raise NervaError(f"data.files should name {', '.join(missing)}")
    return read(dataset, data_dir)


def check_unchanged(dataset: Dataset, content: sources.Content) -> None:
    """Raise a NervaError if the arrays of a source do not have the checksum of the dataset."""
    found = checksum(content.arrays)
    if dataset.sha256 and found != dataset.sha256:
        raise NervaError(
            f"{dataset.path} has changed: the sha256 of its arrays is {found}, and {dataset.sha256} is declared for "
            f"{dataset.name}. Restore the old contents, or repeat the command; if `nerva data add` has described the "
            "dataset, let it describe the new contents first, with --force"
        )


def load_prepared(dataset: Dataset, data_dir: Path, recompute: bool = False) -> tuple[dict[str, Matrix], str]:
    """The arrays of a prepared dataset, mapped into memory, and their checksum.

    Args:
        dataset: the dataset.
        data_dir: the folder with its files.
        recompute: whether the checksum is computed even if the file has not changed since it was last computed.

    Raises:
        NervaError: if a file is missing or damaged, or the arrays are not those that were prepared and declared.
    """
    prepared = Prepared.of(dataset, data_dir)
    version = _version(prepared.npz)
    try:
        arrays = load_npz_dataset(prepared.npz, dataset.shapes, mapped=True)
    except NervaError as error:
        raise NervaError(f"{error}; delete the file, and it is prepared again") from None
    provenance = read_provenance(prepared)
    sha256 = checksum(arrays) if recompute else _known_checksum(prepared.npz, version, arrays)
    if provenance.name != dataset.name:
        raise NervaError(f"{prepared.npz} was prepared from {provenance.name}, not from {dataset.name}; delete it")
    # What is declared are the arrays before the steps.
    declared = None if any(used(dataset)) else dataset.sha256
    expected = declared or provenance.sha256
    if sha256 != expected:
        raise NervaError(
            f"{prepared.npz} is not what was prepared: its sha256 is {sha256}, not {expected}; delete it, "
            "and it is prepared again"
        )
    _check(dataset, arrays, sha256)
    return arrays, sha256


def _version(path: Path) -> str:
    """What changes whenever a file is changed; "" if the file is missing, or so new that this can't be told."""
    if not path.is_file():
        return ""
    status = path.stat()
    # Writing sets the ctime to the current time, and no system call sets it to another one. A second change in the same
    # instant sets the same time.
    if time.time_ns() - status.st_ctime_ns < 10**9:
        return ""
    return f"{status.st_size} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"


def _known_checksum(path: Path, version: str, arrays: dict[str, Matrix]) -> str:
    """The checksum of the arrays in a file of a version. It takes 0.2 s for MNIST, and is kept in a file beside it."""
    if not version or version != _version(path):
        return checksum(arrays)
    stamp = path.with_name(f".{path.name}.sha256")
    with suppress(OSError):  # the stamp only saves time
        sha256, _, known = stamp.read_text(errors="replace").partition(" of ")
        if known == version:
            return sha256
    sha256 = checksum(arrays)
    with suppress(OSError), whole_or_absent(stamp) as temporary:
        temporary.write_text(f"{sha256} of {version}")
    return sha256


def _check(dataset: Dataset, arrays: dict[str, Matrix], sha256: str) -> None:
    """Compare arrays with what the configuration declares."""
    for name, shape in dataset.shapes.items():
        if arrays[name].shape != shape:
            raise NervaError(f"{dataset.name}: {name} has shape {arrays[name].shape}, but {shape} is declared")
    for name in ("Ttrain", "Ttest"):
        if dataset.task != "regression" and arrays[name].max() >= dataset.classes:
            raise NervaError(f"{dataset.name}: {name} has the label {arrays[name].max()}, outside its classes")
    if dataset.sha256 and not any(used(dataset)) and sha256 != dataset.sha256:
        raise NervaError(f"{dataset.name}: the sha256 is {sha256}, but {dataset.sha256} is declared")
