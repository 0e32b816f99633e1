"""The matrix operations in NumPy.

Repeated rows and columns are views, not copies. Matrices may be traced ones, while a step is compiled.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.backends import foreign_array_error
from nerva.matrix_operations import numpy_trace
from nerva.matrix_operations.numpy_compiler import CompiledEpoch
from nerva.matrix_operations.numpy_trace import Traced
from nerva.matrix_operations.shared import column, epsilon, index_not_finite, row

Matrix = npt.NDArray[Any]

DEVICE_KIND = "cpu"
NOT_COMPILABLE = ()
COMPILES_LAST_BATCH = False


def from_numpy(X: Matrix) -> Matrix:
    return X


def to_numpy(X: Matrix) -> Matrix:
    return X


def as_real(X: Matrix) -> Matrix:
    if not isinstance(X, np.ndarray | Traced):
        raise foreign_array_error(X)
    return X.astype(np.float32) if X.dtype.kind in "biu" else X


def zeros(m: int, n: int | None = None, dtype: npt.DTypeLike = np.float32) -> Matrix:
    return np.zeros(m if n is None else (m, n), dtype=dtype)


def ones(m: int, n: int | None = None, dtype: npt.DTypeLike = np.float32) -> Matrix:
    return np.ones(m if n is None else (m, n), dtype=dtype)


def identity(n: int, dtype: npt.DTypeLike = np.float32) -> Matrix:
    return np.eye(n, dtype=dtype)


def vector(elements: Sequence[Any], dtype: npt.DTypeLike = np.float32) -> Matrix:
    for x in elements:
        if isinstance(x, Traced):
            return x.trace.record("vector", tuple(elements), (len(elements),), np.dtype(dtype))  # type: ignore[return-value]
    return np.array(elements, dtype=dtype)


def elements(x: Matrix) -> Any:
    return iter(x)


def zeros_like(X: Matrix) -> Any:
    return np.zeros_like(X)


def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Matrix:
    if isinstance(like, Traced):
        # Each call draws anew.
        detail = (rng, len(like.trace.nodes))
        U: Any = like.trace.record("random", (), like.shape, np.dtype(np.float32), detail)
    else:
        U = rng.random(like.shape, dtype=np.float32)
    return less(U, p).astype(like.dtype)  # type: ignore[no-any-return]


def product(X: Matrix, Y: Matrix) -> Any:
    return np.matmul(X, Y)


def hadamard(X: Matrix, Y: Matrix) -> Any:
    return np.multiply(X, Y)


def dot(x: Matrix, y: Matrix) -> Any:
    return np.dot(np.squeeze(x), np.squeeze(y))


def diag(X: Matrix) -> Any:
    return np.diagonal(X)


def Diag(x: Matrix) -> Any:
    return np.diagflat(x)


def elements_sum(X: Matrix) -> Any:
    return np.sum(X)


def norm(X: Matrix) -> float:
    return scalar(np.linalg.norm(X))


def column_repeat(x: Matrix, n: int) -> Matrix:
    return np.broadcast_to(column(x), (x.shape[0], n))


def row_repeat(x: Matrix, m: int) -> Matrix:
    return np.broadcast_to(row(x), (m, x.shape[-1]))


def columns_sum(X: Matrix) -> Any:
    return np.sum(X, axis=0)


def rows_sum(X: Matrix) -> Any:
    return np.sum(X, axis=1)


def columns_max(X: Matrix) -> Any:
    return np.max(X, axis=0)


def rows_max(X: Matrix) -> Any:
    return np.max(X, axis=1)


def columns_mean(X: Matrix) -> Any:
    return np.mean(X, axis=0)


def rows_mean(X: Matrix) -> Any:
    return np.mean(X, axis=1)


def take_rows(X: Matrix, rows: npt.NDArray[np.int64] | slice) -> Matrix:
    return X[rows]


def exp(X: Matrix) -> Any:
    return np.exp(X)


def expm1(X: Matrix) -> Any:
    # NumPy's expm1 is the C library's, and so is its log(1 + x) in `_log1pexp`: their last bits depend on its version.
    return np.tanh(X / 2) * (np.exp(X) + 1)


def log(X: Matrix) -> Any:
    return np.log(X)


def tanh(X: Matrix) -> Any:
    return np.tanh(X)


def sigmoid(X: Matrix) -> Any:
    with np.errstate(over="ignore"):  # where e⁻ˣ is infinite its reciprocal is the limit, 0
        return 1 / (1 + np.exp(-X))


def softplus(X: Matrix) -> Any:
    return _log1pexp(X)


def log_sigmoid(X: Matrix) -> Any:
    return -_log1pexp(-X)


def _log1pexp(X: Matrix) -> Any:
    """log(1 + eˣ) = max(x, 0) + log(1 + u), u = e^-|x|, with log(1 + u) by Kahan's method, accurate for small u."""
    U = np.exp(-np.abs(X))
    V = 1 + U  # rounded; the quotient below compensates for it
    return np.maximum(X, 0) + np.where(V == 1, U, np.log(V) * np.divide(U, V - 1, where=V != 1, out=np.ones_like(U)))


