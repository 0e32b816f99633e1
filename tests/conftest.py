"""What the tests share: the command line as a subprocess, and where real data is."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from nerva.experiment import numerics

# Before NumPy is imported: runs then train in the tests' own process.
USERS = dict(os.environ)
numerics.pin_for(())

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with MNIST's files: NERVA_DATA_DIR, or `shared/data` beside the checkout."""
    for folder in (os.environ.get("NERVA_DATA_DIR"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "mnist" / "train-images-idx3-ubyte.gz").exists():
            return Path(folder)
    pytest.skip("MNIST's files are not there; NERVA_DATA_DIR can say where they are")


def environment(home: Path, **changes: str) -> dict[str, str]:
    """The environment of a new user: an empty home, and nothing of nerva's or MLflow's set."""
    kept = {k: v for k, v in USERS.items() if not k.startswith(("NERVA_", "MLFLOW_", "HYDRA_", "XDG_"))}
    return {**kept, "HOME": str(home), "PATH": f"{SCRIPTS}:{os.environ['PATH']}", **changes}


def command_in(folder: Path) -> Command:
    """What runs a command in a folder, with an empty home, and returns how it ended."""
    home = folder / "home"
    home.mkdir(exist_ok=True)

    def run(*arguments: str | Path, timeout: float = 240, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, arguments)),
            cwd=folder,
            env=environment(home, **changes),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def run(tmp_path: Path) -> Command:
    """Runs a command in a folder of the test's own."""
    return command_in(tmp_path)


def failed_plainly(result: subprocess.CompletedProcess[str], *words: str, code: int = 1) -> None:
    """Asserts that a command told of a user's mistake: in one message with these words, without a traceback."""
    output = result.stdout + result.stderr
    assert result.returncode == code, output
    assert "Traceback" not in output, output
    for word in words:
        assert word in output, output


def differences(f: Callable[[np.ndarray], float], X: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """The gradient of a function of a float64 matrix, by central differences."""
    gradient = np.zeros_like(X)
    for i in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[i] = h
        gradient[i] = (f(X + step) - f(X - step)) / (2 * h)
    return gradient


def assert_gradient(computed: np.ndarray, f: Callable[[np.ndarray], float], X: np.ndarray) -> None:
    """Asserts that a gradient is that of f at X."""
    expected = differences(f, X)
    message = f"computed:\n{computed}\nby differences:\n{expected}"
    assert computed.shape == X.shape, message
    np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-7, err_msg=message)
