"""Which bits a run has: the BLAS kernel, the BLAS threads and the SIMD level that compute it.

All three change the last bits of sums and of functions such as the exponential. They are chosen by environment
variables, which are read when NumPy is first imported; so this module does without NumPy until then.

`portable` pins all three. Given the same versions of packages, x86-64 Linux machines with AVX2 compute the same bits.
`native` takes the fastest kernels that the machine has, with one thread: the same bits on the same kind of machine.
`auto` is `portable` where that can hold, and otherwise `native`.
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

from nerva.errors import NervaError
from nerva.experiment import python_path

# NumPy's X86_V3 is AVX2 with what came beside it; Haswell is OpenBLAS' kernel for the same.
_PINS = {
    "portable": {
        "OPENBLAS_CORETYPE": "Haswell",
        "OPENBLAS_L2_SIZE": "512",
        "OPENBLAS_NUM_THREADS": "1",
        "NPY_ENABLE_CPU_FEATURES": "X86_V3",
    },
    "native": {"OPENBLAS_NUM_THREADS": "1"},
}
_LEVEL = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}  # X86_V3 as /proc/cpuinfo spells it

# What a machine may set for all of its programs. For a run, its configuration decides.
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
)

# What `_computed` gives in portable numerics.
_KNOWN = "81f75bfca7653aec"

_pinned = ""  # the mode in which this process computes, if that has been settled before NumPy was imported


def environment(mode: str, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables of a process that computes in a mode.

    Args:
        mode: portable or native.
        base: the other variables; by default, those of this process.
    """
    kept = {key: value for key, value in (os.environ if base is None else base).items() if key not in _VARIABLES}
    return kept | _PINS[mode] | {"PYTHONPATH": python_path(kept.get("PYTHONPATH"))}


def python(*arguments: str) -> list[str]:
    """The command that runs Python with this package, for `environment`: not with what lies in the current folder."""
    return [sys.executable, "-P", *arguments]


def pin(mode: str) -> None:
    """Lets this process compute in a mode, if NumPy has not been imported yet; see `pinned`.

    Where it has been, by what Python does before it does anything else, the process may have been started in that mode.
    """
    global _pinned
    if "numpy" not in sys.modules:
        for key in _VARIABLES:
            os.environ.pop(key, None)
        os.environ.update(_PINS[mode])
        _pinned = mode
    elif {key: os.environ[key] for key in _VARIABLES if key in os.environ} == _PINS[mode]:
        _pinned = mode


def pin_for(arguments: tuple[str, ...]) -> None:
    """Lets this process compute as most of what a command line asks for is likely to; `run` sees to the rest."""
    native = {"numerics=native", "numerics.mode=native"} & set(arguments)
    pin("native" if native or _unfit() else "portable")


def pinned() -> str:
    """The mode in which this process computes; "" if NumPy was imported before one was chosen."""
    return _pinned


def settle(mode: str) -> str:
    """The mode that a configuration asks for, portable or native.

    Raises:
        NervaError: if there is no such mode.
    """
    if mode == "auto":
        return "native" if obstacle() else "portable"
    if mode not in _PINS:
        raise NervaError(f'numerics.mode should be auto, portable or native, not "{mode}"')
    return mode


def note(mode: str) -> str:
    """What a person should know of the mode that a configuration asks for; "" if there is nothing to say."""
    if mode == "auto" and obstacle():
        return f"numerics=auto takes native, as portable can't hold: {obstacle()}"
    return ""


def demand(mode: str) -> None:
    """Checks that a mode can hold here.

    Raises:
        NervaError: if it can't.
    """
    if mode == "portable" and obstacle():
        raise NervaError(f"numerics=portable can't hold: {obstacle()}; numerics=native can")


@functools.cache
def obstacle() -> str:
    """Why portable numerics can't hold on this machine; "" if they can."""
    if unfit := _unfit():
        return unfit
    if _pinned == "portable":
        return departure()
    # What takes effect can only be seen in a process that is pinned.
    result = subprocess.run(
        python("-c", f"from {__name__} import pin, departure; pin('portable'); print(departure())"),
        env=environment("portable"),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        return f"NumPy can't be imported so: {(result.stderr.strip().splitlines() or ['?'])[-1]}"
    return result.stdout.strip()


@functools.cache
def _unfit() -> str:
    """What can be told of a machine before NumPy is imported: why portable numerics can't hold on it."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"it is for x86-64 Linux, and this is {platform.system()} on {platform.machine()}"
    if missing := _LEVEL - set(_cpu("flags").split()):
        return f"this CPU has no {', '.join(sorted(missing))}"
    if tuple(map(int, version("numpy").split(".")[:2])) < (2, 4):
        return f"NumPy {version('numpy')} can't be told which SIMD level to use; 2.4 and newer can"
    return ""


def departure() -> str:
    """In which way this process, which is pinned, does not compute as portable numerics do; "" if it does."""
    effect = in_effect()
    for what, found, expected in (
        ("BLAS", effect["blas"], "openblas"),
        ("BLAS kernel", effect["kernel"], "Haswell"),
        ("SIMD level", effect["simd"], "X86_V3"),
    ):
        if found.split(" ")[0] != expected:
            return f"the {what} in effect is {found or 'unknown'}, and not {expected}"
    if (computed := _computed()) != _KNOWN:
        libc = " ".join(platform.libc_ver()).strip() or "the C library"
        return f"NumPy {effect['numpy']} with {effect['blas']} and {libc} computes {computed}, and not {_KNOWN}"
    return ""


def in_effect() -> dict[str, str]:
    """What this process computes with, as NumPy and its BLAS tell it themselves."""
    import numpy as np
    from threadpoolctl import threadpool_info

    # SciPy brings an OpenBLAS of its own, which nothing here uses.
    libraries = [x for x in threadpool_info() if x["user_api"] == "blas" and "scipy.libs" not in x["filepath"]]
    config: Any = np.show_config(mode="dicts")
    return {
        "numpy": np.__version__,
        "blas": ", ".join(f"{x['internal_api']} {x['version'] or ''}".strip() for x in libraries),
        "kernel": ", ".join(str(x.get("architecture", "unknown")) for x in libraries),
        "simd": " ".join(config["SIMD Extensions"].get("found", [])),
    }


def _computed() -> str:
    """A hash of what this process makes of some fixed numbers: products, functions, sums and random numbers.

    It differs where the kernel, the SIMD level, NumPy's algorithms or the C library's do; the number of threads is
    always one.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(1)
    # Whole numbers over a power of two: float32 has them exactly.
    X, W = (rng.integers(-(2**20), 2**20, shape).astype(np.float32) / 2**18 for shape in ((257, 784), (784, 130)))
    with threadpool_limits(1):
        Z = X @ W / 1024
        results = [Z, X.T @ Z, X @ W[:, 0], np.exp(Z), np.log(np.abs(Z) + 1), np.tanh(Z), np.sqrt(np.abs(Z))]
        results += [Z.sum(axis=0), Z.mean(axis=1), Z.sum(), rng.standard_normal(100), rng.random(100, np.float32)]
    # Of schedules and optimizers; these come from the C library.
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
    """The model of this machine's CPU."""
    return _cpu("model name") or platform.processor() or platform.machine()


def _cpu(key: str) -> str:
    """What Linux says of the first CPU under a name."""
    file = Path("/proc/cpuinfo")
    for line in file.read_text().splitlines() if file.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
