"""The choice of the library that computes: NumPy, PyTorch, JAX, TensorFlow, or SymPy for proofs.

A process computes with one library. `nerva.use("jax")` chooses it before the engine is first imported. Otherwise the
environment variable NERVA_BACKEND does, as it was when nerva was first imported. NumPy is the default.
`nerva.matrix_operations` has one module per library. This module imports no library.
"""

import functools
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass, field

from nerva.errors import NervaError

DEVICES = ("auto", "cpu", "gpu")
# The files of the drivers of NVIDIA's and AMD's GPUs.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd")


@dataclass(frozen=True)
class Backend:
    """A library that computes."""

    title: str
    module: str  # what is imported
    packages: tuple[str, ...]  # those whose versions determine the bits
    # The environment variables with which it computes on one thread of a CPU, repeats its bits and prints no log. They
    # are read when it is first imported.
    environment: dict[str, str] = field(default_factory=dict)


BACKENDS = {
    "numpy": Backend("NumPy", "numpy", ("numpy",)),
    "torch": Backend("PyTorch", "torch", ("torch",), {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}),
    "jax": Backend("JAX", "jax", ("jax", "jaxlib"), {"NPROC": "1"}),
    "tensorflow": Backend(
        "TensorFlow",
        "tensorflow",
        ("tensorflow",),
        {
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_DETERMINISTIC_OPS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
    ),
}
# Proofs compute with it. Networks can't be trained on symbols.
_SYMBOLS = Backend("SymPy", "sympy", ("sympy",))

# What the environment variables were when nerva was first imported.
_AT_IMPORT = {name: os.environ.get(name, "") for name in ("NERVA_BACKEND", "NERVA_DEVICE")}
_chosen: tuple[str, str] | None = None  # the backend and the device


def use(backend: str, device: str | None = None) -> None:
    """Choose the library that computes. Call it before the engine is first imported.

    Args:
        backend: numpy, torch, jax or tensorflow; or sympy, for proofs.
        device: cpu, gpu, or auto: a GPU if the library finds one, and the CPU otherwise. By default, that of the
            environment variable NERVA_DEVICE, or auto.

    Raises:
        NervaError: if there is no such backend or device, the library is not installed, or the engine was already
            imported with another one.
    """
    global _chosen
    device = device or _AT_IMPORT["NERVA_DEVICE"] or "auto"
    check_names(backend, device)
    engine = sys.modules.get("nerva.matrix_operations")
    if engine and not (backend == chosen()[0] and device in (chosen()[1], engine.DEVICE_KIND)):
        other = device != "auto"
        call = f"nerva.use({backend!r}, {device!r})" if other else f"nerva.use({backend!r})"
        variables = f"NERVA_BACKEND={backend}" + (f" and NERVA_DEVICE={device}" if other else "")
        raise NervaError(
            f"the engine was already imported with {_described(*chosen())}, and a process computes with one library: "
            f"call {call} before the engine is first imported, or set {variables} before Python starts"
        )
    check_installed(backend)
    if not engine:
        _chosen = backend, device


def chosen() -> tuple[str, str]:
    """The backend of this process, and its device: cpu, gpu or auto."""
    global _chosen
    if _chosen is None:
        backend, device = _AT_IMPORT["NERVA_BACKEND"] or "numpy", _AT_IMPORT["NERVA_DEVICE"] or "auto"
        check_names(backend, device)
        _chosen = backend, device
    return _chosen


def check_names(backend: str, device: str) -> None:
    """Check that a backend and a device exist, and that they fit together.

    Raises:
        NervaError: if not.
    """
    library = _backend(backend)
    if device not in DEVICES:
        raise NervaError(f'the device of a backend should be one of {", ".join(DEVICES)}, not "{device}"')
    if backend in ("numpy", "sympy") and device == "gpu":
        raise NervaError(f"device=gpu: {library.title} computes on the CPU only")


def may_have_gpu() -> bool:
    """Whether this machine may have a GPU, as far as can be told without a library."""
    return sys.platform != "linux" or any(map(os.path.exists, _DRIVERS))


@functools.cache
def resolve_device(backend: str, device: str) -> str:
    """The device, cpu or gpu, that `auto` stands for on this machine. Other devices stay as they are.

    For a library that is not installed, `auto` stands for the CPU.

    Raises:
        NervaError: if the library can't be imported.
    """
    if device != "auto":
        return device
    if backend == "numpy" or not may_have_gpu() or importlib.util.find_spec(_backend(backend).module) is None:
        return "cpu"
    # Only the library can tell, and this process may compute with another one.
    code = "from nerva.matrix_operations import DEVICE_KIND; print(DEVICE_KIND)"
    environment = {**os.environ, "NERVA_BACKEND": backend, "NERVA_DEVICE": "auto"}
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise NervaError(f"backend={backend}: it is not known whether there is a GPU:\n{result.stderr.strip()}")
    return result.stdout.strip()


def check_unchanged() -> None:
    """Check that NERVA_BACKEND and NERVA_DEVICE are as when nerva was first imported, or agree with the choice.

    Raises:
        NervaError: if one was changed to something else, which has no effect.
    """
    for (name, then), choice in zip(_AT_IMPORT.items(), chosen(), strict=True):
        if (now := os.environ.get(name, "")) not in (then, choice):
            raise NervaError(
                f'{name} was changed to "{now}" after nerva had been imported, and has no effect: '
                f"this process computes with {_described(*chosen())}"
            )


def check_installed(backend: str) -> None:
    """Check that the library of a backend is installed.

    Raises:
        NervaError: if it is not; the message has the command that installs it.
    """
    library = _backend(backend)
    if importlib.util.find_spec(library.module) is None:
        raise NervaError(
            f'backend={backend}: {library.title} is not installed; pip install "nerva[{backend}]" installs it'
        )


def foreign_array_error(X: object) -> NervaError:
    """The error for an array that is not of the library of this process."""
    kind = f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}"
    return NervaError(
        f"this process computes with {_backend(chosen()[0]).title}, and a {kind} was given: "
        "nerva.matrix_operations.from_numpy converts NumPy arrays"
    )


def _backend(name: str) -> Backend:
    if name == "sympy":
        return _SYMBOLS
    if name not in BACKENDS:
        raise NervaError(f'the backend should be one of {", ".join(BACKENDS)}, not "{name}"')
    return BACKENDS[name]


def _described(backend: str, device: str) -> str:
    return backend if device == "auto" else f"{backend} on the {device}"
