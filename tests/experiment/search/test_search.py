"""Searches: their trials are runs, and the same command goes on."""

import dataclasses
import json
import re
import signal
import sys
from pathlib import Path

import pytest

from nerva.data.locks import locked
from nerva.errors import NervaError, RunFailedError
from nerva.experiment.config.composition import initialized
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.search_record import SearchRecord, Trial, read_search
from nerva.experiment.records.sweep_record import read_sweeps
from nerva.experiment.run import run as running
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.search import search as searching
from nerva.experiment.search.command import run_search
from nerva.experiment.search.search import Request, Search
from tests.helpers import (
    HANGS,
    MINE,
    USER_DEFINED,
    Command,
    assert_same_results,
    client_of,
    configured,
    failed_plainly,
    logged_in,
    started,
    trained,
    until,
)

FIXED = ("data=digits", "tracking=off", "model.hidden=[8]", "train.epochs=3", "experiment_name=test")
LR = "learning_rate.lr=tag(log,interval(0.001,1))"
CATEGORIES = "optimizer=momentum,nesterov"


def command(*overrides: str, **request) -> list[str]:
    """Carry out a search as the command does, and return the lines that it prints through `say`."""
    lines: list[str] = []
    run_search(Request((*FIXED, *overrides), **request), lines.append)
    return lines


def carry_out(*overrides: str, **request) -> list[Trial]:
    """Carry out a search without its report, and return the trials that have ended by this call."""
    ended: list[Trial] = []
    with initialized():
        search = Search(Request((*FIXED, *overrides), **request))
        with search.opened() as record:
            search.run(record, ended.append)
    return ended


def recorded(results: Path) -> SearchRecord:
    (path,) = results.glob("searches/*.json")
    record = read_search(path)
    assert record is not None
    return record


def run_ids(results: Path) -> set[str]:
    return {path.parent.name for path in results.glob("runs/*/run.json")}


def folder_of(results: Path, record: SearchRecord, number: int) -> RunFolder:
    return RunFolder.of(results, record.trials[number].run_id)


def test_a_trial_is_a_run_as_any_other(results, capsys) -> None:
    lines = command(LR, CATEGORIES, trials=3)
    record = recorded(results)
    assert [trial.state for trial in record.trials] == ["complete"] * 3
    assert run_ids(results) == {trial.run_id for trial in record.trials}
    for number, trial in enumerate(record.trials):
        folder = folder_of(results, record, number)
        assert trial.value == folder.read_record().best.validation_accuracy
        assert trial.metrics == [row["validation_accuracy"] for row in folder.read_metrics()[1:]]
    best = max(record.trials, key=lambda trial: trial.value)
    assert record.best == best
    # The command of the summary trains the run of the best trial: it exists.
    summary = "\n".join(lines)
    assert f"nerva replay {best.run_id}" in summary
    config = configured(*FIXED, *best.overrides)
    assert trained(config).run_id == best.run_id
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 3
    assert re.fullmatch(
        r"trial +0  \d+\.\d\d% +\(best \d+\.\d\d%, trial 0\)  learning_rate\.lr=\S+ optimizer=\w+", out[0]
    )


def test_the_search_is_a_sweep(results) -> None:
    carry_out(LR, trials=2)
    record = recorded(results)
    (sweep,) = (sweep for sweep in read_sweeps(results) if sweep.sweep.id)
    assert sweep.sweep == record.sweep
    assert sweep.title == "digits-test"
    assert sweep.runs == [trial.run_id for trial in record.trials]
    assert folder_of(results, record, 0).read_provenance().part_of.sweep == record.sweep


def test_its_files(results) -> None:
    command(LR, trials=2, pruner="median")
    (folder,) = results.glob("digits-test-*")
    assert folder.name == f"digits-test-{recorded(results).sweep.id}"
    html = (folder / "report.html").read_text()
    assert '<h2 id="search">Search</h2>' in html
    assert "nerva search data=digits" in html
    rows = (folder / "trials.csv").read_text().splitlines()
    assert rows[0] == "trial,state,value,epochs,learning_rate.lr,run_id,reason"
    assert len(rows) == 3


@pytest.mark.long
def test_more_trials_extend_a_search_as_if_it_had_not_stopped(results, tmp_path, monkeypatch) -> None:
    for trials in (3, 5, 14):
        carry_out(LR, CATEGORIES, trials=trials, pruner="median")
    extended = recorded(results)
    monkeypatch.setenv("NERVA_RESULTS_DIR", str(tmp_path / "whole"))
    carry_out(LR, CATEGORIES, trials=14, pruner="median")
    whole = recorded(tmp_path / "whole")
    assert extended.trials == whole.trials
    assert extended.importance == whole.importance
    assert extended.count("pruned") > 0


