"""What the tests of experiments share."""

import shutil
from pathlib import Path

import pytest

from nerva.experiment import CONF
from nerva.experiment.compose import compose
from nerva.experiment.config import Config

DIGITS = ["data=digits", "train.epochs=2", "tracking=off"]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


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


def configured(*overrides: str) -> Config:
    """A short run on digits."""
    return compose([*DIGITS, *overrides])
