"""What the tests share: the command line as a subprocess, and where real data is."""

import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nerva.experiment import numerics

# Before NumPy is imported: runs then train in the tests' own process.
USERS = dict(os.environ)
numerics.pin_for(())
# What a shell starts in the background ignores SIGINT, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from filelock import FileLock

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent

Command = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests go first: at the end, one worker would wait for the other."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/test_readme", "tests/test_ui", "tests/workflow")))


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


def started(
    folder: Path, *arguments: str | Path, stdin: int | None = None, stdout: Any = subprocess.PIPE, **changes: str
) -> subprocess.Popen[str]:
    """A command that has been started in a folder, with an empty home, in a session of its own."""
    (folder / "home").mkdir(exist_ok=True)
    return subprocess.Popen(
        list(map(str, arguments)),
        cwd=folder,
        env=environment(folder / "home", **changes),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[str]) -> None:
    """Kills a process, and those that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Waits for something that a process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def served(url: str) -> bool:
    """Whether something answers there."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


def in_terminal(folder: Path, *arguments: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a person does, in a terminal; all that it shows is in stdout."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 110))
    process = started(folder, *arguments, stdin=theirs, stdout=theirs, **changes)
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                new = os.read(ours, 1 << 16)
            except OSError:  # how Linux tells that whoever wrote is gone
                break
            if not new:
                break
            shown += new
        code = process.wait(60)
    finally:
        os.close(ours)
    return subprocess.CompletedProcess(arguments, code, shown.decode(), "")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """A database of MLflow's without runs; making one takes seconds, so it is made once."""
    from nerva.experiment.tracking.store import MlflowClient

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "empty-store"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def prepared(tmp_path: Path, empty_store: Path) -> Path:
    """The test's folder, with a database of MLflow's in its results."""
    (tmp_path / "results").mkdir(exist_ok=True)
    shutil.copy(empty_store, tmp_path / "results")
    return tmp_path


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