def test_a_search_that_is_complete_trains_nothing(results, monkeypatch) -> None:
    carry_out(LR, trials=2)
    monkeypatch.setattr(running, "train", lambda *_, **__: pytest.fail("trained"))
    before = recorded(results)
    assert "continues after 2 trials" in command(LR, trials=2)[0]
    assert recorded(results) == before
    # The record can be lost: the runs of the trials are found by their ids.
    (path,) = results.glob("searches/*.json")
    path.unlink()
    assert len(carry_out(LR, trials=2)) == 2
    assert recorded(results) == before


def test_other_definitions_are_other_searches(results) -> None:
    with initialized():
        definitions = [
            Request((*FIXED, LR)),
            Request((*FIXED, "learning_rate.lr=interval(0.001,1)")),
            Request((*FIXED, "train.batch_size=range(10,20)")),
            Request((*FIXED, "train.batch_size=tag(log,range(10,20))")),
            Request((*FIXED, "train.batch_size=int(interval(10,19))")),
            Request((*FIXED, LR), sampler="random"),
            Request((*FIXED, LR), pruner="median"),
            Request((*FIXED, LR), seed=2),
            Request((*FIXED, LR, "train.batch_size=50")),
            Request((*FIXED, LR, "objective=last.train_loss")),
            Request((*FIXED, LR, "direction=minimize")),
        ]
        folders = [Search(request).results.name for request in definitions]
        assert len({*folders}) == len(definitions)
        for same in (Request((*FIXED, LR), trials=99, jobs=3), Request((*FIXED, LR, "force=true"))):
            assert Search(same).results.name == folders[0]
    assert not results.exists()


def test_pruned_trials_have_fewer_epochs_and_a_sweep_completes_their_runs(results, capsys) -> None:
    # All trials after the fifth are worse.
    values = "learning_rate.lr=choice(0.5,0.4,0.3,0.35,0.45,0.0001,0.0002)"
    command(values, sampler="grid", pruner="median")
    record = recorded(results)
    assert [trial.state for trial in record.trials] == ["complete"] * 5 + ["pruned"] * 2
    assert "pruned after epoch 1" in capsys.readouterr().out
    for number in (5, 6):
        folder = folder_of(results, record, number)
        assert len(record.trials[number].metrics) == 1
        assert [row["epoch"] for row in folder.read_metrics()] == [0, 1]
        assert folder.checkpoint.exists()
        assert not folder.record.exists()
        config = configured(*FIXED, *record.trials[number].overrides)
        assert trained(config).run_id == folder.run_id
        assert [resumption.after_epoch for resumption in folder.read_record().continued] == [1]
        elsewhere = RunFolder(results / "elsewhere" / folder.run_id)
        assert_same_results(folder, trained(config, folder=elsewhere))
    # What is complete is not pruned in another search.
    carry_out(values, sampler="grid", pruner="median", seed=2)
    other = max(results.glob("searches/*.json"), key=lambda path: path.stat().st_mtime)
    assert [trial.state for trial in read_search(other).trials] == ["complete"] * 7


def test_a_run_that_diverges_is_a_failed_trial(results, capsys) -> None:
    command("learning_rate.lr=choice(0.1,1e18)", sampler="grid")
    good, bad = recorded(results).trials
    assert (good.state, bad.state, bad.value) == ("complete", "failed", None)
    assert "diverged" in bad.reason
    assert "diverged" in capsys.readouterr().out


def test_all_trials_fail(results) -> None:
    with pytest.raises(RunFailedError, match="no trial is complete"):
        command("learning_rate.lr=choice(1e17,1e18)", sampler="grid")
    assert recorded(results).failures.startswith("2 of 2 trials failed, ")
    assert list(results.glob("digits-test-*/report.html"))


def test_values_that_do_not_go_together_are_a_failed_trial(results) -> None:
    values = ("train.batch_size=choice(10,1000)", "data.validation=choice(100,600)")
    ended = carry_out(*values, sampler="grid")
    assert [trial.state for trial in ended] == ["complete", "complete", "complete", "failed"]
    assert "train.batch_size should be 1 to" in ended[3].reason
    assert ended[3].run_id == ""


def test_equal_points_are_one_run(results) -> None:
    carry_out(CATEGORIES, sampler="random", trials=6)
    record = recorded(results)
    assert len({trial.run_id for trial in record.trials}) == 2
    assert len(run_ids(results)) == 2
    by_id = {trial.run_id: trial.value for trial in record.trials}
    assert all(by_id[trial.run_id] == trial.value for trial in record.trials)


