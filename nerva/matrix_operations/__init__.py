# mypy: disable-error-code="empty-body"
"""The table of matrix operations in which the equations of this package are written.

Matrices have one sample per row. A vector is one-dimensional and is used as a row or as a column, as an operation
requires. Every operation that gives real numbers preserves the dtype of its arguments: float32 stays float32 and
float64 stays float64, also together with Python numbers.

Each operation is declared here once, with its signature and its meaning. The module of the chosen library implements it
(`nerva.matrix_operations.numpy`, for instance), and `from nerva.matrix_operations import exp` imports the function of
that module. Nothing outside of this package depends on the library; `nerva.use` chooses it. With SymPy, matrices hold
symbols, so that the equations of layers, activations and losses can be proved: see `nerva.proof`.

Besides these operations, equations use `+`, `-`, `*`, `/`, `**` and `@` between matrices, and `X.T`, `X.shape`,
`X.dtype` and `X.reshape`, which all libraries share.

The operations and their notation are those of "Batch Matrix-form Equations and Implementation of Multilayer
Perceptrons" (arXiv:2511.11918).
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nerva import backends
from nerva.matrix_operations.shared import NotCompilableError as NotCompilableError
from nerva.matrix_operations.shared import epsilon as epsilon
from nerva.matrix_operations.shared import is_column_vector as is_column_vector
from nerva.matrix_operations.shared import is_row_vector as is_row_vector
from nerva.matrix_operations.shared import is_square as is_square
from nerva.matrix_operations.shared import is_vector as is_vector
from nerva.matrix_operations.shared import vector_size as vector_size

# A matrix or vector of the chosen library. Its type is that of NumPy's arrays, whose interface the others share.
Matrix = npt.NDArray[Any]
# The index of each row of a batch, or a slice.
Rows = npt.NDArray[np.int64] | slice

BACKEND, _ = backends.chosen()
backends.check_installed(BACKEND)
_library: Any = importlib.import_module(f"nerva.matrix_operations.{BACKEND}")
DEVICE_KIND: str = _library.DEVICE_KIND  # cpu or gpu

# The declaration of each operation, by its name.
OPERATIONS: dict[str, Callable[..., Any]] = {}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def operation(declaration: _Function) -> _Function:
    """Record the declaration of an operation, and replace it by the chosen library's implementation."""
    OPERATIONS[declaration.__name__] = declaration
    implementation: _Function = getattr(_library, declaration.__name__)
    return implementation


# --- constants and conversions ----------------------------------------------------------------------------------


@operation
def from_numpy(X: npt.NDArray[Any]) -> Matrix:
    """A NumPy array as a matrix of this library, on its device."""


@operation
def to_numpy(X: Matrix) -> npt.NDArray[Any]:
    """A matrix as a NumPy array, which may share its memory."""


@operation
def as_real(X: Matrix) -> Matrix:
    """X, with integers and booleans converted to float32. Arrays of another library raise a NervaError."""


@operation
def zeros(m: int, n: int | None = None, dtype: npt.DTypeLike = np.float32) -> Matrix:
    """0ₘₙ, the m×n matrix of zeros; without n, the vector of m zeros."""


@operation
def ones(m: int, n: int | None = None, dtype: npt.DTypeLike = np.float32) -> Matrix:
    """1ₘₙ, the m×n matrix of ones; without n, the vector of m ones."""


@operation
def identity(n: int, dtype: npt.DTypeLike = np.float32) -> Matrix:
    """𝕀ₙ, the n×n identity matrix."""


@operation
def vector(elements: Sequence[Any], dtype: npt.DTypeLike = np.float32) -> Matrix:
    """The vector with the given elements."""


@operation
def elements(x: Matrix) -> Iterable[Any]:
    """The elements of a vector, one after the other."""


@operation
def zeros_like(X: Matrix) -> Matrix:
    """The matrix of zeros with the shape and dtype of X."""


@operation
def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Matrix:
    """A random matrix of the shape and dtype of `like`, whose elements are 1 with probability p, and 0 otherwise.

    NumPy's generator draws the elements for every library.
    """


