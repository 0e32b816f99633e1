"""Matrix products by a BLAS that is called directly: C := alpha A B + beta C, which NumPy has no function for.

On a CPU of Intel it is Intel's MKL if the package `mkl` is installed. Otherwise it is the BLAS that NumPy has loaded.
The environment variable NERVA_BLAS, which is numpy or mkl, chooses one in any case.
"""

import ctypes
import functools
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.errors import NervaError

Array = npt.NDArray[Any]

_ROW_ORDER, _PLAIN, _TRANSPOSED = 101, 111, 112
# The names of the function, and the type of its sizes.
_NAMES = (
    ("scipy_cblas_{}gemm64_", ctypes.c_int64),  # in NumPy's wheels
    ("cblas_{}gemm64_", ctypes.c_int64),
    ("cblas_{}gemm", ctypes.c_int),
)
# By the character of a dtype: the letter in the name, and the type of numbers.
_TYPES: dict[str, tuple[str, Any]] = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}


@dataclass(frozen=True)
class Blas:
    """A library, and the function of it that computes products of float32 and of float64."""

    name: str  # with its version
    has_fast_parts: bool  # whether a product takes no longer if it is computed in parts of some hundred rows
    gemm: dict[str, tuple[Any, Any]]  # by the character of the dtype: the function, and the type of its sizes


@functools.cache
def find() -> Blas | None:
    """The BLAS of compiled steps. None if it has the function `cblas_sgemm` under no known name.

    Raises:
        NervaError: if NERVA_BLAS names a library that is unknown or not installed.
    """
    wanted = os.environ.get("NERVA_BLAS", "")
    if wanted not in ("", "numpy", "mkl"):
        raise NervaError(f'NERVA_BLAS should be numpy or mkl, not "{wanted}"')
    # On CPUs of AMD, MKL takes 10 to 30 % longer than OpenBLAS.
    blas = _mkl() if wanted == "mkl" or (not wanted and _has_cpu_of_intel()) else None
    if wanted == "mkl" and blas is None:
        raise NervaError('NERVA_BLAS=mkl needs the package mkl: pip install "nerva[mkl]"')
    return blas or _of_numpy()


def _has_cpu_of_intel() -> bool:
    cpu = Path("/proc/cpuinfo")
    return "GenuineIntel" in (cpu.read_text() if cpu.exists() else platform.processor())


def _mkl() -> Blas | None:
    try:
        package = distribution("mkl")
    except PackageNotFoundError:
        return None
    for file in package.files or ():
        if file.name.startswith("libmkl_rt."):
            # This library loads the others, and chooses the kernels of the CPU.
            return _load(f"mkl {package.version}", True, str(package.locate_file(file)))
    return None


def _of_numpy() -> Blas | None:
    from threadpoolctl import threadpool_info  # takes 10 ms

    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    # SciPy's wheels have a library of their own.
    for library in sorted(libraries, key=lambda library: "numpy.libs" not in library["filepath"]):
        name = f"{library['internal_api']} {library['version'] or ''}".strip()
        if (blas := _load(name, False, library["filepath"])) is not None:
            return blas
    return None


def _load(name: str, has_fast_parts: bool, path: str) -> Blas | None:
    library = ctypes.CDLL(path)
    for pattern, integer in _NAMES:
        if hasattr(library, pattern.format("s")):
            gemm = {char: (getattr(library, pattern.format(letter)), integer) for char, (letter, _) in _TYPES.items()}
            for function, _ in gemm.values():
                function.restype = None
            return Blas(name, has_fast_parts, gemm)
    return None


def number(value: float, dtype: Any) -> Any:
    """A number that a product uses. Its attribute `value` may be changed between two products."""
    _, kind = _TYPES[np.dtype(dtype).char]
    return kind(value)


def product(alpha: Any, A: Array, B: Array, beta: Any, C: Array) -> Callable[[], None]:
    """A function without arguments that computes C := alpha A B + beta C. The shapes are not checked.

    Args:
        alpha: a `number`.
        A: an m×k matrix.
        B: a k×n matrix.
        beta: a `number`. If it is 0, the old values of C do not matter.
        C: an m×n matrix. All matrices are contiguous, in row or column order, and of the same dtype.
    """
    if not (A.flags.forc and B.flags.forc and C.flags.forc):
        raise ValueError("the matrices of a product should be contiguous")
    if not C.flags.c_contiguous:
        return product(alpha, B.T, A.T, beta, C.T)
    blas = find()
    if blas is None:
        return functools.partial(_product_by_numpy, alpha, A, B, beta, C, np.empty_like(C))
    gemm, integer = blas.gemm[C.dtype.char]
    (m, k), n = A.shape, B.shape[1]

    def order_and_leading_dimension(X: Array) -> tuple[int, Any]:
        if X.flags.c_contiguous:
            return _PLAIN, integer(X.shape[1])
        return _TRANSPOSED, integer(X.shape[0])

    (a, lda), (b, ldb) = order_and_leading_dimension(A), order_and_leading_dimension(B)
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
