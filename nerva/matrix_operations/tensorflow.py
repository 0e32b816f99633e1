"""The matrix operations in TensorFlow, and the compilation of a training step for it."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva import backends
from nerva.backends import foreign_array_error
from nerva.errors import NervaError
from nerva.matrix_operations.shared import NotCompilableError, column, epsilon, groups, index_not_finite, native, row


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what TensorFlow writes to the terminal when it is imported, before its own settings take effect."""
    try:
        terminal = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nothing)


with _quiet():
    import tensorflow as tf

    GPUS = tf.config.list_physical_devices("GPU")

Matrix = Any  # tf.Tensor

# Tensors get `X.T`, `X.reshape` and slices as in NumPy, and Python's numbers take the type of the matrix. TensorFlow
# warns that this has to be done before anything else, as it is here.
_level = tf.get_logger().level
tf.get_logger().setLevel("ERROR")
tf.experimental.numpy.experimental_enable_numpy_behavior(dtype_conversion_mode="all")
tf.get_logger().setLevel(_level)
# Every network has its own compiled steps. TensorFlow takes them for one that is compiled again and again.
tf.get_logger().addFilter(lambda record: "tf.function retracing" not in record.getMessage())


def _choose_device() -> None:
    _, wanted = backends.chosen()
    if wanted == "gpu" and not GPUS:
        raise NervaError(f"device=gpu: TensorFlow {tf.__version__} finds no GPU on this machine")
    if wanted == "cpu":
        tf.config.set_visible_devices([], "GPU")


_choose_device()
DEVICE_KIND = "gpu" if tf.config.get_visible_devices("GPU") else "cpu"

COMPILES_LAST_BATCH = True
NOT_COMPILABLE = (
    tf.errors.OperatorNotAllowedInGraphError,  # if X[0, 0] > 0
    NotImplementedError,  # np.sum(X)
    TypeError,  # float(norm(X)), [1, 2][i]
)


def from_numpy(X: npt.NDArray[Any]) -> Matrix:
    if not isinstance(X, np.ndarray):
        raise foreign_array_error(X)
    return tf.constant(native(X))


def to_numpy(X: Matrix) -> Any:
    return X.numpy() if isinstance(X, tf.Tensor) else X


def as_real(X: Matrix) -> Matrix:
    if not isinstance(X, tf.Tensor):
        raise foreign_array_error(X)
    return X if X.dtype.is_floating else tf.cast(X, tf.float32)


def zeros(m: int, n: int | None = None, dtype: Any = np.float32) -> Matrix:
    return tf.zeros([m] if n is None else [m, n], dtype)


def ones(m: int, n: int | None = None, dtype: Any = np.float32) -> Matrix:
    return tf.ones([m] if n is None else [m, n], dtype)


def identity(n: int, dtype: Any = np.float32) -> Matrix:
    return tf.eye(n, dtype=dtype)


def vector(elements: Sequence[Any], dtype: Any = np.float32) -> Matrix:
    return tf.stack([tf.cast(x, dtype) for x in elements]) if len(elements) else tf.zeros([0], dtype)


def elements(x: Matrix) -> Any:
    return tf.unstack(x)


def zeros_like(X: Matrix) -> Any:
    return tf.zeros_like(X)


def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Matrix:
    shape, dtype = tuple(like.shape), like.dtype

    # In a compiled step, each execution asks NumPy's generator.
    def draw() -> npt.NDArray[Any]:
        return (rng.random(shape, dtype=np.float32) < p).astype(dtype.as_numpy_dtype)

    return tf.ensure_shape(tf.numpy_function(draw, [], dtype), shape)


def product(X: Matrix, Y: Matrix) -> Any:
    return tf.matmul(X, Y)


def hadamard(X: Matrix, Y: Matrix) -> Any:
    return tf.multiply(X, Y)


def dot(x: Matrix, y: Matrix) -> Any:
    return tf.reduce_sum(tf.reshape(x, [-1]) * tf.reshape(y, [-1]))


def diag(X: Matrix) -> Any:
    return tf.linalg.diag_part(X)


def Diag(x: Matrix) -> Matrix:
    return tf.linalg.diag(tf.reshape(x, [-1]))


def elements_sum(X: Matrix) -> Any:
    return tf.reduce_sum(X)


def norm(X: Matrix) -> Any:
    return tf.sqrt(tf.reduce_sum(tf.square(X)))


def column_repeat(x: Matrix, n: int) -> Matrix:
    return tf.broadcast_to(column(x), [x.shape[0], n])


def row_repeat(x: Matrix, m: int) -> Matrix:
    return tf.broadcast_to(row(x), [m, x.shape[-1]])


def columns_sum(X: Matrix) -> Matrix:
    return tf.reduce_sum(X, 0)


def rows_sum(X: Matrix) -> Matrix:
    return tf.reduce_sum(X, 1)


def columns_max(X: Matrix) -> Matrix:
    return tf.reduce_max(X, 0)


def rows_max(X: Matrix) -> Matrix:
    return tf.reduce_max(X, 1)


