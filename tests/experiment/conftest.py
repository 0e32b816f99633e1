"""What the tests of experiments share."""

import shutil
from pathlib import Path

import pytest

from nerva.experiment import CONF
from nerva.experiment.compose import compose
from nerva.experiment.config import Config
from tests.conftest import Command, command_in

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


@pytest.fixture
def run_command(tmp_path, monkeypatch) -> Command:
    """Runs a command in a folder of the test's own."""
    monkeypatch.delenv("NERVA_RESULTS_DIR")
    return command_in(tmp_path)


def client_of(uri: str):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def logged_in(client, title: str = "digits-test") -> dict:
    """The runs of an experiment, by nerva's ids; the sweep's own has none."""
    experiment = client.get_experiment_by_name(title)
    return {r.data.tags.get("nerva.run_id", "sweep"): r for r in client.search_runs([experiment.experiment_id])}


class EndError(BaseException):
    """The process ends here."""


def end(*_: object, **__: object) -> None:
    raise EndError
