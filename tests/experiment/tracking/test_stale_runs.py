"""Runs that a killed process has left RUNNING."""

import shutil

from filelock import FileLock

from nerva.experiment.tracking import track
from tests.experiment.tracking.sweeps import FIRST, SECOND, leave_running, track_sweep, trained_runs
from tests.helpers import client_of, logged_in


def test_a_run_that_was_killed_is_ended_when_another_is_logged(results, uri) -> None:
    killed, other = trained_runs(1, 2)
    track([killed], "digits-test", uri, results)
    client = client_of(uri)
    leave_running(client, logged_in(client)[killed.run_id])
    killed.record.unlink()
    track([other], "digits-test", uri, results)
    assert logged_in(client)[killed.run_id].info.status == "KILLED"


def test_a_run_that_ended_meanwhile_is_logged_completely(results, uri) -> None:
    ended, other = trained_runs(1, 2)
    track([ended], "digits-test", uri, results)
    client = client_of(uri)
    leave_running(client, logged_in(client)[ended.run_id])
    track([other], "digits-test", uri, results)
    logged = logged_in(client)[ended.run_id]
    assert logged.info.status == "FINISHED"
    assert "nerva.ended" in logged.data.tags


def test_a_run_whose_folder_is_gone_is_ended(results, uri) -> None:
    one, two = trained_runs(1, 2)
    track_sweep(results, uri, FIRST, [one])
    client = client_of(uri)
    logged = logged_in(client)[one.run_id]
    leave_running(client, logged)
    shutil.rmtree(one.path)
    track_sweep(results, uri, SECOND, [two])
    assert client.get_run(logged.info.run_id).info.status == "KILLED"


def test_a_run_that_is_being_trained_or_is_not_here_goes_on(results, uri) -> None:
    """A run without a lock may be trained on another machine. An id from a store must not lead out of the results."""
    here, elsewhere, other = trained_runs(1, 2, 3)
    track([here, elsewhere], "digits-test", uri, results)
    client = client_of(uri)
    runs = logged_in(client)
    leave_running(client, runs[here.run_id], runs[elsewhere.run_id])
    strange = client.create_run(
        client.get_experiment_by_name("digits-test").experiment_id, tags={"nerva.run_id": "../../outside"}
    )
    elsewhere.lock.unlink()
    outside = results.parent / ".outside.lock"
    outside.touch()
    (results / "runs").mkdir(exist_ok=True)
    with FileLock(here.lock):
        track([other], "digits-test", uri, results)
    runs = logged_in(client)
    assert {runs[run_id].info.status for run_id in (here.run_id, elsewhere.run_id)} == {"RUNNING"}
    assert client.get_run(strange.info.run_id).info.status == "RUNNING"
