"""Matrix products by the BLAS that NumPy has loaded, called directly.

Its function `gemm` computes C := alpha A B + beta C, which NumPy's own functions don't offer.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_ROW_ORDER, _PLAIN, _TRANSPOSED = 101, 111, 112
# The names of the function in NumPy's wheels and in other builds, and the type of its sizes.
_NAMES = (
    ("scipy_cblas_{}gemm64_", ctypes.c_int64),
    ("cblas_{}gemm64_", ctypes.c_int64),
    ("cblas_{}gemm", ctypes.c_int),
)
_LETTERS = {"f": "s", "d": "d"}
_NUMBERS = {"f": ctypes.c_float, "d": ctypes.c_double}


def number(value: float, dtype: Any) -> Any:
    """A number that a product uses. Its attribute `value` may be changed between two products."""
    return _NUMBERS[np.dtype(dtype).char](value)


def product(alpha: Any, A: Array, B: Array, beta: Any, C: Array) -> Callable[[], None]:
    """The call that computes C := alpha A B + beta C.

    Args:
        alpha: a `number`.
        A: an m×k matrix.
        B: a k×n matrix.
        beta: a `number`. If it is 0, the old values of C do not matter.
        C: an m×n matrix. All matrices are contiguous, in row or column order, and of the same dtype.
    """
    if not C.flags.c_contiguous:
        return product(alpha, B.T, A.T, beta, C.T)
    found = _gemm(_LETTERS[C.dtype.char])
    if found is None:
        return functools.partial(_product_by_numpy, alpha, A, B, beta, C, np.empty_like(C))
    gemm, integer = found
    (m, k), n = A.shape, B.shape[1]

    def order(X: Array) -> tuple[int, Any]:
        if X.flags.c_contiguous:
            return _PLAIN, integer(X.shape[1])
        return _TRANSPOSED, integer(X.shape[0])

    (a, lda), (b, ldb) = order(A), order(B)
    pointer = ctypes.c_void_p
    call = functools.partial(
        gemm, ctypes.c_int(_ROW_ORDER), ctypes.c_int(a), ctypes.c_int(b), integer(m), integer(n), integer(k),
        alpha, pointer(A.ctypes.data), lda, pointer(B.ctypes.data), ldb, beta, pointer(C.ctypes.data), integer(n),
    )  # fmt: skip
    call.matrices = (A, B, C)  # type: ignore[attr-defined]  # they live as long as the call
    return call


def _product_by_numpy(alpha: Any, A: Array, B: Array, beta: Any, C: Array, temporary: Array) -> None:
    np.matmul(A, B, out=temporary)
    temporary *= alpha.value
    if beta.value:
        C *= beta.value
        C += temporary
    else:
        C[...] = temporary


@functools.cache
def _gemm(letter: str) -> tuple[Any, Any] | None:
    """The function of NumPy's BLAS and the type of its sizes; None if it can't be found."""
    from threadpoolctl import threadpool_info  # takes 10 ms

    paths = [info["filepath"] for info in threadpool_info() if info["user_api"] == "blas"]
    for path in sorted(paths, key=lambda path: "numpy.libs" not in path):  # SciPy brings a library of its own
        library = ctypes.CDLL(path)
        for name, integer in _NAMES:
            function = getattr(library, name.format(letter), None)
            if function is not None:
                function.restype = None
                return function, integer
    return None
