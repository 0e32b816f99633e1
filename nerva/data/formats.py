"""The formats of known datasets: how their raw files become Xtrain, Ttrain, Xtest and Ttest.

For a dataset without a declared checksum of the arrays, this code is part of a run's identity.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np

from nerva.data import raw
from nerva.data.description import Dataset
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix


def _read_idx(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
    files = raw.collect(dataset, data_dir)
    arrays = {}
    for part in ("train", "test"):
        images, labels = (
            raw.read_idx(content, path) for path, content in (files[f"{part}_images"], files[f"{part}_labels"])
        )
        arrays[f"X{part}"] = _pixels(images.reshape(len(images), -1))
        arrays[f"T{part}"] = labels.astype(np.int64)
    return arrays, _source(dataset, files)


def _read_emnist(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
    """Read a part of EMNIST, such as `letters`: IDX files in a zip archive. Its images are transposed."""
    files = raw.collect(dataset, data_dir)
    path, content = files["archive"]
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for part in ("train", "test"):
                prefix = f"gzip/emnist-{dataset.path}-{part}"
                images, labels = (
                    raw.read_idx(gzip.decompress(archive.read(f"{prefix}-{what}-ubyte.gz")), path)
                    for what in ("images-idx3", "labels-idx1")
                )
                arrays[f"X{part}"] = _pixels(images.transpose(0, 2, 1).reshape(len(images), -1))
                arrays[f"T{part}"] = labels.astype(np.int64)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error) as error:
        raise NervaError(f"{path} is not EMNIST's archive with {dataset.path}: {error}") from None
    first = min(T.min() for T in (arrays["Ttrain"], arrays["Ttest"]))
    for name in ("Ttrain", "Ttest"):
        arrays[name] -= first  # letters are counted from 1
    return arrays, _source(dataset, files)


def _read_cifar(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
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


def _read_digits(dataset: Dataset, data_dir: Path) -> tuple[dict[str, Matrix], object]:
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
FORMATS = {
    "idx": (_read_idx, ("train_images", "train_labels", "test_images", "test_labels")),
    "emnist": (_read_emnist, ("archive",)),
    "cifar": (_read_cifar, ("archive",)),
    "digits": (_read_digits, ()),
}
