"""Fixtures of all tests."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from nerva.experiment.config import numerics

# Before NumPy is imported: runs then train in the tests' own process.
USERS = dict(os.environ)
numerics.pin_for(())
# A process that a shell starts in the background ignores SIGINT, and so would the processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from filelock import FileLock

from nerva import backends
from tests import helpers
from tests.helpers import ROOT, Command, command_in

helpers.USERS.update(USERS)

# These need a process of their own: see tests/test_symbols.py.
collect_ignore = [] if backends.chosen()[0] == "sympy" else ["symbols"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first: at the end, one worker would wait for the other."""
    longest = ("tests/docs", "tests/test_symbols", "tests/test_ui", "tests/workflow")
    items.sort(key=lambda item: not item.nodeid.startswith(longest))


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with MNIST's files: NERVA_DATA_DIR, or `shared/data` beside the checkout."""
    for folder in (os.environ.get("NERVA_DATA_DIR"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "mnist" / "train-images-idx3-ubyte.gz").exists():
            return Path(folder)
    pytest.skip("MNIST's files are missing; set NERVA_DATA_DIR to the folder that contains mnist/")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow database without runs. Creating one takes seconds, so it is created once."""
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
    """The test's folder, with an MLflow database in its results."""
    (tmp_path / "results").mkdir(exist_ok=True)
    shutil.copy(empty_store, tmp_path / "results")
    return tmp_path


@pytest.fixture
def run(tmp_path: Path) -> Command:
    """A function that runs a command in the test's folder."""
    return command_in(tmp_path)


@pytest.fixture(scope="session")
def quick(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which the default pipeline has run: without configuration, network and MNIST. See `QUICK`."""
    folder = tmp_path_factory.mktemp("quick")
    # Nothing listens at this proxy, so that no mirror can be reached.
    unreachable = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = ("snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2")
    return folder, command_in(folder)(*command, **unreachable)
