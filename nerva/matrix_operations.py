"""The vocabulary in which every equation of this package is written.

Matrices have one sample a row. A vector is one-dimensional and counts as a row or as a column, whichever an
operation asks for. Every operation keeps the dtype that it is given: float32 stays float32, float64 stays
float64, also next to Python numbers. Repeated rows and columns are views, not copies.

The operations and their notation are those of "Batch Matrix-form Equations and Implementation of Multilayer
Perceptrons" (arXiv:2511.11918).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]

# Added under the root by inv_sqrt: a feature that is constant in a batch has variance 0.
epsilon = 1e-7


def is_vector(x: Matrix) -> bool:
    """Whether x has one dimension."""
    return x.ndim == 1


def is_column_vector(x: Matrix) -> bool:
    """Whether x is a vector, or a matrix of one column."""
    return is_vector(x) or x.shape[1] == 1


def is_row_vector(x: Matrix) -> bool:
    """Whether x is a vector, or a matrix of one row."""
    return is_vector(x) or x.shape[0] == 1


def vector_size(x: Matrix) -> int:
    """The number of elements of a vector, or of rows of a matrix."""
    return int(x.shape[0])


def is_square(X: Matrix) -> bool:
    """Whether X has as many rows as columns."""
    m, n = X.shape
    return bool(m == n)


def dot(x: Matrix, y: Matrix) -> Any:
    """xᵀy, the inner product of two vectors of the same size."""
    return np.dot(np.ravel(x), np.ravel(y))


def zeros(m: int, n: int | None = None, dtype: npt.DTypeLike = np.float32) -> Matrix:
    """0ₘₙ, the m×n matrix of zeros; without n, the vector of m zeros."""
    return np.zeros(m if n is None else (m, n), dtype=dtype)


def zeros_like(X: Matrix) -> Matrix:
    """The matrix of zeros with the shape and dtype of X."""
    return np.zeros_like(X)


def ones(m: int, n: int | None = None, dtype: npt.DTypeLike = np.float32) -> Matrix:
    """1ₘₙ, the m×n matrix of ones; without n, the vector of m ones."""
    return np.ones(m if n is None else (m, n), dtype=dtype)


def identity(n: int, dtype: npt.DTypeLike = np.float32) -> Matrix:
    """𝕀ₙ, the n×n identity matrix."""
    return np.eye(n, dtype=dtype)


def product(X: Matrix, Y: Matrix) -> Matrix:
    """XY, the matrix product; X is m×k and Y k×n."""
    return X @ Y


def hadamard(X: Matrix, Y: Matrix) -> Matrix:
    """X ⊙ Y, the element-wise product of matrices of the same shape."""
    return np.multiply(X, Y)


def diag(X: Matrix) -> Matrix:
    """diag(X), the diagonal of a square matrix, as a vector."""
    return np.diagonal(X)


def Diag(x: Matrix) -> Matrix:
    """Diag(x), the square matrix with the vector x as its diagonal and zeros elsewhere."""
    return np.diagflat(x)


def elements_sum(X: Matrix) -> Any:
    """1ₘᵀ X 1ₙ, the sum of all elements."""
    return np.sum(X)


def column_repeat(x: Matrix, n: int) -> Matrix:
    """x 1ₙᵀ, the matrix whose n columns are x; a read-only view of x."""
    if not is_column_vector(x):
        raise ValueError(f"column_repeat needs a vector or an m×1 matrix, not one of shape {x.shape}")
    return np.broadcast_to(x.reshape(-1, 1), (x.shape[0], n))


def row_repeat(x: Matrix, m: int) -> Matrix:
    """1ₘ x, the matrix whose m rows are x; a read-only view of x."""
    if not is_row_vector(x):
        raise ValueError(f"row_repeat needs a vector or a 1×n matrix, not one of shape {x.shape}")
    return np.broadcast_to(x.reshape(1, -1), (m, x.shape[-1]))


def _along(f: Callable[..., Any], X: Matrix, axis: int) -> Matrix:
    result: Matrix = f(X, axis=axis)
    return result


def columns_sum(X: Matrix) -> Matrix:
    """1ₘᵀ X, the sum of each column, as a vector of n."""
    return _along(np.sum, X, axis=0)


def rows_sum(X: Matrix) -> Matrix:
    """X 1ₙ, the sum of each row, as a vector of m."""
    return _along(np.sum, X, axis=1)


def columns_max(X: Matrix) -> Matrix:
    """max(X)_col, the maximum of each column, as a vector of n."""
    return _along(np.max, X, axis=0)


def rows_max(X: Matrix) -> Matrix:
    """max(X)_row, the maximum of each row, as a vector of m."""
    return _along(np.max, X, axis=1)


def columns_mean(X: Matrix) -> Matrix:
    """1/m 1ₘᵀ X, the mean of each column, as a vector of n."""
    return _along(np.mean, X, axis=0)


def rows_mean(X: Matrix) -> Matrix:
    """1/n X 1ₙ, the mean of each row, as a vector of m."""
    return _along(np.mean, X, axis=1)


def apply(f: Callable[[Matrix], Matrix], X: Matrix) -> Matrix:
    """f(X), for a function f that works element-wise."""
    return f(X)


def exp(X: Matrix) -> Matrix:
    """eˣ of each element."""
    return np.exp(X)


def log(X: Matrix) -> Matrix:
    """log x, the natural logarithm of each element."""
    return np.log(X)


def tanh(X: Matrix) -> Matrix:
    """tanh x of each element."""
    return np.tanh(X)


def sigmoid(X: Matrix) -> Matrix:
    """σ(x) = 1 / (1 + e⁻ˣ) of each element; 0 and 1 at the far ends."""
    with np.errstate(over="ignore"):  # where e⁻ˣ is infinite its reciprocal is the limit, 0
        return 1 / (1 + np.exp(-X))


def reciprocal(X: Matrix) -> Matrix:
    """1 / x of each element."""
    return 1 / X


def square(X: Matrix) -> Matrix:
    """x² of each element."""
    return np.square(X)


def sqrt(X: Matrix) -> Matrix:
    """√x of each element."""
    return np.sqrt(X)


def inv_sqrt(X: Matrix) -> Matrix:
    """1 / √(x + epsilon) of each element."""
    return 1 / np.sqrt(X + epsilon)


def log_sigmoid(X: Matrix) -> Matrix:
    """log σ(x) of each element; finite wherever x is."""
    return -np.logaddexp(0, -X)


def abs(X: Matrix) -> Matrix:
    """|x| of each element."""
    return np.abs(X)


def clip(X: Matrix, a_min: float, a_max: float) -> Matrix:
    """Each element, but no less than a_min and no more than a_max."""
    return np.clip(X, a_min, a_max)


def maximum(X: Matrix, a: float) -> Matrix:
    """max(x, a) of each element."""
    return np.maximum(X, a)


def greater(X: Matrix, a: float) -> Matrix:
    """x > a of each element: a condition, for `where`."""
    return a < X


def less(X: Matrix, a: float) -> Matrix:
    """x < a of each element: a condition, for `where`."""
    return a > X


def where(condition: Matrix, X: Matrix | float, Y: Matrix | float, like: Matrix) -> Matrix:
    """x where the condition holds and y elsewhere, in the dtype of `like`; X and Y may be numbers."""
    return np.where(condition, np.asarray(X, like.dtype), np.asarray(Y, like.dtype))


def indicator(condition: Matrix, like: Matrix) -> Matrix:
    """1 where the condition holds and 0 elsewhere, in the dtype of `like`."""
    return condition.astype(like.dtype)


def assign(X: Matrix, Y: Matrix) -> Matrix:
    """X ← Y: gives X the elements of Y, and returns the array that holds them.

    That is X itself, so that whoever shares X sees the change, unless Y has another shape or dtype: then it is
    Y. Callers keep what is returned, `X = assign(X, Y)`, so that an array which can't be changed will do as well.
    """
    if X.shape != Y.shape or X.dtype != Y.dtype:
        return Y
    X[...] = Y
    return X


# As many elements as stay in the fast caches while scale_add works on them.
_CHUNK = 16384


def scale_add(a: float, X: Matrix, b: float, Y: Matrix) -> Matrix:
    """X ← aX + bY: computes it in the place and dtype of X, and returns the array that holds it.

    Callers keep what is returned, as with `assign`. Large matrices are done piece by piece: whole temporary
    matrices would go through main memory, which takes twice the time.
    """
    if not (X.flags.c_contiguous and Y.flags.c_contiguous and X.shape == Y.shape):
        X[...] = a * X + b * Y
        return X
    x, y = X.reshape(-1), Y.reshape(-1)
    for start in range(0, x.size, _CHUNK):
        part = x[start : start + _CHUNK]
        if a != 1:
            part *= a
        part += b * y[start : start + _CHUNK]
    return X
