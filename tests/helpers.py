"""Helpers of the tests: the command line as a subprocess, short runs, and gradients by finite differences."""

import io
import os
import pty
import re
import resource
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerva.cli import main
from nerva.experiment.config.composition import compose
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.identify import identify
from nerva.experiment.paths import options
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run.run import run

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent

# The environment in which the tests were started, before numerics were pinned.
USERS: dict[str, str] = {}

# Seconds after which a process is considered to hang: far more than a slow machine needs.
HANGS = 1800.0

# The tests that share one run of the pipeline go to one worker.
QUICK = pytest.mark.xdist_group("quick")

Command = Callable[..., subprocess.CompletedProcess[str]]


def environment(home: Path, **changes: str) -> dict[str, str]:
    """The environment of a new user: an empty home, and no variables of nerva or MLflow."""
    kept = {k: v for k, v in USERS.items() if not k.startswith(("NERVA_", "MLFLOW_", "HYDRA_", "XDG_"))}
    return {**kept, "HOME": str(home), "PATH": f"{SCRIPTS}:{os.environ['PATH']}", **changes}


def command_in(folder: Path) -> Command:
    """A function that runs a command in a folder, with an empty home, and returns its result."""
    home = folder / "home"
    home.mkdir(exist_ok=True)

    def run(*arguments: str | Path, timeout: float = HANGS, **changes: str) -> subprocess.CompletedProcess[str]:
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
    """Start a command in a folder, with an empty home, in a new session."""
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
    """Kill a process, and those that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = HANGS) -> None:
    """Wait for a condition, as long as a process runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_main(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `nerva` in this process, and return its output and exit code as a subprocess would."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.setattr(sys, "argv", [program, *arguments])
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess([program, *arguments], int(code or 0), stdout.getvalue(), stderr.getvalue())  # type: ignore[call-overload]


def can_mount() -> bool:
    """Whether this system lets a process mount a file system in a new namespace."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


def peak_memory() -> int:
    """The peak memory of this process, in bytes. Unlike `ru_maxrss`, it does not include that of the parent process."""
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(peak) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def served(url: str) -> bool:
    """Whether a server answers at an address."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Let a server answer, in a thread."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def in_terminal(folder: Path, *arguments: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a terminal, as a person does. All that the terminal shows is in stdout."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 110))
    process = started(folder, *arguments, stdin=theirs, stdout=theirs, **changes)
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                new = os.read(ours, 1 << 16)
            except OSError:  # on Linux: the other end is closed
                break
            if not new:
                break
            shown += new
        code = process.wait(HANGS)
    finally:
        os.close(ours)
    return subprocess.CompletedProcess(arguments, code, shown.decode(), "")


def failed_plainly(result: subprocess.CompletedProcess[str], *words: str, code: int = 1) -> None:
    """Assert that a command reported a user's mistake, in a message with these words and without a traceback."""
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
    """Assert that a gradient is that of f at X."""
    expected = differences(f, X)
    message = f"computed:\n{computed}\nby differences:\n{expected}"
    assert computed.shape == X.shape, message
    np.testing.assert_allclose(computed, expected, rtol=1e-5, atol=1e-7, err_msg=message)


DIGITS = ["data=digits", "train.epochs=2", "tracking=off"]
EXPERIMENTS = options("experiment")


def configured(*overrides: str) -> Config:
    """The configuration of a short run on digits."""
    return compose([*DIGITS, *overrides])


def trained(config: Config, overrides: Sequence[str] = (), folder: RunFolder | None = None) -> RunFolder:
    """Train a run, unless it exists, and return its folder."""
    identity = identify(config)
    run(config, identity, overrides, folder)
    return folder or RunFolder.of(config.results_dir, identity.run_id)


# A user-defined module with an optimizer and a schedule. It takes a number from another module, and counts its steps.
MINE = """
from helper import FACTOR
from nerva.learning_rate import LEARNING_RATES, LearningRateScheduler
from nerva.optimizers import OPTIMIZERS, GradientDescentOptimizer

@OPTIMIZERS.register("Scaled")
class Scaled(GradientDescentOptimizer):
    "It has no __repr__, so that it prints as its base class does."
    count = 0
    def __init__(self, x, Dx, part: float = 1):
        super().__init__(x, Dx)
        self.part = part
    def update(self, eta):
        type(self).count += 1
        super().update(eta * self.part * FACTOR / (1 + Scaled.count % 7))

@LEARNING_RATES.register("Bare")
class Bare(LearningRateScheduler):
    "It has no __repr__, so that it prints its address."
    def __init__(self, lr: float = 0.01):
        self.lr = lr
    def __call__(self, epoch):
        return self.lr
"""
USER_DEFINED = ("imports=[mine]", "optimizer=gradient_descent", "optimizer.name=Scaled", "learning_rate={name:Bare}")


def metrics_without_times(folder: RunFolder) -> list[dict[str, float]]:
    """The metrics of a run that are the same whenever it is trained."""
    return [{key: x for key, x in row.items() if key not in ("time", "seconds")} for row in folder.read_metrics()]


def assert_same_results(folder: RunFolder, expected: RunFolder) -> None:
    """Assert that a run has ended with the metrics and weights of another, and has left nothing behind."""
    assert metrics_without_times(folder) == metrics_without_times(expected)
    assert folder.weights.read_bytes() == expected.weights.read_bytes()
    assert folder.best.read_bytes() == expected.best.read_bytes()
    record, other = folder.read_record(), expected.read_record()
    for name in ("status", "reason", "best", "last", "weights"):
        assert getattr(record, name) == getattr(other, name)
    assert not folder.checkpoint.exists()
    assert not list(folder.path.glob(".*"))


def client_of(uri: str):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def logged_in(client, title: str = "digits-test") -> dict:
    """The runs of an experiment in MLflow, by run id. The run of the sweep has the key "sweep"."""
    experiment = client.get_experiment_by_name(title)
    return {r.data.tags.get("nerva.run_id", "sweep"): r for r in client.search_runs([experiment.experiment_id])}


class EndError(BaseException):
    """Stands for the end of the process."""


def end(*_: object, **__: object) -> None:
    raise EndError
