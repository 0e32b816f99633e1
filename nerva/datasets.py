"""Datasets in memory: batches, one-hot targets, and `.npz` files with Xtrain, Ttrain, Xtest and Ttest."""

import hashlib
from collections.abc import Iterator, Mapping
from os import PathLike

import numpy as np

from nerva.errors import NervaError
from nerva.matrix_operations import Matrix, as_real
from nerva.utilities import load_dict_from_npz
from nerva.weight_initializers import Rng


def to_one_hot(x: Matrix, num_classes: int) -> Matrix:
    """The N×num_classes float32 matrix with a 1 in each row, at the column that the label names.

    Args:
        x: N labels, whole numbers from 0, as a vector or a matrix of one column.
        num_classes: the number of columns.

    Raises:
        NervaError: if a label isn't a whole number from 0 to num_classes - 1.
    """
    labels: Matrix = np.asarray(x).reshape(len(x), -1)
    if labels.shape[1] > 1:
        raise NervaError(f"labels should be a vector or one column, not a matrix of shape {labels.shape}")
    labels = labels.ravel()
    if labels.dtype.kind not in "iu":
        raise NervaError(f"labels should be whole numbers, not {labels.dtype}")
    outside = labels[(labels < 0) | (labels >= num_classes)]
    if outside.size:
        raise NervaError(f"label {outside[0]} is outside the {num_classes} classes, 0 to {num_classes - 1}")
    one_hot = np.zeros((len(labels), num_classes), dtype=np.float32)
    one_hot[np.arange(len(labels)), labels] = 1
    return one_hot


def from_one_hot(one_hot: Matrix) -> Matrix:
    """The label of each row: the column of its largest element."""
    labels: Matrix = np.argmax(one_hot, axis=1)
    return labels


def has_labels(T: Matrix) -> bool:
    """Whether targets are labels, a vector or a column of whole numbers, and not a matrix to be used as it is."""
    return T.ndim == 1 or (T.shape[1] == 1 and T.dtype.kind in "iub")


class DataLoader:
    """Batches (X, T) of a dataset: inputs, and targets that are one-hot if the dataset has labels.

    Each iteration is one epoch. With a generator the samples come in a new random order each time; without one,
    in the order of the dataset. The last batch may be smaller.
    """

    state: tuple[str, ...] = ("rng",)  # the name of what must be kept to resume training

    def __init__(self, Xdata: Matrix, Tdata: Matrix, batch_size: int, num_classes: int = 0, rng: Rng = None) -> None:
        """
        Args:
            Xdata: the inputs, N×D.
            Tdata: the targets: N labels (whole numbers, a vector or one column), or a matrix of N rows that is used as
                it is, such as one-hot rows, or a column of real numbers.
            batch_size: the number of samples in a batch; one batch has all if there are fewer.
            num_classes: the number of classes; by default, one more than the largest label.
            rng: where the order of the samples comes from.

        Raises:
            NervaError: if the sizes don't fit, or a label is outside the classes.
        """
        if len(Xdata) != len(Tdata):
            raise NervaError(f"{len(Xdata)} inputs can't go with {len(Tdata)} targets")
        if batch_size < 1:
            raise NervaError(f"batch size {batch_size} should be 1 or more")
        self.Xdata = as_real(Xdata)
        self.Tdata = Tdata
        self.batch_size = batch_size
        self.dataset = self.Xdata
        self.rng = rng
        if has_labels(Tdata):
            self.num_classes = num_classes or int(Tdata.max()) + 1
            self._targets = to_one_hot(Tdata, self.num_classes).astype(self.Xdata.dtype)
        else:
            self.num_classes = Tdata.shape[1]
            self._targets = Tdata.astype(self.Xdata.dtype)

    def __iter__(self) -> Iterator[tuple[Matrix, Matrix]]:
        if self.rng is None:
            yield from self.in_order()
            return
        order = self.rng.permutation(self.dataset_size)
        for start in range(0, self.dataset_size, self.batch_size):
            batch = order[start : start + self.batch_size]
            yield self.Xdata[batch], self._targets[batch]

    def in_order(self) -> Iterator[tuple[Matrix, Matrix]]:
        """The batches in the order of the dataset. It takes nothing from the generator."""
        for start in range(0, self.dataset_size, self.batch_size):
            batch = slice(start, start + self.batch_size)
            yield self.Xdata[batch], self._targets[batch]

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.dataset_size // self.batch_size)

    @property
    def dataset_size(self) -> int:
        """The number of samples."""
        return len(self.Xdata)


def max_(X: Matrix) -> int | float:
    """The largest element, as a Python number."""
    return np.max(X).item()  # type: ignore[no-any-return]


def infer_num_classes(Ttrain: Matrix, Ttest: Matrix) -> int:
    """The number of classes: the width of one-hot targets, or one more than the largest label of both."""
    for T in (Ttrain, Ttest):
        if not has_labels(T):
            return int(T.shape[1])
    return int(max(max_(Ttrain), max_(Ttest))) + 1


def load_npz_dataset(filename: str | PathLike[str]) -> dict[str, Matrix]:
    """Reads Xtrain, Ttrain, Xtest and Ttest from an `.npz` file; inputs become float32.

    Raises:
        NervaError: if the file is missing or damaged, an array is missing, or the shapes don't fit.
    """
    data = load_dict_from_npz(filename)
    missing = [name for name in ("Xtrain", "Ttrain", "Xtest", "Ttest") if name not in data]
    if missing:
        raise NervaError(f"{filename} has no {' and no '.join(missing)}; it has {', '.join(data) or 'nothing'}")
    for part in ("train", "test"):
        X, T = data[f"X{part}"], data[f"T{part}"]
        for name, array in ((f"X{part}", X), (f"T{part}", T)):
            if array.dtype.kind not in "biuf":
                raise NervaError(f"{filename}: {name} should hold numbers, not {array.dtype}")
        if X.ndim != 2 or T.ndim == 0 or len(X) != len(T) or len(X) == 0:
            raise NervaError(f"{filename}: X{part} {X.shape} and T{part} {T.shape} should have a row a sample")
        data[f"X{part}"] = np.asarray(X, dtype=np.float32)
    if data["Xtrain"].shape[1] != data["Xtest"].shape[1]:
        raise NervaError(f"{filename}: Xtrain and Xtest should have as many columns as each other")
    return data


def create_npz_dataloaders(
    filename: str | PathLike[str], batch_size: int = 1, rng: Rng = None
) -> tuple[DataLoader, DataLoader]:
    """Loaders for the training and the test set of an `.npz` file with Xtrain, Ttrain, Xtest and Ttest.

    Args:
        filename: the file.
        batch_size: the number of samples in a batch.
        rng: where the order of the training samples comes from; without it they come in the file's order.

    Raises:
        NervaError: if the file is missing or damaged, the shapes don't fit, or a label is negative.
    """
    data = load_npz_dataset(filename)
    num_classes = infer_num_classes(data["Ttrain"], data["Ttest"])
    return (
        DataLoader(data["Xtrain"], data["Ttrain"], batch_size, num_classes, rng),
        DataLoader(data["Xtest"], data["Ttest"], min(batch_size, len(data["Xtest"])), num_classes),
    )


def checksum(arrays: Mapping[str, Matrix]) -> str:
    """The sha256 of named arrays: of names, dtypes, shapes and elements, whatever file they are in."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()