def test_an_objective_of_the_users_own(results) -> None:
    carry_out(LR, "objective=last.train_loss", trials=3)
    record = recorded(results)
    assert not record.maximize
    assert record.best.value == min(trial.value for trial in record.trials)
    assert record.best.value == folder_of(results, record, record.best.number).read_record().last.train_loss


@pytest.mark.long
def test_trials_at_the_same_time(results, tmp_path, monkeypatch) -> None:
    """Rounds of three; the result does not depend on which process is faster, nor on an interruption."""
    for trials in (2, 7):
        carry_out(LR, CATEGORIES, trials=trials, jobs=3, pruner="halving")
    record = recorded(results)
    assert [trial.number for trial in record.trials] == [*range(7)]
    assert record.count("complete") + record.count("pruned") == 7
    monkeypatch.setenv("NERVA_RESULTS_DIR", str(tmp_path / "again"))
    for trials in (2, 7):
        carry_out(LR, CATEGORIES, trials=trials, jobs=3, pruner="halving")
    assert recorded(tmp_path / "again").trials == record.trials


@pytest.mark.long
def test_a_process_that_dies_is_an_error_and_its_trial_goes_on(results, monkeypatch) -> None:
    class Dead(running.ChildRun):
        started = 0

        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            Dead.started += 1
            if Dead.started == 2:
                self._child._process.kill()

    monkeypatch.setattr(running, "ChildRun", Dead)
    with pytest.raises(NervaError, match=r"the process that trained \w+ ended with exit code -9"):
        carry_out(LR, trials=2, jobs=2)
    assert sorted(trial.state for trial in recorded(results).trials) == ["complete", "running"]
    carry_out(LR, trials=2, jobs=2)
    assert [trial.state for trial in recorded(results).trials] == ["complete", "complete"]


@pytest.mark.long
def test_user_defined_components_are_pruned_as_well(results, tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("FACTOR = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    fixed = [override for override in USER_DEFINED if not override.startswith("learning_rate")]
    values = "learning_rate.lr=choice(0.5,0.4,0.3,0.35,0.45,0.0001)"
    carry_out(*fixed, values, sampler="grid", pruner="median")
    record = recorded(results)
    assert [trial.state for trial in record.trials] == ["complete"] * 5 + ["pruned"]
    assert len(folder_of(results, record, 5).read_metrics()) == 2


def test_an_interruption_leaves_a_trial_that_goes_on(results, monkeypatch) -> None:
    carry_out(LR, trials=1)
    original = searching.TrialRun.train

    def interrupted(*_: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(searching.TrialRun, "train", interrupted)
    with pytest.raises(Interrupted):
        carry_out(LR, trials=3)
    first, second = recorded(results).trials
    assert (first.state, second.state) == ("complete", "running")
    monkeypatch.setattr(searching.TrialRun, "train", original)
    carry_out(LR, trials=3)
    assert dataclasses.replace(recorded(results).trials[1], state="running", value=None, metrics=[]) == second


def test_one_process_at_a_time(results) -> None:
    carry_out(LR, trials=1)
    (path,) = results.glob("searches/*.json")
    with (
        locked(path.with_name(f".{path.stem}.lock")),
        pytest.raises(NervaError, match="another process is working on this search"),
    ):
        carry_out(LR, trials=2)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "is damaged"),
        (lambda text: text.replace('"state": "complete"', '"state": "ended"'), "trials.0.state"),
        (lambda text: text.replace('"number": 0', '"number": 7'), "their numbers should be 0, 1, …"),
    ],
)
def test_a_damaged_record_is_reported(results, damage, words) -> None:
    carry_out(LR, trials=1)
    (path,) = results.glob("searches/*.json")
    path.write_text(damage(path.read_text()))
    with pytest.raises(NervaError, match=words) as info:
        carry_out(LR, trials=2)
    assert f"delete {path}" in str(info.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("data=digits,mnist",), "the same dataset"),
        (("train.metric=validation_loss,validation_accuracy",), "the same objective"),
        (("tracking=off,mlflow",), "the same MLflow store"),
        (("objective=best.speed", LR), "objective should be one of"),
        (("direction=up", LR), "direction should be maximize or minimize"),
        (("optimizer=momentum,nestrov",), 'there is no "nestrov"'),
        (("train.batch_size=interval(10,100)",), r"int\(interval\(…\)\)"),
        (("learning_rate.lr=interval(-1,1)",), "learning_rate"),
    ],
)
def test_a_wrong_request_writes_nothing(results, overrides, words) -> None:
    with pytest.raises(NervaError, match=words):
        carry_out(*overrides)
    assert not results.exists()


