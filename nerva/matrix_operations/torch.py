"""The matrix operations in PyTorch.

The gradients are those of the equations; PyTorch's automatic differentiation is not used.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nerva import backends
from nerva.backends import foreign_array_error
from nerva.errors import NervaError
from nerva.matrix_operations.shared import column, epsilon, index_not_finite, native, row

Matrix = Any  # torch.Tensor, whose functions have no types that hold for all of its versions

# The steps are not compiled. torch.compile needs a C++ compiler and many seconds, and gains a tenth at most.
compile_epoch = None
NOT_COMPILABLE = ()
COMPILES_LAST_BATCH = True


def _device() -> torch.device:
    gpu = torch.accelerator.current_accelerator(check_available=True)
    _, wanted = backends.chosen()
    if wanted == "gpu" and gpu is None:
        raise NervaError(f"device=gpu: PyTorch {torch.__version__} finds no GPU on this machine")
    return torch.device("cpu") if wanted == "cpu" or gpu is None else gpu


DEVICE = _device()
DEVICE_KIND = "cpu" if DEVICE.type == "cpu" else "gpu"


def _dtype(dtype: Any) -> torch.dtype:
    """The type of PyTorch for one of NumPy's; its own types stay as they are."""
    return dtype if isinstance(dtype, torch.dtype) else torch.from_numpy(np.empty(0, dtype)).dtype


def from_numpy(X: npt.NDArray[Any]) -> Matrix:
    if not isinstance(X, np.ndarray):
        raise foreign_array_error(X)
    return torch.tensor(native(X), device=DEVICE)


def to_numpy(X: Matrix) -> Any:
    return X.numpy(force=True) if isinstance(X, torch.Tensor) else X


def as_real(X: Matrix) -> Matrix:
    if not isinstance(X, torch.Tensor):
        raise foreign_array_error(X)
    return X if X.is_floating_point() else X.to(torch.float32)


def zeros(m: int, n: int | None = None, dtype: Any = np.float32) -> Matrix:
    return torch.zeros(m if n is None else (m, n), dtype=_dtype(dtype), device=DEVICE)


def ones(m: int, n: int | None = None, dtype: Any = np.float32) -> Matrix:
    return torch.ones(m if n is None else (m, n), dtype=_dtype(dtype), device=DEVICE)


def identity(n: int, dtype: Any = np.float32) -> Matrix:
    return torch.eye(n, dtype=_dtype(dtype), device=DEVICE)


def vector(elements: Sequence[Any], dtype: Any = np.float32) -> Matrix:
    if any(isinstance(element, torch.Tensor) for element in elements):
        return torch.stack([torch.as_tensor(x, dtype=_dtype(dtype), device=DEVICE) for x in elements])
    return torch.tensor(elements, dtype=_dtype(dtype), device=DEVICE)


def elements(x: Matrix) -> Any:
    return torch.unbind(x)


def zeros_like(X: Matrix) -> Any:
    return torch.zeros_like(X)


def bernoulli(p: float, rng: np.random.Generator, like: Matrix) -> Matrix:
    return torch.from_numpy(rng.random(tuple(like.shape), dtype=np.float32) < p).to(like)


def product(X: Matrix, Y: Matrix) -> Any:
    return torch.matmul(X, Y)


def hadamard(X: Matrix, Y: Matrix) -> Any:
    return torch.mul(X, Y)


def dot(x: Matrix, y: Matrix) -> Any:
    return torch.dot(x.reshape(-1), y.reshape(-1))


def diag(X: Matrix) -> Any:
    return torch.diagonal(X)


def Diag(x: Matrix) -> Matrix:
    return torch.diag(x.reshape(-1))


def elements_sum(X: Matrix) -> Any:
    return torch.sum(X)


def norm(X: Matrix) -> Any:
    return torch.linalg.vector_norm(X)


def column_repeat(x: Matrix, n: int) -> Matrix:
    return column(x).expand(-1, n)


def row_repeat(x: Matrix, m: int) -> Matrix:
    return row(x).expand(m, -1)


