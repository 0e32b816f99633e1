"""The numerics of a run: the BLAS kernel, the number of BLAS threads and the SIMD level that compute it.

All three change the last bits of sums and of functions such as the exponential. Environment variables choose them, and
are read when NumPy is first imported. This module therefore imports NumPy only inside functions.

`portable` pins all three. With the same packages, all x86-64 Linux machines with AVX2 compute the same bits; `obstacle`
says where this is not supported. `native` uses the fastest kernels of the machine and one thread. Machines of the same
kind compute the same bits. `auto` is `portable` where that is supported, and `native` otherwise.
"""

import functools
import hashlib
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nerva.backends import BACKENDS, chosen
from nerva.errors import NervaError
from nerva.experiment.paths import python_path

# NumPy's X86_V3 level is AVX2 and the extensions that came with it. Haswell is OpenBLAS' kernel for that level.
_PINS = {
    "portable": {
        "OPENBLAS_CORETYPE": "Haswell",
        "OPENBLAS_L2_SIZE": "512",
        "OPENBLAS_NUM_THREADS": "1",
        "NPY_ENABLE_CPU_FEATURES": "X86_V3",
        "NERVA_BLAS": "numpy",
    },
    "native": {"OPENBLAS_NUM_THREADS": "1"},
}
_LEVEL = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}  # X86_V3 as /proc/cpuinfo spells it

# A machine may set these for all of its programs. A run uses what its configuration says.
_VARIABLES = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "OPENBLAS_DEFAULT_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MKL_CBWR",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPY_ENABLE_CPU_FEATURES",
    "NPY_DISABLE_CPU_FEATURES",
    "NERVA_BLAS",
    *(name for backend in BACKENDS.values() for name in backend.environment),
)

# The result of `_computed` in portable numerics.
_KNOWN = "81f75bfca7653aec"

_pinned = ""  # the mode of this process; "" if none took effect


def environment(
    mode: str, base: Mapping[str, str] | None = None, backend: str = "numpy", device: str = "cpu"
) -> dict[str, str]:
    """The environment variables for a new process that computes in a mode, on one thread.

    Args:
        mode: portable or native.
        base: the other variables. Default: those of this process.
        backend: the library that computes.
        device: its device.
    """
    kept = {key: value for key, value in (os.environ if base is None else base).items() if key not in _VARIABLES}
    chosen = {"NERVA_BACKEND": backend, "NERVA_DEVICE": device, **BACKENDS[backend].environment}
    return kept | _PINS[mode] | chosen | {"PYTHONPATH": python_path(kept.get("PYTHONPATH"))}


def python(*arguments: str) -> list[str]:
    """The command that runs Python with this package; `-P` keeps modules of the current folder out."""
    return [sys.executable, "-P", *arguments]


def pin(mode: str, backend: str = "numpy") -> None:
    """Let this process compute in a mode, if NumPy has not been imported yet; `pinned` tells whether that succeeded.

    If NumPy has been imported, this succeeds only if the variables of the process are those of the mode already. A
    program that starts workers, such as joblib, may have set the number of threads of other libraries to one as well.

    Args:
        mode: portable or native.
        backend: the library that computes.
    """
    global _pinned
    settings = _PINS[mode] | BACKENDS[backend].environment
    if "numpy" not in sys.modules:
        for key in _VARIABLES:
            os.environ.pop(key, None)
        os.environ.update(settings)
        _pinned = mode
    else:
        found = {key: os.environ[key] for key in _VARIABLES if key in os.environ}
        others = {key: value for key, value in found.items() if key not in settings}
        one_thread = all(key.endswith("_NUM_THREADS") and value == "1" for key, value in others.items())
        if found == settings | others and one_thread:
            _pinned = mode


def pin_for(arguments: tuple[str, ...]) -> None:
    """Pin the mode that a command line most probably asks for. Runs in another mode get a process of their own."""
    native = {"numerics=native", "numerics.mode=native"} & set(arguments)
    pin("native" if native or _unfit() else "portable")


def pinned() -> str:
    """The mode of this process; "" if none was pinned, or NumPy had been imported with other variables."""
    return _pinned


def resolve_mode(mode: str, backend: str = "numpy") -> str:
    """What `numerics.mode` of a configuration means on this machine: portable or native.

    Raises:
        NervaError: if there is no such mode, or it is portable and the backend is not NumPy.
    """
    if mode not in ("auto", *_PINS):
        raise NervaError(f'numerics.mode should be auto, portable or native, not "{mode}"')
    if backend != "numpy":
        if mode == "portable":
            raise NervaError(f"numerics=portable needs backend=numpy; backend={backend} has native numerics only")
        return "native"
    if mode == "auto":
        return "native" if obstacle() else "portable"
    return mode


def note(mode: str, backend: str = "numpy") -> str:
    """The reason why `auto` is native on this machine, as a sentence; "" in all other cases."""
    if mode == "auto" and backend == "numpy" and obstacle():
        return f"numerics=auto uses native, because portable is not supported: {obstacle()}"
    return ""


