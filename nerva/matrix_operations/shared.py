"""What the operations of all libraries share."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# inv_sqrt adds it under the root, so that it does not divide by 0 for a feature that is constant in a batch.
epsilon = 1e-7


class NotCompilableError(Exception):
    """A step is not a function of its variables, or changes their shapes or types."""


def is_vector(x: Any) -> bool:
    """Whether x has one dimension."""
    return len(x.shape) == 1


def is_column_vector(x: Any) -> bool:
    """Whether x is a vector, or a matrix of one column."""
    return is_vector(x) or x.shape[1] == 1


def is_row_vector(x: Any) -> bool:
    """Whether x is a vector, or a matrix of one row."""
    return is_vector(x) or x.shape[0] == 1


def vector_size(x: Any) -> int:
    """The number of elements of a vector, or of rows of a matrix."""
    return int(x.shape[0])


def is_square(X: Any) -> bool:
    """Whether X has as many rows as columns."""
    m, n = X.shape
    return bool(m == n)


def column(x: Any) -> Any:
    """x as a matrix of one column."""
    if not is_column_vector(x):
        raise ValueError(f"column_repeat needs a vector or an m×1 matrix, not one of shape {tuple(x.shape)}")
    return x.reshape(-1, 1)


def row(x: Any) -> Any:
    """x as a matrix of one row."""
    if not is_row_vector(x):
        raise ValueError(f"row_repeat needs a vector or a 1×n matrix, not one of shape {tuple(x.shape)}")
    return x.reshape(1, -1)


def native(X: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """X in the machine's byte order and in C order. Some libraries can't read arrays in another order."""
    return np.asarray(X, X.dtype.newbyteorder("="), order="C")


def index_not_finite(X: npt.NDArray[Any]) -> tuple[int, ...] | None:
    """The index of the first element that is infinite or not a number; None if there is no such element."""
    finite = np.isfinite(X)
    return None if finite.all() else tuple(int(i) for i in np.argwhere(~finite)[0])


def groups(batches: Sequence[npt.NDArray[np.int64]]) -> Iterator[npt.NDArray[np.int64]]:
    """The batches of an epoch as a matrix with one batch per row, and as a second one if the last batch is smaller.

    A compiled loop runs over the rows.
    """
    full = [rows for rows in batches if len(rows) == len(batches[0])]
    for group in (full, batches[len(full) :]):
        if len(group):
            yield np.stack(group)
