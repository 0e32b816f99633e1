"""Fixtures of the tests of experiments."""

import shutil
from pathlib import Path

import pytest

from nerva.experiment.config import numerics
from nerva.experiment.records.run_folder import RunFolder
from tests.helpers import Command, command_in, configured, trained


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch) -> Path:
    """Results go to a folder of the test's own, and the current folder is another."""
    monkeypatch.setenv("NERVA_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


@pytest.fixture
def uri(results, empty_store) -> str:
    """A store without runs, in the test's results."""
    results.mkdir()
    shutil.copy(empty_store, results)
    return f"sqlite:///{results}/mlflow.db"


@pytest.fixture
def run_command(tmp_path, monkeypatch) -> Command:
    """Runs a command in a folder of the test's own."""
    monkeypatch.delenv("NERVA_RESULTS_DIR")
    return command_in(tmp_path)


@pytest.fixture
def unsupported(monkeypatch):
    """A machine on which portable numerics are not supported."""
    monkeypatch.setattr(numerics, "_unfit", lambda: "this CPU has no avx2")
    numerics.obstacle.cache_clear()
    yield
    numerics.obstacle.cache_clear()


@pytest.fixture(scope="session")
def small_results(tmp_path_factory) -> Path:
    """A results folder with one small run. It must not be changed."""
    results = tmp_path_factory.mktemp("small") / "results"
    trained(configured("model.hidden=[8]", f"results_dir={results}"), ["data=digits", "model.hidden=[8]"])
    return results


@pytest.fixture
def recorded(results, small_results) -> RunFolder:
    """A copy of a small run among the results of the test."""
    shutil.copytree(small_results, results)
    (path,) = results.glob("runs/[!.]*")
    return RunFolder(path)
