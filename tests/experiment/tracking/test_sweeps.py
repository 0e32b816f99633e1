"""Sweeps in MLflow: runs that belong to several, stores that are made again, and what was changed there by hand."""

import re
import shutil
import time

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import remember, remembered
from nerva.experiment.run.train import run
from tests.helpers import client_of, configured, failed_plainly, logged_in

FIRST, SECOND = Sweep("aaaaaaaa", "quick"), Sweep("bbbbbbbb", "quick seed=1,2")


def made(*seeds: int) -> list[RunFolder]:
    return [run(configured("experiment_name=test", f"seed={seed}", "train.epochs=1"), []) for seed in seeds]


def track_as(results, uri: str, sweep: Sweep, folders: list[RunFolder], title: str = "digits-test") -> int:
    from nerva.experiment.tracking import track

    remember(results, title, sweep, "Which?", [folder.run_id for folder in folders])
    return track(folders, title, uri, results, sweep, "Which?")


def parents(client, title: str = "digits-test") -> dict:
    experiment = client.get_experiment_by_name(title).experiment_id
    found = client.search_runs([experiment], "tags.`nerva.sweep.id` != ''")
    return {parent.data.tags["nerva.sweep.id"]: parent for parent in found}


def test_a_run_of_two_sweeps(results, uri) -> None:
    one, two, three = made(1, 2, 3)
    track_as(results, uri, Sweep(), [one])  # by itself at first
    assert track_as(results, uri, FIRST, [one, two]) == 1
    assert track_as(results, uri, SECOND, [two, three]) == 1
    client = client_of(uri)
    runs, by_id = logged_in(client), parents(client)
    under = {folder.run_id: runs[folder.run_id].data.tags["mlflow.parentRunId"] for folder in (one, two, three)}
    first, second = (by_id[sweep.id].info.run_id for sweep in (FIRST, SECOND))
    assert under == {one.run_id: first, two.run_id: first, three.run_id: second}
    assert runs[two.run_id].data.tags["nerva.sweeps"] == "aaaaaaaa bbbbbbbb"
    assert [parent.info.run_name for parent in by_id.values()] == ["quick seed=1,2", "quick"]
    note = by_id[SECOND.id].data.tags["mlflow.note.content"]
    assert note.startswith("Which?  \n2 runs, of which 0 failed")
    assert note.endswith("1 of them stand under other sweeps, whose points they are, too")
    assert {parent.info.status for parent in by_id.values()} == {"FINISHED"}
    # All points of a sweep may be those of another. It can be seen all the same.
    track_as(results, uri, Sweep("cccccccc", "quick seed=2"), [two])
    assert logged_in(client)[two.run_id].data.tags["nerva.sweeps"] == "aaaaaaaa bbbbbbbb cccccccc"
    third = parents(client)["cccccccc"]
    assert "best: lr=0.01 seed=2" in third.data.tags["mlflow.note.content"]
    assert third.info.status == "FINISHED"
    assert third.info.end_time >= third.info.start_time


def test_a_store_is_made_again_as_it_was(results, uri, empty_store, run_command) -> None:
    """With the names of sweeps, with runs of two experiments, and with those that were killed."""
    one, two, three, killed = made(1, 2, 3, 4)
    killed.summary.unlink()
    # Their ids say nothing of which was first.
    track_as(results, uri, SECOND, [one, two])
    track_as(results, uri, FIRST, [two, three])
    track_as(results, uri, Sweep("cccccccc", "quick seed=2"), [two])
    track_as(results, uri, Sweep(), [killed])
    track_as(results, uri, Sweep(), [one], "digits-other")

    def content(uri: str) -> list:
        client = client_of(uri)
        runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        names = {run.info.run_id: run.info.run_name for run in runs}
        known = []
        for logged in runs:
            tags = dict(logged.data.tags)
            tags["mlflow.parentRunId"] = names.get(tags.get("mlflow.parentRunId", ""), "")
            figures = [sorted(kept.items()) for kept in (logged.data.metrics, logged.data.params, tags)]
            known.append((logged.info.run_name, logged.info.status, logged.info.start_time, *figures))
        return sorted(known)

    before = content(uri)
    assert len(before) == 4 + 1 + 3
    assert {"quick", "quick seed=1,2", "quick seed=2"} < {name for name, *_ in before}
    assert [status for _, status, *_ in before].count("KILLED") == 1
    shutil.copy(empty_store, results / "again.db")
    again = f"sqlite:///{results}/again.db"
    # Every one is logged, and then none is.
    for logged in (["4", "0", "0", "0", "1"], ["0"] * 5):
        result = run_command("nerva", "track", f"tracking.uri={again}")
        assert result.returncode == 0, result.stderr
        assert sorted(re.findall(r": (\d+) runs? logged", result.stdout)) == sorted(logged)
        assert content(again) == before


