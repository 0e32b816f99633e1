"""What this process computes with: CPU, kernel, SIMD level, and versions."""

import functools
import platform
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version

from nerva import backends
from nerva.experiment.config import numerics
from nerva.experiment.paths import PACKAGE
from nerva.matrix_operations import DEVICE_KIND

# The packages that compute a run, or describe it.
_PACKAGES = ("nerva", "numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf", "mlflow", "snakemake")


def environment(mode: str) -> dict[str, str | int | None]:
    """What this process computes with, in a mode of numerics."""
    effect = numerics.in_effect()
    return {
        "backend": backends.chosen()[0],
        "device": DEVICE_KIND,
        "numerics": mode,
        "cpu": numerics.cpu(),
        "blas": effect["blas"],
        "kernel": effect["kernel"],
        "products": effect["products"],
        "simd": effect["simd"],
        "threads": 1,
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        **_library_versions(),
        "lock_sha256": _lock(),
    }


def determining_environment() -> dict[str, str | None]:
    """The part of the environment on which the bits of a run depend."""
    mode = numerics.pinned()
    return {
        "backend": backends.chosen()[0],
        "device": DEVICE_KIND,
        **_library_versions(),
        "numerics": mode,
        **numerics.in_effect(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "scipy": _version("scipy"),
        # Kernels adapt to the caches of a CPU, unless they are pinned.
        "cpu": numerics.cpu() if mode == "native" else None,
    }


def _library_versions() -> dict[str, str | None]:
    """The versions of the library that computes, if it is not NumPy."""
    backend = backends.BACKENDS.get(backends.chosen()[0])
    return {name: _version(name) for name in backend.packages} if backend else {}


@functools.cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@functools.cache
def _lock() -> str | None:
    """The checksum of the lock of all packages, if nerva runs from a checkout."""
    lock = PACKAGE.parent / "requirements.lock"
    return sha256(lock.read_bytes()).hexdigest() if lock.exists() else None
