"""Prepared datasets: an `.npz` file with Xtrain, Ttrain, Xtest and Ttest, and a `.json` file with its provenance."""

import hashlib
import io
import json
import tarfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nerva.data import raw
from nerva.data.description import Dataset
from nerva.data.json_files import read_json
from nerva.data.locks import locked
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
        return cls(data_dir / f"{dataset.name}.npz", data_dir / f"{dataset.name}.json")

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
    samples_per_class: dict[str, list[int]]


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

    Inputs become float32 in [0, 1], with one image per row. Labels become int64.

    Args:
        dataset: the dataset.
        data_dir: the folder for the two files; see `raw.folders` for where raw files are looked for.

    Raises:
        NervaError: if a raw file is damaged or unavailable, or the result is not as declared.
    """
    prepared = Prepared.of(dataset, data_dir)
    if prepared.exists():
        return prepared
    if dataset.source not in _SOURCES:
        raise NervaError(f'data.source should be {", ".join(_SOURCES)}, not "{dataset.source}"')
    read, needed = _SOURCES[dataset.source]
    if missing := [name for name in needed if name not in dataset.files]:
        raise NervaError(f"data.files should name {', '.join(missing)}")
    data_dir.mkdir(parents=True, exist_ok=True)
    with locked(data_dir / f".{dataset.name}.lock"):
        if prepared.exists():
            return prepared
        for unfinished in data_dir.glob(f".{dataset.name}.*.tmp*"):
            unfinished.unlink()  # of a process that was killed
        arrays, source = read(dataset, data_dir)
        sha256 = checksum(arrays)
        _check(dataset, arrays, sha256)
        with whole_or_absent(prepared.npz) as temporary:
            # Not compressed: every run reads it, and reading must not take longer than an epoch.
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
        provenance = Provenance(
            dataset.name,
            dataset.title,
            source,
            sha256,
            {name: list(array.shape) for name, array in arrays.items()},
            {part: np.bincount(arrays[f"T{part}"], minlength=dataset.classes).tolist() for part in ("train", "test")},
        )
        with whole_or_absent(prepared.provenance) as temporary:
            temporary.write_text(json.dumps(asdict(provenance), indent=2) + "\n")
    return prepared


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
    expected = dataset.sha256 or provenance.sha256
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
        if arrays[name].max() >= dataset.classes:
            raise NervaError(f"{dataset.name}: {name} has the label {arrays[name].max()}, outside its classes")
    if dataset.sha256 and sha256 != dataset.sha256:
        raise NervaError(f"{dataset.name}: the sha256 is {sha256}, but {dataset.sha256} is declared")


def _prepare_idx(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
    files = raw.collect(dataset, data_dir)
    arrays = {}
    for part in ("train", "test"):
        images, labels = (
            raw.read_idx(content, path) for path, content in (files[f"{part}_images"], files[f"{part}_labels"])
        )
        arrays[f"X{part}"] = _pixels(images.reshape(len(images), -1))
        arrays[f"T{part}"] = labels.astype(np.int64)
    return arrays, _source(dataset, files)


def _prepare_cifar(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
    """Read CIFAR's binary version: per image a label and 3072 bytes, the red, green and blue planes of 32×32 pixels."""
    files = raw.collect(dataset, data_dir)
    path, content = files["archive"]
    arrays = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            batches = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
            names = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
            for part, members in names.items():
                parts = [archive.extractfile(batches[name]) for name in members]
                data = b"".join(file.read() for file in parts if file is not None)
                records = np.frombuffer(data, np.uint8).reshape(-1, 1 + dataset.features)
                arrays[f"X{part}"] = _pixels(records[:, 1:])
                arrays[f"T{part}"] = records[:, 0].astype(np.int64)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise NervaError(f"{path} is not the binary version of CIFAR-10: {error}") from None
    return arrays, _source(dataset, files)


def _pixels(X: Matrix) -> Matrix:
    """Convert bytes to float32 in [0, 1]."""
    return X.astype(np.float32) / np.float32(255)


def _source(dataset: Dataset, files: dict[str, tuple[Path, bytes]]) -> object:
    """The name and the checksum of each raw file."""
    return {
        name: {"file": path.name, "sha256_of_uncompressed": hashlib.sha256(content).hexdigest()}
        for name, (path, content) in files.items()
    }


def _prepare_digits(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
    import sklearn
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, T = load_digits(return_X_y=True)
    Xtrain, Xtest, Ttrain, Ttest = train_test_split(
        X.astype(np.float32) / np.float32(16),
        T.astype(np.int64),
        test_size=dataset.test,
        random_state=0,
        stratify=T,
    )
    source = f"scikit-learn {sklearn.__version__}: load_digits, split by train_test_split with random_state 0"
    return {"Xtrain": Xtrain, "Ttrain": Ttrain, "Xtest": Xtest, "Ttest": Ttest}, source


# How the data of each source are read, and the raw files that it has.
_SOURCES = {
    "idx": (_prepare_idx, ("train_images", "train_labels", "test_images", "test_labels")),
    "cifar": (_prepare_cifar, ("archive",)),
    "digits": (_prepare_digits, ()),
}