def columns_sum(X: Matrix) -> Matrix:
    return torch.sum(X, 0)


def rows_sum(X: Matrix) -> Matrix:
    return torch.sum(X, 1)


def columns_max(X: Matrix) -> Matrix:
    return torch.amax(X, 0)


def rows_max(X: Matrix) -> Matrix:
    return torch.amax(X, 1)


def columns_mean(X: Matrix) -> Matrix:
    return torch.mean(X, 0)


def rows_mean(X: Matrix) -> Matrix:
    return torch.mean(X, 1)


def take_rows(X: Matrix, rows: npt.NDArray[np.int64] | slice) -> Matrix:
    return X[rows] if isinstance(rows, slice) else torch.index_select(X, 0, torch.from_numpy(rows).to(DEVICE))


def exp(X: Matrix) -> Any:
    return torch.exp(X)


def expm1(X: Matrix) -> Any:
    return torch.expm1(X)


def log(X: Matrix) -> Any:
    return torch.log(X)


def tanh(X: Matrix) -> Any:
    return torch.tanh(X)


def sigmoid(X: Matrix) -> Any:
    return torch.sigmoid(X)


def log_sigmoid(X: Matrix) -> Any:
    return torch.nn.functional.logsigmoid(X)


def softplus(X: Matrix) -> Any:
    return -log_sigmoid(-X)  # PyTorch's softplus is x above a threshold


def normal_cdf(X: Matrix) -> Any:
    return torch.special.ndtr(X)


def normal_pdf(X: Matrix) -> Matrix:
    return torch.exp(-(X**2) / 2) / math.sqrt(2 * math.pi)


def xlogy(X: Matrix, Y: Matrix) -> Any:
    return torch.xlogy(X, Y)


def divide(X: Matrix, Y: Matrix) -> Matrix:
    return torch.where(X == 0, torch.zeros_like(X), X / Y)


def reciprocal(X: Matrix) -> Any:
    return torch.reciprocal(X)


def square(X: Matrix) -> Any:
    return torch.square(X)


def sqrt(X: Matrix) -> Any:
    return torch.sqrt(X)


def inv_sqrt(X: Matrix) -> Matrix:
    return torch.rsqrt(X + epsilon)


def abs(X: Matrix) -> Any:
    return torch.abs(X)


def sign(X: Matrix) -> Any:
    return torch.sign(X)


def maximum(X: Matrix, a: float) -> Matrix:
    return torch.clamp(X, min=a)


def minimum(X: Matrix, a: float) -> Matrix:
    return torch.clamp(X, max=a)


def greater(X: Matrix, a: float) -> Any:
    return torch.gt(X, a)


def less(X: Matrix, a: float) -> Any:
    return torch.lt(X, a)


def less_equal(X: Matrix, a: float) -> Any:
    return torch.le(X, a)


def where(condition: Matrix, X: Any, Y: Any, like: Matrix) -> Matrix:
    return torch.where(condition, *(torch.as_tensor(x, dtype=like.dtype, device=DEVICE) for x in (X, Y)))


def indicator(condition: Matrix, like: Matrix) -> Matrix:
    return condition.to(like.dtype)


def first_not_finite(X: Matrix) -> tuple[int, ...] | None:
    return index_not_finite(to_numpy(X))


# scale_add works in place, but only on matrices of its own, which have the attribute `changes`. A matrix that `assign`
# returns may be a gradient as well.
def assign(X: Matrix, Y: Matrix) -> Matrix:
    return Y.clone() if hasattr(Y, "changes") else Y


def scale_add(a: float, X: Matrix, b: float, Y: Matrix) -> Matrix:
    if not hasattr(X, "changes"):
        X = X.clone()
        X.changes = True
    return (X if a == 1 else X.mul_(a)).add_(Y, alpha=b)


def scalar(x: Any) -> float:
    return float(x)


def larger(x: Any, y: Any) -> float:
    return max(float(x), float(y))


def wait() -> None:
    if DEVICE_KIND == "gpu":
        torch.accelerator.synchronize()
