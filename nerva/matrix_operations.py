"""The matrix operations of which every equation of this package is composed.

Matrices have one sample per row. A vector is one-dimensional and is used as a row or as a column, as an operation
requires. Every operation preserves the dtype of its arguments: float32 stays float32 and float64 stays float64, also
together with Python numbers. Repeated rows and columns are views, not copies.

This is the only module that depends on the library that computes. Matrices of numbers are NumPy arrays. A matrix of
SymPy expressions (of dtype object) goes through the same operations, so that the equations of layers, activations and
losses can be run on symbols without change, and proved: see `nerva.proof`.

The operations and their notation are those of "Batch Matrix-form Equations and Implementation of Multilayer
Perceptrons" (arXiv:2511.11918).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[Any]

# Added under the root by inv_sqrt: a feature that is constant in a batch has variance 0.
epsilon = 1e-7


def _symbolic(X: Any) -> bool:
    """Whether X is made of SymPy expressions."""
    return bool(np.asarray(X).dtype == object)


def _each(f: Callable[..., Any], *arguments: Any) -> Matrix:
    """A function of SymPy expressions, applied to each element."""
    result: Matrix = np.frompyfunc(f, len(arguments), 1)(*arguments)
    return result


def _sympy() -> Any:
    # Imported here: computing with numbers does not need it.
    import sympy

    return sympy


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
    return np.dot(np.squeeze(x), np.squeeze(y))


def zeros(m: int, n: int | None = None, dtype: npt.DTypeLike = np.float32) -> Matrix:
    """0ₘₙ, the m×n matrix of zeros; without n, the vector of m zeros."""
    return np.zeros(m if n is None else (m, n), dtype=dtype)


def vector(elements: Sequence[Any], dtype: npt.DTypeLike = np.float32) -> Matrix:
    """The vector of some numbers, or of some numbers and SymPy expressions."""
    symbolic = any(type(element).__module__.startswith("sympy") for element in elements)
    return np.array(elements, dtype=object if symbolic else dtype)


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


def norm(X: Matrix) -> float:
    """‖X‖, the square root of the sum of the squares of all elements, as a Python number."""
    return float(np.linalg.norm(X))


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


def _maxima(X: Matrix) -> Matrix:
    """A symbol for the maximum of each row.

    The symbol is not related to the row, so a proof holds only if the maximum cancels out. It does where a maximum is
    subtracted just to avoid overflow.
    """
    return np.array([_sympy().Dummy("maximum", real=True) for _ in X], dtype=object)


def columns_max(X: Matrix) -> Matrix:
    """max(X)_col, the maximum of each column, as a vector of n."""
    return _maxima(X.T) if _symbolic(X) else _along(np.max, X, axis=0)


def rows_max(X: Matrix) -> Matrix:
    """max(X)_row, the maximum of each row, as a vector of m."""
    return _maxima(X) if _symbolic(X) else _along(np.max, X, axis=1)


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
    return _each(_sympy().exp, X) if _symbolic(X) else np.exp(X)


def expm1(X: Matrix) -> Matrix:
    """eˣ - 1 of each element, accurate also for x near 0."""
    # NumPy's expm1 is the C library's, and so is its log(1 + x) in `_log1pexp`: their last bits depend on its version.
    return exp(X) - 1 if _symbolic(X) else np.tanh(X / 2) * (np.exp(X) + 1)


def log(X: Matrix) -> Matrix:
    """log x, the natural logarithm of each element."""
    return _each(_sympy().log, X) if _symbolic(X) else np.log(X)


def tanh(X: Matrix) -> Matrix:
    """tanh x of each element."""
    return _each(_sympy().tanh, X) if _symbolic(X) else np.tanh(X)


def sigmoid(X: Matrix) -> Matrix:
    """σ(x) = 1 / (1 + e⁻ˣ) of each element, without overflow."""
    if _symbolic(X):
        return reciprocal(1 + exp(-X))
    with np.errstate(over="ignore"):  # where e⁻ˣ is infinite its reciprocal is the limit, 0
        return 1 / (1 + np.exp(-X))


def softplus(X: Matrix) -> Matrix:
    """log(1 + eˣ) of each element; finite wherever x is."""
    return log(1 + exp(X)) if _symbolic(X) else _log1pexp(X)


def _log1pexp(X: Matrix) -> Matrix:
    """log(1 + eˣ) = max(x, 0) + log(1 + u), u = e^-|x|, with log(1 + u) by Kahan's method, accurate for small u."""
    U = np.exp(-np.abs(X))
    V = 1 + U  # rounded; the quotient below compensates for it
    return np.maximum(X, 0) + np.where(V == 1, U, np.log(V) * np.divide(U, V - 1, where=V != 1, out=np.ones_like(U)))


def normal_cdf(X: Matrix) -> Matrix:
    """Φ(x) of each element, the cumulative distribution function of the standard normal distribution."""
    if _symbolic(X):
        return _each(lambda x: (1 + _sympy().erf(x / _sympy().sqrt(2))) / 2, X)
    from scipy.special import ndtr  # NumPy has no error function; imported here, because few networks need it

    result: Matrix = ndtr(X)
    return result


