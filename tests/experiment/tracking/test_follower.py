"""Runs in MLflow while they train: the follower is a child process."""

import time
from collections.abc import Callable

import pytest

from nerva.experiment.run.processes import Child
from nerva.experiment.tracking import follower
from tests.experiment.tracking.sweeps import runs_so_far
from tests.helpers import configured, trained


@pytest.fixture(autouse=True)
def at_once(monkeypatch) -> None:
    """The follower starts immediately."""
    monkeypatch.setattr(follower, "START_AFTER", 0)


@pytest.fixture
def started(monkeypatch) -> list[Child]:
    """The followers that have been started."""
    children: list[Child] = []

    def start(*arguments) -> Child:
        children.append(Child(*arguments))
        return children[-1]

    monkeypatch.setattr(follower, "Child", start)
    return children


def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process does. The limit is for a process that hangs."""
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_run_is_seen_while_it_trains_and_killed_with_its_process(results, uri, started) -> None:
    config = configured("train.epochs=1", "tracking=mlflow", "sweep.id=0123abcd", "sweep.name=mine")
    assert config.tracking.uri == uri
    folder = trained(config)
    record = folder.record.read_text()
    folder.record.unlink()  # as if it were still being trained

    def runs() -> dict:
        return runs_so_far(uri, "digits-single")

    with follower.followed(config, folder) as following:
        until(lambda: folder.run_id in runs() and "train/loss" in runs()[folder.run_id].data.metrics)
        assert {run.info.status for run in runs().values()} == {"RUNNING"}
    assert not following.refused
    assert {name: run.info.status for name, run in runs().items()} == {"sweep": "KILLED", folder.run_id: "KILLED"}
    folder.record.write_text(record)
    with follower.followed(config, folder) as following:
        until(lambda: started[1:])
    assert not following.refused
    assert {run.info.status for run in runs().values()} == {"FINISHED"}


def test_a_store_that_refuses_is_reported_once(results, started, capfd) -> None:
    config = configured("train.epochs=1", "tracking.uri=nonsense://x", "tracking.enabled=true")
    folder = trained(config)
    with follower.followed(config, folder) as following:
        until(lambda: started)
    assert following.refused
    assert capfd.readouterr().err.count("`nerva track` logs the runs later") == 1


def test_a_short_run_is_not_followed(results, started, monkeypatch) -> None:
    monkeypatch.setattr(follower, "START_AFTER", 600)
    config = configured("train.epochs=1", "tracking=mlflow")
    with follower.followed(config, trained(config)) as following:
        pass
    assert not started
    assert not following.refused
