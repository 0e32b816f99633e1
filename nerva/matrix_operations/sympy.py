"""The matrix operations on symbols, with which `nerva prove` proves: NumPy arrays of SymPy expressions."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy as sp

from nerva.matrix_operations.shared import column, row

Matrix = npt.NDArray[Any]

DEVICE_KIND = "cpu"
compile_repetition = None
NOT_COMPILABLE = ()


def _each(f: Callable[..., Any], *arguments: Any) -> Any:
    """A function of expressions, applied to each element."""
    return np.frompyfunc(f, len(arguments), 1)(*arguments)


def from_numpy(X: Matrix) -> Matrix:
    return X.astype(object)


def to_numpy(X: Matrix) -> Matrix:
    return X


def as_real(X: Matrix) -> Matrix:
    return X


def zeros(m: int, n: int | None = None, dtype: npt.DTypeLike = object) -> Matrix:
    return np.zeros(m if n is None else (m, n), dtype=object)


def ones(m: int, n: int | None = None, dtype: npt.DTypeLike = object) -> Matrix:
    return np.ones(m if n is None else (m, n), dtype=object)


def identity(n: int, dtype: npt.DTypeLike = object) -> Matrix:
    return np.eye(n, dtype=object)


def vector(elements: Sequence[Any], dtype: npt.DTypeLike = object) -> Matrix:
    return np.array(elements, dtype=object)


def elements(x: Matrix) -> Any:
    return iter(x)


def zeros_like(X: Matrix) -> Any:
    return np.zeros_like(X)


def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Any:
    return _each(lambda _: sp.Dummy("random"), like)


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


def norm(X: Matrix) -> Any:
    return sp.sqrt(np.sum(X * X))


def column_repeat(x: Matrix, n: int) -> Matrix:
    return np.broadcast_to(column(x), (x.shape[0], n))


def row_repeat(x: Matrix, m: int) -> Matrix:
    return np.broadcast_to(row(x), (m, x.shape[-1]))


def columns_sum(X: Matrix) -> Any:
    return np.sum(X, axis=0)


def rows_sum(X: Matrix) -> Any:
    return np.sum(X, axis=1)


def columns_max(X: Matrix) -> Matrix:
    return rows_max(X.T)


def rows_max(X: Matrix) -> Matrix:
    # The symbol for a maximum is not related to the row, so a proof holds only if the maximum cancels out. It does
    # where a maximum is subtracted just to avoid overflow.
    return np.array([sp.Dummy("maximum", real=True) for _ in X], dtype=object)


def columns_mean(X: Matrix) -> Any:
    return np.mean(X, axis=0)


def rows_mean(X: Matrix) -> Any:
    return np.mean(X, axis=1)


def take_rows(X: Matrix, rows: npt.NDArray[np.int64] | slice) -> Matrix:
    return X[rows]


def exp(X: Matrix) -> Any:
    return _each(sp.exp, X)


def expm1(X: Matrix) -> Any:
    return exp(X) - 1


def log(X: Matrix) -> Any:
    return _each(sp.log, X)


def tanh(X: Matrix) -> Any:
    return _each(sp.tanh, X)


def sigmoid(X: Matrix) -> Any:
    return 1 / (1 + exp(-X))


def softplus(X: Matrix) -> Any:
    return log(1 + exp(X))


def log_sigmoid(X: Matrix) -> Any:
    return log(sigmoid(X))


def normal_cdf(X: Matrix) -> Any:
    return _each(lambda x: (1 + sp.erf(x / sp.sqrt(2))) / 2, X)


def normal_pdf(X: Matrix) -> Any:
    return _each(lambda x: sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi), X)


def xlogy(X: Matrix, Y: Matrix) -> Any:
    return X * log(Y)


def divide(X: Matrix, Y: Matrix) -> Any:
    return X * (1 / Y)


def reciprocal(X: Matrix) -> Any:
    return 1 / X


def square(X: Matrix) -> Any:
    return np.square(X)


def sqrt(X: Matrix) -> Any:
    return _each(sp.sqrt, X)


def inv_sqrt(X: Matrix) -> Any:
    return 1 / sqrt(X + sp.Symbol("epsilon", positive=True))


def abs(X: Matrix) -> Any:
    return _each(sp.Abs, X)


def sign(X: Matrix) -> Any:
    return _each(sp.sign, X)


def maximum(X: Matrix, a: Any) -> Any:
    return where(greater(X, a), X, a, like=X)


def minimum(X: Matrix, a: Any) -> Any:
    return where(less(X, a), X, a, like=X)


def greater(X: Matrix, a: Any) -> Any:
    return _each(sp.Gt, X, a)


def less(X: Matrix, a: Any) -> Any:
    return _each(sp.Lt, X, a)


def less_equal(X: Matrix, a: Any) -> Any:
    return _each(sp.Le, X, a)


def where(condition: Matrix, X: Any, Y: Any, like: Matrix) -> Any:
    return _each(lambda c, x, y: sp.Piecewise((x, c), (y, True)), condition, X, Y)


def indicator(condition: Matrix, like: Matrix) -> Any:
    return where(condition, 1, 0, like)


def first_not_finite(X: Matrix) -> None:
    return None


def assign(X: Matrix, Y: Matrix) -> Matrix:
    return Y


def scale_add(a: Any, X: Matrix, b: Any, Y: Matrix) -> Any:
    return a * X + b * Y


def scalar(x: Any) -> Any:
    return x


def larger(x: Any, y: Any) -> Any:
    return sp.Max(x, y)