def columns_mean(X: Matrix) -> Matrix:
    return tf.reduce_mean(X, 0)


def rows_mean(X: Matrix) -> Matrix:
    return tf.reduce_mean(X, 1)


def take_rows(X: Matrix, rows: npt.NDArray[np.int64] | slice) -> Matrix:
    return X[rows] if isinstance(rows, slice) else tf.gather(X, rows)


def exp(X: Matrix) -> Any:
    return tf.exp(X)


def expm1(X: Matrix) -> Any:
    return tf.math.expm1(X)


def log(X: Matrix) -> Any:
    return tf.math.log(X)


def tanh(X: Matrix) -> Any:
    return tf.tanh(X)


def sigmoid(X: Matrix) -> Any:
    return tf.sigmoid(X)


def softplus(X: Matrix) -> Any:
    return tf.math.softplus(X)


def log_sigmoid(X: Matrix) -> Any:
    return tf.math.log_sigmoid(X)


def normal_cdf(X: Matrix) -> Matrix:
    return tf.math.erfc(-X / math.sqrt(2)) / 2


def normal_pdf(X: Matrix) -> Matrix:
    return tf.exp(-(X**2) / 2) / math.sqrt(2 * math.pi)


def xlogy(X: Matrix, Y: Matrix) -> Any:
    return tf.math.xlogy(X, Y)


def divide(X: Matrix, Y: Matrix) -> Matrix:
    return tf.where(X == 0, tf.zeros_like(X), X / Y)


def reciprocal(X: Matrix) -> Any:
    return tf.math.reciprocal(X)


def square(X: Matrix) -> Any:
    return tf.square(X)


def sqrt(X: Matrix) -> Any:
    return tf.sqrt(X)


def inv_sqrt(X: Matrix) -> Matrix:
    return tf.math.rsqrt(X + epsilon)


def abs(X: Matrix) -> Any:
    return tf.abs(X)


def sign(X: Matrix) -> Any:
    return tf.sign(X)


def maximum(X: Matrix, a: float) -> Any:
    return tf.maximum(X, a)


def minimum(X: Matrix, a: float) -> Any:
    return tf.minimum(X, a)


def _number(x: Any, dtype: Any) -> Any:
    """A matrix or a number in a type. A Python number would be rounded to float32 first."""
    return tf.cast(x, dtype) if isinstance(x, tf.Tensor) else tf.constant(x, dtype)


def greater(X: Matrix, a: float) -> Any:
    return tf.greater(X, _number(a, X.dtype))


def less(X: Matrix, a: float) -> Any:
    return tf.less(X, _number(a, X.dtype))


def less_equal(X: Matrix, a: float) -> Any:
    return tf.less_equal(X, _number(a, X.dtype))


def where(condition: Matrix, X: Any, Y: Any, like: Matrix) -> Matrix:
    return tf.where(condition, _number(X, like.dtype), _number(Y, like.dtype))


def indicator(condition: Matrix, like: Matrix) -> Matrix:
    return tf.cast(condition, like.dtype)


def first_not_finite(X: Matrix) -> tuple[int, ...] | None:
    return index_not_finite(to_numpy(X))


def assign(X: Matrix, Y: Matrix) -> Matrix:
    return Y


def scale_add(a: Any, X: Matrix, b: Any, Y: Matrix) -> Matrix:
    return tf.cast(a * X + b * Y, X.dtype)


def scalar(x: Any) -> Any:
    return x if isinstance(x, tf.Tensor) else float(x)


def larger(x: Any, y: Any) -> Any:
    return tf.maximum(x, y)


def wait() -> None:
    tf.test.experimental.sync_devices()


def _as_before(old: Any, new: Any) -> Any:
    """The new value of a variable in the dtype of the old one. A float does not become an integer."""
    new = tf.convert_to_tensor(new)
    if new.shape != old.shape or (new.dtype.is_floating and not old.dtype.is_floating):
        raise NotCompilableError
    return tf.cast(new, old.dtype)


def compile_epoch(step: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def run_batches(variables: list[Any], X: Matrix, T: Matrix, batches: Matrix, eta: Any) -> list[Any]:
        def step_on_rows(k: Any, variables: list[Any]) -> tuple[Any, list[Any]]:
            changed = step(variables, take_rows(X, batches[k]), take_rows(T, batches[k]), eta)
            return k + 1, [_as_before(old, new) for old, new in zip(variables, changed, strict=True)]

        last: list[Any]
        _, last = tf.while_loop(
            lambda k, _: k < tf.shape(batches)[0], step_on_rows, (0, variables), parallel_iterations=1
        )
        return last

    def run_epoch(
        variables: list[Any], X: Matrix, T: Matrix, batches: Sequence[npt.NDArray[np.int64]], eta: float
    ) -> list[Any]:
        variables = [tf.convert_to_tensor(x) for x in variables]
        for group in groups(batches):
            variables = run_batches(variables, X, T, tf.constant(group), tf.constant(eta, X.dtype))
        return variables

    return run_epoch
