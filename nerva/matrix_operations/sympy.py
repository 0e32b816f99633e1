"""The matrix operations on symbols, with which `nerva prove` proves: NumPy arrays of SymPy expressions.

NumPy's own operations work on such arrays where they add, multiply and repeat. The others are below.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy as sp

from nerva.matrix_operations.numpy import Diag as Diag
from nerva.matrix_operations.numpy import column_repeat as column_repeat
from nerva.matrix_operations.numpy import columns_mean as columns_mean
from nerva.matrix_operations.numpy import columns_sum as columns_sum
from nerva.matrix_operations.numpy import diag as diag
from nerva.matrix_operations.numpy import dot as dot
from nerva.matrix_operations.numpy import elements as elements
from nerva.matrix_operations.numpy import elements_sum as elements_sum
from nerva.matrix_operations.numpy import hadamard as hadamard
from nerva.matrix_operations.numpy import product as product
from nerva.matrix_operations.numpy import reciprocal as reciprocal
from nerva.matrix_operations.numpy import row_repeat as row_repeat
from nerva.matrix_operations.numpy import rows_mean as rows_mean
from nerva.matrix_operations.numpy import rows_sum as rows_sum
from nerva.matrix_operations.numpy import square as square
from nerva.matrix_operations.numpy import take_rows as take_rows
from nerva.matrix_operations.numpy import to_numpy as to_numpy
from nerva.matrix_operations.numpy import wait as wait
from nerva.matrix_operations.numpy import zeros_like as zeros_like

Matrix = npt.NDArray[Any]

DEVICE_KIND = "cpu"
compile_epoch = None
NOT_COMPILABLE = ()
COMPILES_LAST_BATCH = True


def _each(f: Callable[..., Any], *arguments: Any) -> Any:
    """A function of expressions, applied to each element."""
    return np.frompyfunc(f, len(arguments), 1)(*arguments)


def from_numpy(X: Matrix) -> Matrix:
    return X.astype(object)


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


def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Any:
    return _each(lambda _: sp.Dummy("random"), like)


def norm(X: Matrix) -> Any:
    return sp.sqrt(np.sum(X * X))


def columns_max(X: Matrix) -> Matrix:
    return rows_max(X.T)


def rows_max(X: Matrix) -> Matrix:
    # The symbol for a maximum is not related to the row, so a proof holds only if the maximum cancels out. It does
    # where a maximum is subtracted just to avoid overflow.
    return np.array([sp.Dummy("maximum", real=True) for _ in X], dtype=object)


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