# --- products, sums and repetitions -----------------------------------------------------------------------------


@operation
def product(X: Matrix, Y: Matrix) -> Matrix:
    """XY, the matrix product; X is m×k and Y k×n."""


@operation
def hadamard(X: Matrix, Y: Matrix) -> Matrix:
    """X ⊙ Y, the element-wise product of matrices of the same shape."""


@operation
def dot(x: Matrix, y: Matrix) -> Any:
    """xᵀy, the inner product of two vectors of the same size."""


@operation
def diag(X: Matrix) -> Matrix:
    """diag(X), the diagonal of a square matrix, as a vector."""


@operation
def Diag(x: Matrix) -> Matrix:
    """Diag(x), the square matrix with the vector x as its diagonal and zeros elsewhere."""


@operation
def elements_sum(X: Matrix) -> Any:
    """1ₘᵀ X 1ₙ, the sum of all elements."""


@operation
def norm(X: Matrix) -> Any:
    """‖X‖, the square root of the sum of the squares of all elements."""


@operation
def column_repeat(x: Matrix, n: int) -> Matrix:
    """x 1ₙᵀ, the matrix whose n columns are x; where the library can, a read-only view of x."""


@operation
def row_repeat(x: Matrix, m: int) -> Matrix:
    """1ₘ x, the matrix whose m rows are x; where the library can, a read-only view of x."""


@operation
def columns_sum(X: Matrix) -> Matrix:
    """1ₘᵀ X, the sum of each column, as a vector of n."""


@operation
def rows_sum(X: Matrix) -> Matrix:
    """X 1ₙ, the sum of each row, as a vector of m."""


@operation
def columns_max(X: Matrix) -> Matrix:
    """max(X)_col, the maximum of each column, as a vector of n."""


@operation
def rows_max(X: Matrix) -> Matrix:
    """max(X)_row, the maximum of each row, as a vector of m."""


@operation
def columns_mean(X: Matrix) -> Matrix:
    """1/m 1ₘᵀ X, the mean of each column, as a vector of n."""


@operation
def rows_mean(X: Matrix) -> Matrix:
    """1/n X 1ₙ, the mean of each row, as a vector of m."""


@operation
def take_rows(X: Matrix, rows: Rows) -> Matrix:
    """The rows of X with the given indices, in their order."""


# --- functions of each element ----------------------------------------------------------------------------------


@operation
def exp(X: Matrix) -> Matrix:
    """eˣ of each element."""


@operation
def expm1(X: Matrix) -> Matrix:
    """eˣ - 1 of each element, accurate also for x near 0."""


@operation
def log(X: Matrix) -> Matrix:
    """log x, the natural logarithm of each element."""


@operation
def tanh(X: Matrix) -> Matrix:
    """tanh x of each element."""


@operation
def sigmoid(X: Matrix) -> Matrix:
    """σ(x) = 1 / (1 + e⁻ˣ) of each element, without overflow."""


@operation
def softplus(X: Matrix) -> Matrix:
    """log(1 + eˣ) of each element; finite wherever x is."""


@operation
def log_sigmoid(X: Matrix) -> Matrix:
    """log σ(x) of each element; finite wherever x is."""


@operation
def normal_cdf(X: Matrix) -> Matrix:
    """Φ(x) of each element, the cumulative distribution function of the standard normal distribution."""


@operation
def normal_pdf(X: Matrix) -> Matrix:
    """φ(x) = e^(-x²/2) / √(2π) of each element, the density of the standard normal distribution."""


@operation
def xlogy(X: Matrix, Y: Matrix) -> Matrix:
    """X ⊙ log(Y), but 0 where x is 0, for every y: the limit of x log x."""


@operation
def divide(X: Matrix, Y: Matrix) -> Matrix:
    """X ⊘ Y, the element-wise quotient, but 0 where x is 0, for every y."""


@operation
def reciprocal(X: Matrix) -> Matrix:
    """1 / x of each element."""


@operation
def square(X: Matrix) -> Matrix:
    """x² of each element."""


@operation
def sqrt(X: Matrix) -> Matrix:
    """√x of each element."""


