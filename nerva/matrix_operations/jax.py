"""The matrix operations in JAX, and the compilation of a training step for it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.experimental import io_callback

from nerva import backends
from nerva.backends import foreign_array_error
from nerva.errors import NervaError
from nerva.matrix_operations.shared import NotCompilableError, column, epsilon, groups, index_not_finite, native, row

Matrix = Any  # jax.Array, or its stand-in while a step is compiled

# Without this, JAX turns float64 into float32. With it, a float32 matrix times 2.0 still is float32.
jax.config.update("jax_enable_x64", True)


def _device() -> Any:
    _, wanted = backends.chosen()
    gpus = [device for device in jax.devices() if device.platform != "cpu"]
    if wanted == "gpu" and not gpus:
        raise NervaError(f"device=gpu: JAX {jax.__version__} finds no GPU on this machine")
    return gpus[0] if gpus and wanted != "cpu" else jax.devices("cpu")[0]


DEVICE = _device()
DEVICE_KIND = "cpu" if DEVICE.platform == "cpu" else "gpu"
jax.config.update("jax_default_device", DEVICE)

COMPILES_LAST_BATCH = True
NOT_COMPILABLE = (
    jax.errors.ConcretizationTypeError,  # if X[0, 0] > 0, float(norm(X))
    jax.errors.TracerArrayConversionError,  # np.sum(X)
    jax.errors.TracerIntegerConversionError,  # [1, 2][i]
    jax.errors.NonConcreteBooleanIndexError,  # X[X > 0]
)


def from_numpy(X: npt.NDArray[Any]) -> Matrix:
    if not isinstance(X, np.ndarray):
        raise foreign_array_error(X)
    return jnp.array(native(X))


def to_numpy(X: Matrix) -> Any:
    # A copy: JAX's own view is read-only.
    return np.array(X)


def as_real(X: Matrix) -> Matrix:
    if not isinstance(X, jax.Array):
        raise foreign_array_error(X)
    return X if jnp.issubdtype(X.dtype, jnp.floating) else X.astype(jnp.float32)


def zeros(m: int, n: int | None = None, dtype: Any = np.float32) -> Matrix:
    return jnp.zeros(m if n is None else (m, n), dtype)


def ones(m: int, n: int | None = None, dtype: Any = np.float32) -> Matrix:
    return jnp.ones(m if n is None else (m, n), dtype)


def identity(n: int, dtype: Any = np.float32) -> Matrix:
    return jnp.eye(n, dtype=dtype)


def vector(elements: Sequence[Any], dtype: Any = np.float32) -> Matrix:
    return jnp.array(elements, dtype)


def elements(x: Matrix) -> Any:
    return iter(x)


def zeros_like(X: Matrix) -> Any:
    return jnp.zeros_like(X)


def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Matrix:
    def draw() -> Any:
        return (rng.random(like.shape, dtype=np.float32) < p).astype(like.dtype)

    # In a compiled step, each execution asks NumPy's generator.
    if isinstance(like, jax.core.Tracer):
        return io_callback(draw, jax.ShapeDtypeStruct(like.shape, like.dtype), ordered=True)
    return jnp.array(draw())


def product(X: Matrix, Y: Matrix) -> Any:
    return jnp.matmul(X, Y)


def hadamard(X: Matrix, Y: Matrix) -> Any:
    return jnp.multiply(X, Y)


def dot(x: Matrix, y: Matrix) -> Any:
    return jnp.dot(jnp.squeeze(x), jnp.squeeze(y))


def diag(X: Matrix) -> Any:
    return jnp.diagonal(X)


def Diag(x: Matrix) -> Any:
    return jnp.diagflat(x)


def elements_sum(X: Matrix) -> Any:
    return jnp.sum(X)


def norm(X: Matrix) -> Any:
    return jnp.sqrt(jnp.sum(jnp.square(X)))


def column_repeat(x: Matrix, n: int) -> Matrix:
    return jnp.broadcast_to(column(x), (x.shape[0], n))


def row_repeat(x: Matrix, m: int) -> Matrix:
    return jnp.broadcast_to(row(x), (m, x.shape[-1]))


def columns_sum(X: Matrix) -> Matrix:
    return jnp.sum(X, axis=0)


def rows_sum(X: Matrix) -> Matrix:
    return jnp.sum(X, axis=1)


def columns_max(X: Matrix) -> Matrix:
    return jnp.max(X, axis=0)


def rows_max(X: Matrix) -> Matrix:
    return jnp.max(X, axis=1)


def columns_mean(X: Matrix) -> Matrix:
    return jnp.mean(X, axis=0)


def rows_mean(X: Matrix) -> Matrix:
    return jnp.mean(X, axis=1)


def take_rows(X: Matrix, rows: Any) -> Matrix:
    # "clip" leaves out the check of the indices, which are always in range.
    return X[rows] if isinstance(rows, slice) else jnp.take(X, rows, axis=0, mode="clip")


def exp(X: Matrix) -> Any:
    return jnp.exp(X)


def expm1(X: Matrix) -> Any:
    return jnp.expm1(X)


def log(X: Matrix) -> Any:
    return jnp.log(X)


def tanh(X: Matrix) -> Any:
    return jnp.tanh(X)


def sigmoid(X: Matrix) -> Any:
    return jax.nn.sigmoid(X)


def softplus(X: Matrix) -> Any:
    return jax.nn.softplus(X)


def log_sigmoid(X: Matrix) -> Any:
    return jax.nn.log_sigmoid(X)


def normal_cdf(X: Matrix) -> Any:
    return jax.scipy.special.ndtr(X)


def normal_pdf(X: Matrix) -> Matrix:
    return jnp.exp(-(X**2) / 2) / math.sqrt(2 * math.pi)


def xlogy(X: Matrix, Y: Matrix) -> Any:
    return jax.scipy.special.xlogy(X, Y)


def divide(X: Matrix, Y: Matrix) -> Matrix:
    return jnp.where(X == 0, 0, X / Y)


def reciprocal(X: Matrix) -> Any:
    return jnp.reciprocal(X)


def square(X: Matrix) -> Any:
    return jnp.square(X)


def sqrt(X: Matrix) -> Any:
    return jnp.sqrt(X)


def inv_sqrt(X: Matrix) -> Matrix:
    return 1 / jnp.sqrt(X + epsilon)


def abs(X: Matrix) -> Any:
    return jnp.abs(X)


def sign(X: Matrix) -> Any:
    return jnp.sign(X)


def maximum(X: Matrix, a: float) -> Any:
    return jnp.maximum(X, a)


def minimum(X: Matrix, a: float) -> Any:
    return jnp.minimum(X, a)


def greater(X: Matrix, a: float) -> Any:
    return jnp.greater(X, a)


def less(X: Matrix, a: float) -> Any:
    return jnp.less(X, a)


def less_equal(X: Matrix, a: float) -> Any:
    return jnp.less_equal(X, a)


def where(condition: Matrix, X: Any, Y: Any, like: Matrix) -> Matrix:
    return jnp.where(condition, X, Y).astype(like.dtype)


def indicator(condition: Matrix, like: Matrix) -> Matrix:
    return condition.astype(like.dtype)


def first_not_finite(X: Matrix) -> tuple[int, ...] | None:
    return index_not_finite(to_numpy(X))


def assign(X: Matrix, Y: Matrix) -> Matrix:
    return Y


def scale_add(a: Any, X: Matrix, b: Any, Y: Matrix) -> Matrix:
    return (a * X + b * Y).astype(X.dtype)


def scalar(x: Any) -> Any:
    return x if isinstance(x, jax.Array) else float(x)


def larger(x: Any, y: Any) -> Any:
    return jnp.maximum(x, y)


def wait() -> None:
    jax.block_until_ready(jax.live_arrays())


def _as_before(old: Any, new: Any) -> Any:
    """The new value of a variable in the dtype of the old one. A float does not become an integer."""
    if new.shape != old.shape or not jnp.can_cast(new.dtype, old.dtype, "same_kind"):
        raise NotCompilableError
    return new.astype(old.dtype)


def compile_epoch(step: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    def step_on_rows(variables: list[Any], X: Matrix, T: Matrix, rows: Matrix, eta: Any) -> list[Any]:
        changed = step(variables, take_rows(X, rows), take_rows(T, rows), eta)
        return [_as_before(old, jnp.asarray(new)) for old, new in zip(variables, changed, strict=True)]

    # The loop changes its own copies of the variables. The arrays that were given stay what they are.
    @jax.jit  # type: ignore[untyped-decorator]
    def run_batches(variables: list[Any], X: Matrix, T: Matrix, batches: Matrix, eta: Any) -> list[Any]:
        last: list[Any]
        last, _ = jax.lax.scan(lambda v, rows: (step_on_rows(v, X, T, rows, eta), None), variables, batches)
        return last

    def run_epoch(
        variables: list[Any], X: Matrix, T: Matrix, batches: Sequence[npt.NDArray[np.int64]], eta: float
    ) -> list[Any]:
        for group in groups(batches):
            variables = run_batches(variables, X, T, group, eta)
        return variables

    return run_epoch