@pytest.mark.long
def test_mlflow_has_the_search(results, uri) -> None:
    values = "learning_rate.lr=choice(0.5,0.4,0.3,0.35,0.45,0.0001)"
    fixed = [override for override in FIXED if override != "tracking=off"]
    run_search(Request((*fixed, values), sampler="grid", pruner="median"), lambda line: None)
    record = recorded(results)
    runs = logged_in(client_of(uri))
    assert runs.keys() == {trial.run_id for trial in record.trials} | {"sweep"}
    for trial in record.trials:
        run = runs[trial.run_id]
        assert run.data.tags["nerva.trial"] == str(trial.number)
        assert run.info.status == ("KILLED" if trial.state == "pruned" else "FINISHED")
        assert ("nerva.pruned" in run.data.tags) == (trial.state == "pruned")
        assert run.data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
    sweep = runs["sweep"]
    assert sweep.info.status == "FINISHED"  # a pruned run was not interrupted
    assert "a search by grid: 6 trials: 5 complete, 1 pruned" in sweep.data.tags["mlflow.note.content"]
    # A run that something else completes is not pruned any more.
    pruned = record.trials[5]
    config = configured(*fixed, *pruned.overrides, "tracking=mlflow")
    trained(config)
    run_search(Request((*fixed, values), sampler="grid", pruner="median", seed=2), lambda line: None)
    run = logged_in(client_of(uri))[pruned.run_id]
    assert (run.info.status, "nerva.pruned" in run.data.tags) == ("FINISHED", False)


NERVA = (sys.executable, "-m", "nerva", "search")
LONG = (
    "data=digits",
    "tracking=off",
    "experiment_name=test",
    "model.hidden=[64]",
    "train.batch_size=10",
    "train.epochs=12",
    "learning_rate.lr=tag(log,interval(0.0001,1))",
    "--pruner=median",
    "--trials=12",
)


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_search_that_is_killed_goes_on_with_its_study(tmp_path, run: Command, jobs) -> None:
    def state() -> tuple[int, int]:
        """How many trials are known, and the number of epochs of the newest one."""
        paths = [*tmp_path.glob("results/searches/*.json")]
        if not paths:
            return 0, 0
        trials = json.loads(paths[0].read_text())["trials"]
        metrics = tmp_path / "results" / "runs" / trials[-1]["run_id"] / "metrics.csv"
        return len(trials), len(metrics.read_text().splitlines()) - 2 if metrics.exists() else 0

    killed = []
    for known in (2, 5):  # the first trials are never pruned
        process = started(tmp_path, *NERVA, *LONG, f"--jobs={jobs}")
        until(lambda known=known: state()[0] >= known and state()[1] >= 2, process)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=HANGS)
        trials = recorded(tmp_path / "results").trials
        killed += [trial.run_id for trial in trials if trial.state == "running"]
    assert killed
    result = run(*NERVA, *LONG, f"--jobs={jobs}")
    assert result.returncode == 0, result.stderr
    (tmp_path / "whole").mkdir()
    whole = run(*NERVA, *LONG, f"--jobs={jobs}", f"results_dir={tmp_path}/whole")
    assert whole.returncode == 0, whole.stderr
    record, expected = recorded(tmp_path / "results"), recorded(tmp_path / "whole")
    assert record.trials == expected.trials
    assert record.sweep.id == expected.sweep.id
    # A trial that was killed is taken up again: it is the same trial, and its run was resumed.
    resumed = [RunFolder.of(tmp_path / "results", run_id) for run_id in killed]
    assert any("resuming after epoch" in folder.log.read_text() for folder in resumed)
    pruned = [trial for trial in record.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        folder = RunFolder.of(tmp_path / "results", trial.run_id)
        assert len(trial.metrics) < 12
        assert [row["epoch"] for row in folder.read_metrics()] == [*range(len(trial.metrics) + 1)]
        assert not folder.record.exists()


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_signal_ends_a_search_in_an_orderly_way(tmp_path, run: Command, jobs) -> None:
    process = started(tmp_path, *NERVA, *LONG, f"--jobs={jobs}")
    until(lambda: len([*tmp_path.glob("results/runs/*/metrics.csv")]) > jobs, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGINT, output
    assert "the same command continues this search" in output
    assert "nerva: interrupted by SIGINT" in output
    assert "Traceback" not in output


@pytest.mark.long
def test_mistakes_on_the_command_line(run: Command) -> None:
    search = ("nerva", "search", "data=digits")
    failed_plainly(run(*search, "optimizer=momentum,nesterov", "--trials", "0"), "0 is not in the range", code=2)
    failed_plainly(run(*search, "optimizer=momentum,nesterov", "--sampler", "best"), "'tpe', 'random', 'grid'", code=2)
    failed_plainly(run(*search), "there is nothing to search")
    failed_plainly(run(*search, "learning_rate.lr=interval(0.1,1)", "--sampler=grid"), "use choice(…) or range(…)")