@operation
def inv_sqrt(X: Matrix) -> Matrix:
    """1 / √(x + epsilon) of each element, with epsilon = 1e-7: a feature that is constant in a batch has variance 0."""


@operation
def abs(X: Matrix) -> Matrix:
    """|x| of each element."""


@operation
def sign(X: Matrix) -> Matrix:
    """1 where x > 0, -1 where x < 0, and 0 where x is 0."""


@operation
def maximum(X: Matrix, a: float) -> Matrix:
    """max(x, a) of each element."""


@operation
def minimum(X: Matrix, a: float) -> Matrix:
    """min(x, a) of each element."""


# --- conditions -------------------------------------------------------------------------------------------------


@operation
def greater(X: Matrix, a: float) -> Matrix:
    """x > a of each element: a condition, for `where`."""


@operation
def less(X: Matrix, a: float) -> Matrix:
    """x < a of each element: a condition, for `where`."""


@operation
def less_equal(X: Matrix, a: float) -> Matrix:
    """x ≤ a of each element: a condition, for `where`."""


@operation
def where(condition: Matrix, X: Matrix | float, Y: Matrix | float, like: Matrix) -> Matrix:
    """x where the condition holds and y elsewhere, in the dtype of `like`; X and Y may be numbers."""


@operation
def indicator(condition: Matrix, like: Matrix) -> Matrix:
    """1 where the condition holds and 0 elsewhere, in the dtype of `like`."""


@operation
def first_not_finite(X: Matrix) -> tuple[int, ...] | None:
    """The index of the first element that is infinite or not a number; None if there is no such element."""


# --- updates ----------------------------------------------------------------------------------------------------


@operation
def assign(X: Matrix, Y: Matrix) -> Matrix:
    """X ← Y. Return the matrix that holds the result: callers keep it, as in `X = assign(X, Y)`.

    NumPy copies the elements of Y into X, so that all users of X see the change. If Y has another shape or dtype, X
    stays as it is, and Y is returned. The other libraries always return Y.
    """


@operation
def scale_add(a: float, X: Matrix, b: float, Y: Matrix) -> Matrix:
    """X ← aX + bY, in the dtype of X. Return the matrix that holds the result, as with `assign`.

    NumPy computes it in place. PyTorch does, except the first time.
    """


@operation
def scalar(x: float) -> float:
    """The number x as a Python number, so that X * scalar(x) keeps the dtype of X: for learning rates, for instance.

    A number that is an argument of a compiled step is returned as it is.
    """


@operation
def larger(x: Any, y: Any) -> Any:
    """max(x, y) of two numbers."""


# --- without regard to the library ------------------------------------------------------------------------------


def apply(f: Callable[[Matrix], Matrix], X: Matrix) -> Matrix:
    """f(X), for a function f that works element-wise."""
    return f(X)


def clip(X: Matrix, a_min: float, a_max: float) -> Matrix:
    """min(max(x, a_min), a_max) of each element."""
    return minimum(maximum(X, a_min), a_max)


# Wait until everything is computed. JAX computes in the background, and so does a GPU.
wait: Callable[[], None] = _library.wait

# A training step as a function: the variables, the inputs and targets of a batch, and the learning rate give the new
# variables.
Step = Callable[[list[Any], Matrix, Matrix, Any], list[Any]]
# A compiled epoch: the variables, all inputs and targets, the rows of each batch, and the learning rate give the
# variables after the last batch.
Epoch = Callable[[list[Any], Matrix, Matrix, Sequence[npt.NDArray[np.int64]], float], list[Any]]

# Compile a step into a function that makes it on every batch of an epoch. None if the library has no compiler.
compile_epoch: Callable[[Step], Epoch] | None = _library.compile_epoch
# Whether the last batch of an epoch is computed by the compiled step as well, or by the methods of the layers.
COMPILES_LAST_BATCH: bool = _library.COMPILES_LAST_BATCH
# What a step raises while it is compiled if it needs the value of a matrix, as `if norm(X) > 1:` does.
NOT_COMPILABLE: tuple[type[Exception], ...] = _library.NOT_COMPILABLE
