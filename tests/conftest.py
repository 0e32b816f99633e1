"""Fixtures of all tests."""

import os
import shutil
import signal
from pathlib import Path

from nerva.experiment.config import numerics

# Before NumPy is imported: runs then train in the tests' own process.
USERS = dict(os.environ)
numerics.pin_for(())
# What a shell starts in the background ignores SIGINT, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from filelock import FileLock

from tests import helpers
from tests.helpers import ROOT, Command, command_in

helpers.USERS.update(USERS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests go first: at the end, one worker would wait for the other."""
    items.sort(key=lambda item: not item.nodeid.startswith(("tests/docs", "tests/test_ui", "tests/workflow")))


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with MNIST's files: NERVA_DATA_DIR, or `shared/data` beside the checkout."""
    for folder in (os.environ.get("NERVA_DATA_DIR"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "mnist" / "train-images-idx3-ubyte.gz").exists():
            return Path(folder)
    pytest.skip("MNIST's files are not there; NERVA_DATA_DIR can say where they are")


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
