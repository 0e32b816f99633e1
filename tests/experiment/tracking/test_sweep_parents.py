"""Sweeps in MLflow: runs that belong to several, stores that are filled again, and changes that were made by hand."""

import re
import shutil

from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.sweep_record import read_sweeps
from tests.experiment.tracking.sweeps import (
    FIRST,
    SECOND,
    THIRD,
    leave_running,
    nerva_track,
    parents_in,
    track_sweep,
    trained_runs,
)
from tests.helpers import client_of, configured, logged_in, trained


def test_a_run_of_several_sweeps(results, uri) -> None:
    one, two, three = trained_runs(1, 2, 3)
    track_sweep(results, uri, Sweep(), [one])  # at first without a sweep
    assert track_sweep(results, uri, FIRST, [one, two]) == 1
    assert track_sweep(results, uri, SECOND, [two, three]) == 1
    client = client_of(uri)
    runs, by_id = logged_in(client), parents_in(client)
    parents = {folder.run_id: runs[folder.run_id].data.tags["mlflow.parentRunId"] for folder in (one, two, three)}
    first, second = (by_id[sweep.id].info.run_id for sweep in (FIRST, SECOND))
    assert parents == {one.run_id: first, two.run_id: first, three.run_id: second}
    assert runs[two.run_id].data.tags["nerva.sweeps"] == "aaaaaaaa bbbbbbbb"
    assert [parent.info.run_name for parent in by_id.values()] == ["quick seed=1,2", "quick"]
    description = by_id[SECOND.id].data.tags["mlflow.note.content"]
    assert description.startswith("Which?  \n2 runs, of which 0 failed")
    assert description.endswith("1 run listed under other sweeps, to which they belong as well")
    assert {parent.info.status for parent in by_id.values()} == {"FINISHED"}
    # A sweep whose points all belong to another one is listed nevertheless.
    track_sweep(results, uri, THIRD, [two])
    assert logged_in(client)[two.run_id].data.tags["nerva.sweeps"] == "aaaaaaaa bbbbbbbb cccccccc"
    third = parents_in(client)[THIRD.id]
    assert "best: lr=0.01 seed=2" in third.data.tags["mlflow.note.content"]
    assert third.info.status == "FINISHED"
    assert third.info.end_time >= third.info.start_time


def test_a_database_is_filled_again_as_it_was(results, uri, empty_store) -> None:
    """With the names of sweeps, with runs of two experiments, and with a run that was killed."""
    one, two, three, killed = trained_runs(1, 2, 3, 4)
    killed.record.unlink()
    # The order of the sweeps is not that of their ids.
    track_sweep(results, uri, SECOND, [one, two])
    track_sweep(results, uri, FIRST, [two, three])
    track_sweep(results, uri, THIRD, [two])
    track_sweep(results, uri, Sweep(), [killed])
    track_sweep(results, uri, Sweep(), [one], "digits-other")

    def content(uri: str) -> list:
        client = client_of(uri)
        runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        names = {run.info.run_id: run.info.run_name for run in runs}
        known = []
        for logged in runs:
            tags = dict(logged.data.tags)
            tags["mlflow.parentRunId"] = names.get(tags.get("mlflow.parentRunId", ""), "")
            data = [sorted(kept.items()) for kept in (logged.data.metrics, logged.data.params, tags)]
            known.append((logged.info.run_name, logged.info.status, logged.info.start_time, *data))
        return sorted(known)

    before = content(uri)
    assert len(before) == 4 + 1 + 3
    assert {"quick", "quick seed=1,2", "quick seed=2"} < {name for name, *_ in before}
    assert [status for _, status, *_ in before].count("KILLED") == 1
    shutil.copy(empty_store, results / "again.db")
    again = f"sqlite:///{results}/again.db"
    # At first all runs are logged, and then none.
    for logged in (["4", "0", "0", "0", "1"], ["0"] * 5):
        code, output = nerva_track(f"tracking.uri={again}")
        assert code == 0, output
        assert sorted(re.findall(r": (\d+) runs? logged", output)) == sorted(logged)
        assert content(again) == before


def test_what_was_deleted_by_hand_is_created_again(results, uri) -> None:
    folders = trained_runs(1, 2)
    track_sweep(results, uri, FIRST, folders)
    client = client_of(uri)
    (parent,) = parents_in(client).values()
    client.delete_run(parent.info.run_id)
    client.delete_registered_model("digits-test")
    assert track_sweep(results, uri, FIRST, folders) == 0
    (new,) = parents_in(client).values()
    runs = logged_in(client)
    assert {runs[folder.run_id].data.tags["mlflow.parentRunId"] for folder in folders} == {new.info.run_id}
    assert "there was no champion" in client.get_model_version_by_alias("digits-test", "champion").description


def test_a_run_that_is_trained_again_in_another_sweep_stays_where_it_was(results, uri) -> None:
    one, two = trained_runs(1, 2)
    track_sweep(results, uri, SECOND, [one])
    client = client_of(uri)
    before = logged_in(client)[one.run_id].data.tags["mlflow.parentRunId"]
    trained(configured("experiment_name=test", "seed=1", "train.epochs=1", "force=true"))
    assert track_sweep(results, uri, FIRST, [one, two]) == 2
    again = logged_in(client)[one.run_id].data.tags
    assert again["mlflow.parentRunId"] == before
    assert again["nerva.sweeps"] == "aaaaaaaa bbbbbbbb"
    assert track_sweep(results, uri, FIRST, [one, two]) == 0


def test_runs_that_were_copied_here_keep_their_sweep(results, uri) -> None:
    """Without the files in sweeps/: the sweep for which a run was trained first is in its folder."""
    config = configured("seed=1", "train.epochs=1")
    config.sweep = FIRST
    one = trained(config)
    track_sweep(results, uri, SECOND, [one], "digits-single")
    assert [record.sweep for record in read_sweeps(results)] == [FIRST, SECOND]
    assert logged_in(client_of(uri), "digits-single")[one.run_id].data.tags["nerva.sweeps"] == "aaaaaaaa bbbbbbbb"


def test_a_sweep_that_was_killed_is_ended(results, uri) -> None:
    """As when a machine stops: no process ended the runs, and no other run has ended since."""
    (one,) = trained_runs(1)
    track_sweep(results, uri, FIRST, [one], "digits-single")
    client = client_of(uri)
    leave_running(client, logged_in(client, "digits-single")[one.run_id], parents_in(client, "digits-single")[FIRST.id])
    one.record.unlink()
    assert nerva_track()[0] == 0
    assert {run.info.status for run in logged_in(client, "digits-single").values()} == {"KILLED"}


def test_an_id_that_another_contains_is_another_sweep(results, uri) -> None:
    """MLflow finds parts of tags, and takes "_" for any character."""
    one, two = trained_runs(1, 2)
    track_sweep(results, uri, Sweep("aaaa"), [one])
    track_sweep(results, uri, Sweep("aa_a"), [one])
    track_sweep(results, uri, Sweep("xaaaax"), [two])
    for parent in parents_in(client_of(uri)).values():
        assert "1 run, of which 0 failed" in parent.data.tags["mlflow.note.content"]