def test_what_was_deleted_by_hand_is_there_again(results, uri) -> None:
    folders = made(1, 2)
    track_as(results, uri, FIRST, folders)
    client = client_of(uri)
    (parent,) = parents(client).values()
    client.delete_run(parent.info.run_id)
    client.delete_registered_model("digits-test")
    assert track_as(results, uri, FIRST, folders) == 0
    (new,) = parents(client).values()
    runs = logged_in(client)
    assert {runs[folder.run_id].data.tags["mlflow.parentRunId"] for folder in folders} == {new.info.run_id}
    assert "the first champion" in client.get_model_version_by_alias("digits-test", "champion").description


def test_a_champion_that_was_named_by_hand(results, uri) -> None:
    (one,) = made(1)
    track_as(results, uri, FIRST, [one])
    client = client_of(uri)
    source = client.get_model_version("digits-test", "1")
    mine = client.create_model_version("digits-test", source.source, run_id=source.run_id)
    client.set_registered_model_alias("digits-test", "champion", mine.version)
    better = run(configured("learning_rate.lr=0.1", "train.epochs=6"), [])
    track_as(results, uri, FIRST, [better])
    champion = client.get_model_version_by_alias("digits-test", "champion")
    assert champion.tags["nerva.run_id"] == better.run_id
    assert f"% of version {mine.version}. " in champion.description


def test_what_was_killed_long_ago_is_ended(results, uri, run_command) -> None:
    """Trainer and follower died together, as when a machine does; and no other run has ended since."""
    (one,) = made(1)
    track_as(results, uri, FIRST, [one], "digits-single")
    client = client_of(uri)
    logged = logged_in(client, "digits-single")[one.run_id]
    client.delete_tag(logged.info.run_id, "nerva.ended")
    for run_id in (logged.info.run_id, parents(client, "digits-single")[FIRST.id].info.run_id):
        client.update_run(run_id, "RUNNING")
    one.summary.unlink()
    assert run_command("nerva", "track").returncode == 0
    assert {run.info.status for run in logged_in(client, "digits-single").values()} == {"KILLED"}


def test_results_that_were_moved(results, uri, tmp_path) -> None:
    folders = made(1)
    track_as(results, uri, FIRST, folders)
    moved = tmp_path / "moved"
    shutil.copytree(results, moved)
    with pytest.raises(NervaError, match=r"moved/mlflow\.db was made elsewhere, .* put it away, and `nerva track`"):
        track_as(moved, f"sqlite:///{moved}/mlflow.db", FIRST, folders)


def test_one_experiment_that_is_deleted_does_not_keep_the_others_away(results, uri, run_command) -> None:
    one, two = made(1, 2)
    track_as(results, uri, Sweep(), [one], "digits-a")
    track_as(results, uri, Sweep(), [two], "digits-b")
    client = client_of(uri)
    client.delete_experiment(client.get_experiment_by_name("digits-a").experiment_id)
    client.delete_run(logged_in(client, "digits-b")[two.run_id].info.run_id)
    result = run_command("nerva", "track")
    failed_plainly(result, "the experiment digits-a was deleted")
    assert "digits-b: 1 run logged" in result.stdout


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("postgresql://u:secret@h/x", "MLflow's store at postgresql://h/x: ModuleNotFoundError: No module named"),
        ("sqlite:///:memory:", "names no file"),
        ("nonsense://x", "MLflow's store at nonsense://x: "),
        ("sqlite:////proc/x.db", "MLflow's store at sqlite:////proc/x.db: /proc: "),
        ("http://nosuch.invalid", "MLflow's store at http://nosuch.invalid: [Errno "),
    ],
)
def test_addresses_of_stores_that_are_none(results, uri: str, message: str) -> None:
    with pytest.raises(NervaError) as raised:
        track_as(results, uri, FIRST, made(1))
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_address_with_settings(results, empty_store) -> None:
    results.mkdir()
    shutil.copy(empty_store, results / "other.db")
    assert track_as(results, f"sqlite:///{results}/other.db?timeout=3", FIRST, made(1)) == 1
    assert len(logged_in(client_of(f"sqlite:///{results}/other.db"))) == 2


def test_a_variable_that_is_set_to_nothing(monkeypatch, results) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert configured("tracking=mlflow").tracking.uri == f"sqlite:///{results}/mlflow.db"


def test_the_ui_of_a_server(run_command) -> None:
    uri = "http://jane:secret@127.0.0.1:9"
    result = run_command("nerva", "ui", MLFLOW_TRACKING_URI=uri)
    failed_plainly(result, "http://127.0.0.1:9 is a server, which shows its runs itself")
    assert "secret" not in result.stderr


def test_a_follower_whose_store_refuses_says_so_once(results, monkeypatch, capfd) -> None:
    from nerva.experiment.tracking import follower as live

    monkeypatch.setattr(live, "SOON", 0.1)
    config = configured("train.epochs=1", "tracking.uri=nonsense://x", "tracking.enabled=true")
    folder = run(config, [])
    with live.followed(config, folder) as follower:
        time.sleep(1)
    assert follower.refused
    assert capfd.readouterr().err.count("`nerva track` logs them later") == 1


