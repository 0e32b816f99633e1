"""Datasets in memory: batches, one-hot targets, and `.npz` files with Xtrain, Ttrain, Xtest and Ttest."""

import hashlib
from collections.abc import Iterator, Mapping
from os import PathLike

import numpy as np
import numpy.typing as npt

from nerva.backends import foreign_array_error
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix, Rows, from_numpy, take_rows, to_numpy
from nerva.matrix_operations.numpy import as_real
from nerva.npz_files import converted, load_dict_from_npz
from nerva.weight_initializers import Rng

# Bytes of one-hot targets that are never too many.
_SMALL = 64 << 20


def to_one_hot(x: Matrix, num_classes: int) -> Matrix:
    """The N×num_classes float32 matrix whose rows have a 1 in the column of the label and 0 elsewhere.

    Args:
        x: N labels, integers from 0, as a vector or a matrix with one column.
        num_classes: the number of columns.

    Raises:
        NervaError: if a label is not an integer from 0 to num_classes - 1.
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
    labels: Matrix = np.argmax(to_numpy(one_hot), axis=1)
    return labels


def has_labels(T: Matrix) -> bool:
    """Whether targets are labels: a vector, or a column of integers. Other targets are used as they are."""
    return T.ndim == 1 or (T.shape[1] == 1 and T.dtype.kind in "iub")


class DataLoader:
    """An iterable over the batches (X, T) of a dataset: inputs and targets. Labels become one-hot targets.

    Each iteration is one epoch. With a generator, each epoch takes the samples in a new random order; without one, in
    the order of the dataset. The last batch may be smaller.
    """

    state: tuple[str, ...] = ("rng",)  # the name of what must be kept to resume training

    def __init__(self, Xdata: Matrix, Tdata: Matrix, batch_size: int, num_classes: int = 0, rng: Rng = None) -> None:
        """
        Args:
            Xdata: the inputs, N×D, as NumPy arrays; the batches are matrices of the library that computes.
            Tdata: the targets: N labels (integers, as a vector or one column), or a matrix with N rows that is used as
                it is, such as one-hot rows or a column of real numbers.
            batch_size: the number of samples in a batch; if there are fewer samples, one batch holds all of them.
            num_classes: the number of classes; by default, one more than the largest label.
            rng: the generator of the order of the samples.

        Raises:
            NervaError: if the sizes do not match, or a label is outside the classes.
        """
        if len(Xdata) != len(Tdata):
            raise NervaError(f"{len(Xdata)} inputs do not match {len(Tdata)} targets")
        if batch_size < 1:
            raise NervaError(f"batch size {batch_size} should be 1 or more")
        X, Tdata = as_real(to_numpy(Xdata)), to_numpy(Tdata)
        if not isinstance(Tdata, np.ndarray):
            raise foreign_array_error(Tdata)
        self.Xdata = from_numpy(X)
        self.Tdata = Tdata
        self.batch_size = batch_size
        self.dataset = self.Xdata
        self.rng = rng
        if has_labels(Tdata):
            self.num_classes = num_classes or int(Tdata.max()) + 1
            self._targets = from_numpy(to_one_hot(Tdata, self.num_classes).astype(X.dtype))
        else:
            self.num_classes = Tdata.shape[1]
            self._targets = from_numpy(Tdata.astype(X.dtype))

    def __iter__(self) -> Iterator[tuple[Matrix, Matrix]]:
        if self.rng is None:
            yield from self.in_order()
            return
        for rows in self.shuffled():
            yield self._batch(rows)

    def shuffled(self) -> list[npt.NDArray[np.int64]]:
        """The indices of the samples in each batch of the next epoch; without a generator, in order."""
        order = np.arange(self.dataset_size) if self.rng is None else self.rng.permutation(self.dataset_size)
        return [order[start : start + self.batch_size] for start in range(0, self.dataset_size, self.batch_size)]

    @property
    def targets(self) -> Matrix:
        """The targets as training uses them: one row per sample."""
        return self._targets

    def _batch(self, rows: Rows) -> tuple[Matrix, Matrix]:
        return take_rows(self.Xdata, rows), take_rows(self._targets, rows)

    def in_order(self) -> Iterator[tuple[Matrix, Matrix]]:
        """The batches in the order of the dataset. The generator is not used."""
        for start in range(0, self.dataset_size, self.batch_size):
            yield self._batch(slice(start, start + self.batch_size))

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
    """The number of classes: the width of one-hot targets, or one more than the largest label in both sets."""
    for T in (Ttrain, Ttest):
        if not has_labels(T):
            return int(T.shape[1])
    return int(max(max_(Ttrain), max_(Ttest))) + 1


def load_npz_dataset(
    filename: str | PathLike[str], shapes: Mapping[str, tuple[int, ...]] | None = None, mapped: bool = False
) -> dict[str, Matrix]:
    """Read Xtrain, Ttrain, Xtest and Ttest from an `.npz` file. Inputs become float32.

    Args:
        filename: the file.
        shapes: the shapes of the four arrays, if they are known. Without them, a compressed file may take as much
            memory as `npz_files.unpacked_limit` says.
        mapped: whether arrays are mapped into memory, as `npz_files.load_dict_from_npz` says.

    Raises:
        NervaError: if the file is missing or damaged, an array is missing, or the shapes do not match.
    """
    data = load_dict_from_npz(filename, shapes or dict.fromkeys(("Xtrain", "Ttrain", "Xtest", "Ttest")), mapped=mapped)
    for part in ("train", "test"):
        X, T = data[f"X{part}"], data[f"T{part}"]
        for name, array in ((f"X{part}", X), (f"T{part}", T)):
            if array.dtype.kind not in "biuf":
                raise NervaError(f"{filename}: {name} should hold numbers, not {array.dtype}")
        if X.ndim != 2 or T.ndim not in (1, 2) or len(X) != len(T) or 0 in X.shape + T.shape:
            raise NervaError(f"{filename}: X{part} {X.shape} and T{part} {T.shape} should have one row per sample")
        data[f"X{part}"] = converted(X, np.float32, f"{filename}: X{part}")
    if data["Xtrain"].shape[1] != data["Xtest"].shape[1]:
        raise NervaError(f"{filename}: Xtrain and Xtest should have the same number of columns")
    return data


def create_npz_dataloaders(
    filename: str | PathLike[str], batch_size: int = 1, rng: Rng = None
) -> tuple[DataLoader, DataLoader]:
    """Loaders for the training and the test set of an `.npz` file with Xtrain, Ttrain, Xtest and Ttest.

    Args:
        filename: the file.
        batch_size: the number of samples in a batch.
        rng: the generator of the order of the training samples; without it they come in the order of the file.

    Raises:
        NervaError: if the file is missing or damaged, the shapes do not match, a label is negative, or a label is so
            large that one-hot targets would take far more memory than the inputs.
    """
    data = load_npz_dataset(filename)
    num_classes = infer_num_classes(data["Ttrain"], data["Ttest"])
    for part in ("train", "test"):
        X, T = data[f"X{part}"], data[f"T{part}"]
        if has_labels(T) and 4 * num_classes * len(T) > max(_SMALL, 4 * X.nbytes):
            raise NervaError(
                f"{filename}: the labels go up to {num_classes - 1}, and one-hot targets with so many classes would "
                f"take more than four times the memory of the inputs"
            )
    try:
        return (
            DataLoader(data["Xtrain"], data["Ttrain"], batch_size, num_classes, rng),
            DataLoader(data["Xtest"], data["Ttest"], min(batch_size, len(data["Xtest"])), num_classes),
        )
    except NervaError as error:
        raise NervaError(f"{filename}: {error}") from None


def checksum(arrays: Mapping[str, Matrix]) -> str:
    """The sha256 of the names, dtypes, shapes and elements of arrays. It does not depend on their file."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()