def normal_cdf(X: Matrix) -> Any:
    from scipy.special import ndtr  # NumPy has no error function; imported here, because few networks need it

    return ndtr(X)


def normal_pdf(X: Matrix) -> Any:
    return np.exp(-(X**2) / 2) / math.sqrt(2 * math.pi)


def xlogy(X: Matrix, Y: Matrix) -> Any:
    return np.multiply(X, np.log(Y, where=X != 0, out=np.zeros_like(Y)))


def divide(X: Matrix, Y: Matrix) -> Any:
    return np.divide(X, Y, where=X != 0, out=np.zeros_like(Y))


def reciprocal(X: Matrix) -> Any:
    return 1 / X


def square(X: Matrix) -> Any:
    return np.square(X)


def sqrt(X: Matrix) -> Any:
    return np.sqrt(X)


def inv_sqrt(X: Matrix) -> Any:
    return 1 / np.sqrt(X + epsilon)


def abs(X: Matrix) -> Any:
    return np.abs(X)


def sign(X: Matrix) -> Any:
    return np.sign(X)


def maximum(X: Matrix, a: float) -> Any:
    return np.maximum(X, a)


def minimum(X: Matrix, a: float) -> Any:
    return np.minimum(X, a)


def greater(X: Matrix, a: float) -> Any:
    return a < X


def less(X: Matrix, a: float) -> Any:
    return a > X


def less_equal(X: Matrix, a: float) -> Any:
    return a >= X


def where(condition: Matrix, X: Matrix | float, Y: Matrix | float, like: Matrix) -> Matrix:
    if isinstance(condition, Traced):
        return numpy_trace.where(condition, X, Y, like.dtype)
    return np.where(condition, np.asarray(X, like.dtype), np.asarray(Y, like.dtype))


def indicator(condition: Matrix, like: Matrix) -> Matrix:
    return condition.astype(like.dtype)


def first_not_finite(X: Matrix) -> tuple[int, ...] | None:
    return index_not_finite(X)


def assign(X: Matrix, Y: Matrix) -> Matrix:
    if isinstance(Y, Traced) or X.shape != Y.shape or X.dtype != Y.dtype:
        return Y
    X[...] = Y
    return X


# The number of elements that fit in the fast caches while scale_add works on them.
_CHUNK = 16384


def scale_add(a: float, X: Matrix, b: float, Y: Matrix) -> Matrix:
    if isinstance(X, Traced):
        return _scaled(a, X) + _scaled(b, Y)
    # Large matrices are processed in parts: temporary matrices of full size would go through main memory, which takes
    # twice the time.
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


def _scaled(a: float, X: Matrix) -> Matrix:
    return X if not isinstance(a, Traced) and a == 1 else a * X


def scalar(x: Any) -> float:
    return x if isinstance(x, Traced) else float(x)  # type: ignore[return-value]


def larger(x: Any, y: Any) -> Any:
    for z in (x, y):
        if isinstance(z, Traced):
            return z.trace.record(max, (x, y), (), None)
    return max(x, y)


def wait() -> None:
    pass


def compile_epoch(step: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    return CompiledEpoch(step)