def test_a_folder_that_is_damaged_does_not_keep_the_others_away(results, uri, run_command) -> None:
    one, two, three = made(1, 2, 3)
    two.best.write_bytes(b"")
    remember(results, "digits-test", FIRST, "", [folder.run_id for folder in (one, two, three)])
    for _ in range(2):
        result = run_command("nerva", "track")
        failed_plainly(
            result, f"{two.best} is not a readable .npz file", f"delete {two.path}, and the run is made again"
        )
        client = client_of(uri)
        states = {run_id: run.info.status for run_id, run in logged_in(client).items()}
        assert states == {one.run_id: "FINISHED", two.run_id: "KILLED", three.run_id: "FINISHED", "sweep": "KILLED"}
        assert client.get_model_version_by_alias("digits-test", "champion")
    four = made(4)[0]
    four.provenance.write_text("{")
    remember(results, "digits-test", FIRST, "", [four.run_id])
    failed_plainly(run_command("nerva", "track"), f"{four.provenance}", f"delete {four.path}", f"delete {two.path}")


def test_a_run_that_is_made_again_in_another_sweep(results, uri) -> None:
    one, two = made(1, 2)
    track_as(results, uri, SECOND, [one])
    client = client_of(uri)
    before = logged_in(client)[one.run_id].data.tags["mlflow.parentRunId"]
    run(configured("experiment_name=test", "seed=1", "train.epochs=1", "force=true"), [])
    assert track_as(results, uri, FIRST, [one, two]) == 2
    again = logged_in(client)[one.run_id].data.tags
    assert again["mlflow.parentRunId"] == before
    assert again["nerva.sweeps"] == "aaaaaaaa bbbbbbbb"
    assert track_as(results, uri, FIRST, [one, two]) == 0


def test_a_file_that_is_lost_and_found(results, uri) -> None:
    one, two = made(1, 2)
    content = one.best.read_bytes()
    for damage in (one.best.unlink, lambda: one.best.write_bytes(b"")):
        damage()
        with pytest.raises(NervaError, match=rf"best\.npz.*; delete .*/{one.run_id}, and the run is made again"):
            track_as(results, uri, FIRST, [one, two])
        states = {run_id: logged.info.status for run_id, logged in logged_in(client_of(uri)).items()}
        assert states[two.run_id] == "FINISHED"
        assert "RUNNING" not in states.values()
    one.best.write_bytes(content)
    assert track_as(results, uri, FIRST, [one, two]) == 1
    logged = logged_in(client_of(uri))[one.run_id]
    assert logged.info.status == "FINISHED"
    assert "mlflow.note.content" not in logged.data.tags


def test_a_folder_that_is_gone_is_not_running(results, uri) -> None:
    one, two = made(1, 2)
    track_as(results, uri, FIRST, [one])
    client = client_of(uri)
    logged = logged_in(client)[one.run_id].info.run_id
    client.delete_tag(logged, "nerva.ended")
    client.update_run(logged, "RUNNING")
    shutil.rmtree(one.path)
    track_as(results, uri, SECOND, [two])
    assert client.get_run(logged).info.status == "KILLED"


def test_runs_that_were_brought_here(results, uri, tmp_path) -> None:
    """Without the files in sweeps/: what a run was made for first is in its folder."""
    config = configured("seed=1", "train.epochs=1")
    config.sweep = FIRST
    one = run(config, [])
    track_as(results, uri, SECOND, [one], "digits-single")
    assert [asked.sweep for asked in remembered(results)] == [FIRST, SECOND]
    assert logged_in(client_of(uri), "digits-single")[one.run_id].data.tags["nerva.sweeps"] == "aaaaaaaa bbbbbbbb"


def test_a_file_that_is_damaged_is_done_without(results, caplog) -> None:
    remember(results, "digits-test", FIRST, "", ["0" * 12])
    remember(results, "digits-test", Sweep(FIRST.id), "Which?", ["1" * 12])
    (asked,) = remembered(results)
    assert (asked.sweep, asked.question, asked.runs) == (FIRST, "Which?", ["0" * 12, "1" * 12])
    path = results / "sweeps" / "digits-test-aaaaaaaa.json"
    whole = path.read_text()
    for damaged in (whole[:20], "[]", whole.replace('"Which?"', "3"), re.sub(r'"20[^"]+"', '"once"', whole)):
        path.write_text(damaged)
        assert [remembered(results) for _ in range(2)] == [[], []]
        (said,) = caplog.messages
        assert f"{path} can't be read (" in said
        assert "delete it" in said
        caplog.clear()
    remember(results, "digits-test", FIRST, "", ["2" * 12])
    assert [asked.runs for asked in remembered(results)] == [["2" * 12]]