def normal_pdf(X: Matrix) -> Matrix:
    """φ(x) = e^(-x²/2) / √(2π) of each element, the density of the standard normal distribution."""
    if _symbolic(X):
        return _each(lambda x: _sympy().exp(-(x**2) / 2) / _sympy().sqrt(2 * _sympy().pi), X)
    return np.exp(-(X**2) / 2) / math.sqrt(2 * math.pi)


def xlogy(X: Matrix, Y: Matrix) -> Matrix:
    """X ⊙ log(Y), but 0 where x is 0, whatever y is: the limit of x log x."""
    if _symbolic(X):
        return hadamard(X, log(Y))
    return np.multiply(X, np.log(Y, where=X != 0, out=np.zeros_like(Y)))


def divide(X: Matrix, Y: Matrix) -> Matrix:
    """X ⊘ Y, the element-wise quotient, but 0 where x is 0, whatever y is."""
    if _symbolic(X):
        return hadamard(X, reciprocal(Y))
    return np.divide(X, Y, where=X != 0, out=np.zeros_like(Y))


def reciprocal(X: Matrix) -> Matrix:
    """1 / x of each element."""
    return 1 / X


def square(X: Matrix) -> Matrix:
    """x² of each element."""
    return np.square(X)


def sqrt(X: Matrix) -> Matrix:
    """√x of each element."""
    return _each(_sympy().sqrt, X) if _symbolic(X) else np.sqrt(X)


def inv_sqrt(X: Matrix) -> Matrix:
    """1 / √(x + epsilon) of each element."""
    if _symbolic(X):
        return reciprocal(sqrt(X + _sympy().Symbol("epsilon", positive=True)))
    return 1 / np.sqrt(X + epsilon)


def log_sigmoid(X: Matrix) -> Matrix:
    """log σ(x) of each element; finite wherever x is."""
    return log(sigmoid(X)) if _symbolic(X) else -_log1pexp(-X)


def abs(X: Matrix) -> Matrix:
    """|x| of each element."""
    return _each(_sympy().Abs, X) if _symbolic(X) else np.abs(X)


def clip(X: Matrix, a_min: float, a_max: float) -> Matrix:
    """Each element, but no less than a_min and no more than a_max."""
    return minimum(maximum(X, a_min), a_max)


def maximum(X: Matrix, a: float) -> Matrix:
    """max(x, a) of each element."""
    return where(greater(X, a), X, a, like=X) if _symbolic(X) else np.maximum(X, a)


def minimum(X: Matrix, a: float) -> Matrix:
    """min(x, a) of each element."""
    return where(less(X, a), X, a, like=X) if _symbolic(X) else np.minimum(X, a)


def greater(X: Matrix, a: float) -> Matrix:
    """x > a of each element: a condition, for `where`."""
    return _each(_sympy().Gt, X, a) if _symbolic(X) else a < X


def less(X: Matrix, a: float) -> Matrix:
    """x < a of each element: a condition, for `where`."""
    return _each(_sympy().Lt, X, a) if _symbolic(X) else a > X


def less_equal(X: Matrix, a: float) -> Matrix:
    """x ≤ a of each element: a condition, for `where`."""
    return _each(_sympy().Le, X, a) if _symbolic(X) else a >= X


def where(condition: Matrix, X: Matrix | float, Y: Matrix | float, like: Matrix) -> Matrix:
    """x where the condition holds and y elsewhere, in the dtype of `like`; X and Y may be numbers."""
    if _symbolic(like):
        return _each(lambda c, x, y: _sympy().Piecewise((x, c), (y, True)), condition, X, Y)
    return np.where(condition, np.asarray(X, like.dtype), np.asarray(Y, like.dtype))


def indicator(condition: Matrix, like: Matrix) -> Matrix:
    """1 where the condition holds and 0 elsewhere, in the dtype of `like`."""
    return where(condition, 1, 0, like) if _symbolic(like) else condition.astype(like.dtype)


def as_real(X: Matrix) -> Matrix:
    """X, with integers and booleans converted to float32."""
    return X.astype(np.float32) if X.dtype.kind in "biu" else X


def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Matrix:
    """A random matrix of the shape and dtype of `like`, whose elements are 1 with probability p, and else 0."""
    if _symbolic(like):
        return _each(lambda _: _sympy().Dummy("random"), like)
    return (rng.random(like.shape, dtype=np.float32) < p).astype(like.dtype)


def first_not_finite(X: Matrix) -> tuple[int, ...] | None:
    """The index of the first element that is infinite or not a number; None if there is no such element."""
    if np.isfinite(X).all():
        return None
    return tuple(int(i) for i in np.argwhere(~np.isfinite(X))[0])


def assign(X: Matrix, Y: Matrix) -> Matrix:
    """X ← Y: copy the elements of Y into X, and return X, so that all users of X see the change.

    If Y has another shape or dtype, return Y instead. Callers keep the result: `X = assign(X, Y)`.
    """
    if X.shape != Y.shape or X.dtype != Y.dtype:
        return Y
    X[...] = Y
    return X


# The number of elements that stay in the fast caches while scale_add works on them.
_CHUNK = 16384


def scale_add(a: float, X: Matrix, b: float, Y: Matrix) -> Matrix:
    """X ← aX + bY, computed in place and in the dtype of X. Return the array that holds the result.

    Callers keep the result, as with `assign`. Large matrices are processed in parts: temporary matrices of full size
    would go through main memory, which takes twice the time.
    """
    if _symbolic(X) or _symbolic(Y):
        return a * X + b * Y
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
