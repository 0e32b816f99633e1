"""Optuna's study: proposals, pruning and importance as functions of the record."""

import dataclasses
import warnings

import pytest

from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.search_record import SearchRecord, Trial
from nerva.experiment.search.space import Dimension, Space
from nerva.experiment.search.study import Judge, importance, propose

SPACE = Space(
    [
        Dimension("lr", "lr=tag(log,interval(0.001,1))", interval=(0.001, 1.0), log=True),
        Dimension("size", "size=int(interval(1,100))", interval=(1, 100)),
        Dimension("step", "step=range(0,1,0.25)", (0.0, 0.25, 0.5, 0.75)),
        Dimension("+optimizer", "+optimizer=a,b", ("a", "b")),
    ],
    [],
    "",
)
GRID = Space(SPACE.dimensions[2:], [], "")
RECORD = SearchRecord(
    "digits-test", Sweep("id", "name"), [], "best.validation_accuracy", True, "validation_accuracy", True, "tpe",
    "median", 1, "nerva search",
)  # fmt: skip


def record(**changes) -> SearchRecord:
    return dataclasses.replace(RECORD, trials=[], importance={}, **changes)


def complete(number: int, values: dict, value: float, metrics: tuple[float, ...] = ()) -> Trial:
    return Trial(number, values, f"{number:012}", "complete", value, list(metrics))


def searched(search: SearchRecord, trials: int, space: Space = SPACE) -> SearchRecord:
    """A search whose trials are the better, the nearer the learning rate is to 0.1."""
    for number in range(len(search.trials), trials):
        values = propose(search, space)
        lr = float(values.get("lr", 0.1))
        if number % 5 == 4:
            search.trials.append(Trial(number, values, "r", "pruned", metrics=[0.2, 0.1]))
        elif number % 7 == 6:
            search.trials.append(Trial(number, values, "r", "failed", reason="it diverged"))
        else:
            search.trials.append(complete(number, values, 1 - abs(lr - 0.1), (0.3, 0.5)))
    return search


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_search_that_goes_on_proposes_the_same_trials(sampler, tmp_path) -> None:
    from nerva.experiment.records.search_record import read_search, write_search

    space = GRID if sampler == "grid" else SPACE
    whole = searched(record(sampler=sampler), 8 if sampler == "grid" else 25, space)
    interrupted = record(sampler=sampler)
    for trials in (3, 4, 8) if sampler == "grid" else (7, 12, 25):
        write_search(searched(interrupted, trials, space), tmp_path / "search.json")
        interrupted = read_search(tmp_path / "search.json")
    assert interrupted == whole
    if sampler != "grid":
        other = searched(record(sampler=sampler, seed=2), 25, space)
        assert [t.values for t in other.trials] != [t.values for t in whole.trials]


def test_proposals_belong_to_the_space() -> None:
    for trial in searched(record(sampler="random"), 40).trials:
        assert 0.001 <= trial.values["lr"] <= 1
        assert trial.values["size"] in range(1, 101)
        assert trial.values["step"] in (0.0, 0.25, 0.5, 0.75)
        assert trial.values["+optimizer"] in ("a", "b")
        assert [*trial.values] == ["lr", "size", "step", "+optimizer"]


def test_tpe_finds_better_values_than_chance() -> None:
    space = Space(SPACE.dimensions[:1], [], "")
    late = [abs(t.values["lr"] - 0.1) for t in searched(record(), 60, space).trials[30:]]
    chance = [abs(t.values["lr"] - 0.1) for t in searched(record(sampler="random"), 60, space).trials[30:]]
    assert sorted(late)[len(late) // 2] < sorted(chance)[len(chance) // 2]


def test_trials_of_one_round_differ() -> None:
    search = searched(record(), 20)
    for number in range(20, 24):
        search.trials.append(Trial(number, propose(search, SPACE), "r"))
    assert len({tuple(trial.values.items()) for trial in search.trials[20:]}) == 4


def test_optuna_is_silent(capfd) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search = searched(record(sampler="tpe"), 15)
        Judge(search, SPACE, Trial(15, search.trials[0].values)).prunes(1, 0.1)
        importance(search, SPACE)
    assert capfd.readouterr() == ("", "")


VALUES = {"lr": 0.1, "size": 3, "step": 0.5, "+optimizer": "a"}


def judged(search: SearchRecord, metrics: list[float]) -> list[bool]:
    judge = Judge(search, SPACE, Trial(len(search.trials), VALUES))
    return [judge.prunes(epoch, metric) for epoch, metric in enumerate(metrics, 1)]


def test_the_median_pruner_compares_with_complete_trials() -> None:
    search = record()
    for number in range(4):
        search.trials.append(complete(number, VALUES, 0.9, (0.5 + number / 100, 0.9)))
    assert judged(search, [0.0]) == [False]  # the first five are never pruned
    search.trials.append(complete(4, VALUES, 0.9, (0.54, 0.9)))
    assert judged(search, [0.51]) == [True]
    assert judged(search, [0.53, 0.7]) == [False, True]
    # Trials that are running at the same time do not count.
    search.trials.extend([Trial(5, VALUES, "r"), Trial(6, VALUES, "r", "running", metrics=[0.9])])
    assert judged(search, [0.51]) == [True]


def test_the_metric_of_an_epoch_may_have_another_direction_than_the_objective() -> None:
    search = record(objective="training_seconds", maximize=False)
    search.trials.extend([complete(number, VALUES, 10.0, (0.5,)) for number in range(5)])
    assert judged(search, [0.4]) == [True]
    assert judged(search, [0.6]) == [False]


def test_successive_halving_remembers_its_rungs() -> None:
    search = record(pruner="halving")
    search.trials.append(complete(0, VALUES, 0.9, (0.5, 0.9)))
    for number, metric in enumerate((0.5, 0.6, 0.4, 0.7), 1):
        judge = Judge(search, SPACE, Trial(number, VALUES))
        pruned = judge.prunes(1, metric)
        assert pruned == (metric == 0.4)
        assert judge.rungs == {"completed_rung_0": metric}
        state = "pruned" if pruned else "complete"
        trial = Trial(number, VALUES, "r", state, None if pruned else metric, [metric], judge.rungs)
        search.trials.append(trial)


def test_without_a_pruner_nothing_is_pruned() -> None:
    search = record(pruner="none")
    search.trials.extend([complete(number, VALUES, 0.9, (0.9,)) for number in range(9)])
    assert judged(search, [0.0, 0.0]) == [False, False]


def test_the_importance_is_that_of_what_matters() -> None:
    search = record(sampler="random")
    for number in range(40):
        values = propose(search, SPACE)
        search.trials.append(complete(number, values, float(values["step"])))
    shares, unknown = importance(search, SPACE)
    assert unknown == ""
    assert shares["step"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(search, SPACE)[0] == shares


def test_why_there_is_no_importance() -> None:
    search = record()
    search.trials.extend([complete(0, VALUES, 0.5)])
    assert importance(search, SPACE) == ({}, "There is only one complete trial, and an estimate needs 10.")
    search.trials.extend([complete(number, VALUES, 0.5) for number in range(1, 12)])
    assert "same value" in importance(search, SPACE)[1]
    assert "Only lr was searched" in importance(search, Space(SPACE.dimensions[:1], [], ""))[1]