def demand(mode: str) -> None:
    """Check that a mode is supported on this machine.

    Raises:
        NervaError: if it is not.
    """
    if mode == "portable" and obstacle():
        raise NervaError(f"numerics=portable is not supported: {obstacle()}; use numerics=native")


@functools.cache
def obstacle() -> str:
    """The reason why portable numerics are not supported on this machine; "" if they are."""
    if unfit := _unfit():
        return unfit
    if _pinned == "portable":
        return departure()
    # Only a pinned process shows which settings take effect.
    result = subprocess.run(
        python("-c", f"from {__name__} import pin, departure; pin('portable'); print(departure())"),
        env=environment("portable"),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        return f"NumPy can't be imported with these settings: {(result.stderr.strip().splitlines() or ['?'])[-1]}"
    return result.stdout.strip()


@functools.cache
def _unfit() -> str:
    """The part of `obstacle` that can be found without NumPy."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"it needs x86-64 Linux, and this is {platform.system()} on {platform.machine()}"
    if missing := _LEVEL - set(_cpu("flags").split()):
        return f"this CPU has no {', '.join(sorted(missing))}"
    if tuple(map(int, version("numpy").split(".")[:2])) < (2, 4):
        return f"NumPy {version('numpy')} has no setting for the SIMD level; NumPy 2.4 or newer is required"
    return ""


def departure() -> str:
    """How the computations of this pinned process differ from portable numerics; "" if they do not."""
    effect = in_effect()
    for what, found, expected in (
        ("BLAS", effect["blas"], "openblas"),
        ("BLAS kernel", effect["kernel"], "Haswell"),
        ("SIMD level", effect["simd"], "X86_V3"),
    ):
        if found.split(" ")[0] != expected:
            return f"the {what} in effect is {found or 'unknown'} instead of {expected}"
    if (computed := _computed()) != _KNOWN:
        libc = " ".join(platform.libc_ver()).strip() or "the C library"
        program = f"NumPy {effect['numpy']} with {effect['blas']} and {libc}"
        return f"{program} does not compute the bits of portable numerics (checksum {computed} instead of {_KNOWN})"
    return ""


@functools.cache
def in_effect() -> dict[str, Any]:
    """The versions, BLAS kernel and SIMD level of this process, as NumPy and its BLAS report them."""
    import numpy as np
    from threadpoolctl import threadpool_info

    from nerva.matrix_operations import numpy_blas

    products = numpy_blas.find() if chosen()[0] == "numpy" else None
    # SciPy's wheels have an OpenBLAS of their own, which the engine does not use.
    libraries = [x for x in threadpool_info() if x["user_api"] == "blas" and "scipy.libs" not in x["filepath"]]
    config: Any = np.show_config(mode="dicts")
    return {
        "numpy": np.__version__,
        "blas": ", ".join(f"{x['internal_api']} {x['version'] or ''}".strip() for x in libraries),
        "kernel": ", ".join(str(x.get("architecture", "unknown")) for x in libraries),
        "simd": " ".join(config["SIMD Extensions"].get("found", [])),
        "products": products.name if products else None,  # the BLAS of NumPy's compiled training steps
    }


def _computed() -> str:
    """A hash of products, functions, sums and random numbers of fixed inputs, computed by one thread.

    It changes with the BLAS kernel, the SIMD level, and the algorithms of NumPy and the C library.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(1)
    # float32 represents these values exactly: integers up to 2²⁰, divided by a power of two.
    X, W = (rng.integers(-(2**20), 2**20, shape).astype(np.float32) / 2**18 for shape in ((257, 784), (784, 130)))
    with threadpool_limits(1):
        Z = X @ W / 1024
        results = [Z, X.T @ Z, X @ W[:, 0], np.exp(Z), np.log(np.abs(Z) + 1), np.tanh(Z), np.sqrt(np.abs(Z))]
        results += [Z.sum(axis=0), Z.mean(axis=1), Z.sum(), rng.standard_normal(100), rng.random(100, np.float32)]
    # Schedules and optimizers use these functions of the C library.
    results += [np.array([f(x) for x in range(1, 2000)]) for f in (_exponential, math.cos, _power)]
    digest = hashlib.sha256()
    for result in results:
        digest.update(np.ascontiguousarray(result).tobytes())
    return digest.hexdigest()[:16]


def _exponential(x: int) -> float:
    return math.exp(-x / 7)


def _power(x: int) -> float:
    return math.pow(0.999, x)


def cpu() -> str:
    """The name of the CPU model."""
    return _cpu("model name") or platform.processor() or platform.machine()


def _cpu(key: str) -> str:
    """The value of a key in /proc/cpuinfo, for the first CPU; "" elsewhere."""
    file = Path("/proc/cpuinfo")
    for line in file.read_text().splitlines() if file.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
