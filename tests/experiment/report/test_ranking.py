"""Loading and ranking the runs of a sweep."""

import json
import math

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.metrics import ACCURACY
from nerva.experiment.report.ranking import leaderboard, load
from tests.experiment.report.examples import NAN, edit_json, example_comparison, runs_table, update_checksums
from tests.helpers import configured, trained


def test_configurations_are_ranked_by_validation_accuracy() -> None:
    board = leaderboard(runs_table(a=[0.90, 0.94], b=[0.99, NAN], c=[0.95, 0.93], d=[NAN]), ACCURACY)
    # A failed run counts as 0. Of equal means, the one with less spread is first.
    assert list(board["configuration"]) == ["c", "a", "b", "d"]
    assert list(board["rank"]) == [1, 2, 3, 4]
    assert list(board["seeds"]) == [2, 2, 2, 1]
    assert list(board["failed"]) == [0, 0, 1, 1]
    best = board.iloc[0]
    assert best["validation_accuracy"] == pytest.approx(0.94)
    assert best["validation_accuracy_std"] == pytest.approx(0.01 * 2**0.5)
    # The accuracy that is shown is that of the runs that finished.
    assert board.iloc[2]["validation_accuracy"] == 0.99
    assert math.isnan(board.iloc[2]["validation_accuracy_std"])
    assert math.isnan(board.iloc[3]["validation_accuracy"])


def test_the_test_accuracy_does_not_count() -> None:
    runs = runs_table(a=[0.9], b=[0.8]).assign(test_accuracy=[0.1, 0.99])
    assert list(leaderboard(runs, ACCURACY)["configuration"]) == ["a", "b"]


def test_a_sweep_is_ranked(comparison, sweep) -> None:
    assert comparison.data == "scikit-learn digits"
    assert list(comparison.board["configuration"]) == ["Constant(lr=0.1)", "Constant(lr=0.0001)", "Constant(lr=1e+30)"]
    assert list(comparison.board["seeds"]) == [3, 3, 1]
    assert list(comparison.runs["run_id"]) == [folder.run_id for folder in sweep]
    assert list(comparison.runs["rank"]) == [1, 1, 1, 2, 2, 2, 3]
    failed = comparison.runs.iloc[6]
    assert failed["status"] == "failed"
    assert failed["reason"] == "the loss is nan after epoch 1: training diverged"
    assert not comparison.damaged
    comparison.require_whole()


def test_the_champion_is_the_best_single_run(comparison) -> None:
    assert comparison.champion is not None
    assert comparison.runs["validation_accuracy"].max() == comparison.runs["validation_accuracy"][comparison.champion]
    # Also if its configuration is not the best.
    assert example_comparison(a=[0.9, 0.9], b=[0.95, 0.1]).champion == 2
    assert example_comparison(a=[NAN], b=[NAN]).champion is None


def test_a_damaged_run_is_left_out_and_the_rest_is_compared(copied_sweep) -> None:
    victim = copied_sweep[1]
    victim.metrics.write_text("epoch\n")
    found = load(copied_sweep, "digits-test")
    assert [run.run_id for run in found.damaged] == [victim.run_id]
    assert len(found.runs) == len(found.loaded) == 6
    assert found.board.iloc[0]["seeds"] == 2
    with pytest.raises(
        NervaError, match=rf"1 of 7 runs of digits-test left out:\n  {victim.run_id}: .*metrics.csv is damag"
    ):
        found.require_whole()


def test_if_all_runs_are_damaged_there_is_nothing_to_compare(copied_run) -> None:
    copied_run.provenance.write_text("{}")
    with pytest.raises(NervaError, match=rf"none can be used:\n  {copied_run.run_id}: .*provenance.json is damaged"):
        load([copied_run], "digits-test")
    with pytest.raises(NervaError, match="digits-test has no runs to compare"):
        load([], "digits-test")


def test_runs_of_the_previous_version_are_compared(copied_sweep) -> None:
    """Its records do not have the scheme by which functions were hashed."""
    for folder in copied_sweep:
        edit_json(folder.provenance, lambda provenance: provenance["code"].pop("scheme"))
        update_checksums(folder)
    found = load(copied_sweep, "digits-test")
    assert not found.damaged
    assert {run.provenance.code.scheme for run in found.loaded} == {1}


def test_runs_that_only_share_an_id_have_one_configuration(copied_sweep) -> None:
    """A forged id must not break the ranking."""
    ids = {json.loads(folder.provenance.read_text())["configuration_id"] for folder in copied_sweep}
    for folder in copied_sweep:
        edit_json(folder.provenance, lambda provenance: provenance.update(configuration_id=min(ids)))
        update_checksums(folder)
    assert len(load(copied_sweep, "digits-test").board) == 1


def test_runs_of_a_single_seed(results) -> None:
    found = load([trained(configured(f"learning_rate.lr={lr}")) for lr in (0.1, 0.2)], "digits-test")
    assert list(found.board["seeds"]) == [1, 1]
    assert found.board["validation_accuracy_std"].isna().all()
