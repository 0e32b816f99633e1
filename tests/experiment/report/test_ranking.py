"""Leaderboards, plots and summaries."""

import math
from pathlib import Path

import pandas as pd
import pytest

from nerva.errors import NervaError
from nerva.experiment.report.ranking import leaderboard, load, short_layers, summary, write
from nerva.experiment.run.train import run
from tests.helpers import configured

RUNS = pd.DataFrame(
    [
        ("a", 1, "finished", 0.90, 0.80),
        ("a", 2, "finished", 0.94, 0.82),
        ("b", 1, "finished", 0.99, 0.99),
        ("b", 2, "failed", 0.10, 0.10),
        ("c", 1, "finished", 0.95, 0.70),
        ("c", 2, "finished", 0.93, 0.72),
        ("d", 1, "failed", 0.10, 0.10),
    ],
    columns=["configuration", "seed", "status", "validation_accuracy", "test_accuracy"],
).assign(training_seconds=1.0, configuration_id=lambda runs: runs["configuration"])


def test_leaderboard() -> None:
    board = leaderboard(RUNS)
    # By validation accuracy, whatever the test accuracy; those with failed runs behind those without.
    assert list(board["configuration"]) == ["c", "a", "b", "d"]
    assert list(board["rank"]) == [1, 2, 3, 4]
    assert list(board["failed"]) == [0, 0, 1, 1]
    best = board.iloc[0]
    assert best["validation_accuracy"] == pytest.approx(0.94)
    assert best["validation_accuracy_std"] == pytest.approx(0.01 * 2**0.5)
    assert board.iloc[2]["validation_accuracy"] == 0.99
    assert math.isnan(board.iloc[2]["validation_accuracy_std"])
    assert math.isnan(board.iloc[3]["validation_accuracy"])


def test_layers_are_named_as_briefly_as_tells_them_apart() -> None:
    relu = ["ReLU", "ReLU", "Linear"]
    assert short_layers([relu, ["LeakyReLU(alpha=0.1)", "Linear"]]) == ["2×ReLU-Linear", "LeakyReLU-Linear"]
    assert short_layers([["LeakyReLU(alpha=0.1)", "Linear"], ["LeakyReLU(alpha=0.2)", "Linear"]]) == [
        "LeakyReLU(alpha=0.1)-Linear",
        "LeakyReLU(alpha=0.2)-Linear",
    ]


def compared(results: Path, *varied: str) -> tuple[str, pd.DataFrame]:
    folders = [run(configured(*overrides.split()), []) for overrides in varied]
    comparison = load(folders, "digits-test")
    written = write(comparison, results / "digits-test")
    assert all(path.stat().st_size > 100 for path in written)
    assert not list((results / "digits-test").glob(".*"))
    return summary(comparison, results / "digits-test"), pd.read_csv(results / "digits-test" / "leaderboard.csv")


def test_comparison(results) -> None:
    text, table = compared(results, "seed=1", "seed=2", "optimizer=nesterov", "learning_rate.lr=1e30")
    assert "digits-test: 4 runs of 3 configurations on scikit-learn digits" in text
    assert "failed       Momentum(mu=0.9), Constant(lr=1e+30), seed 1: the loss is nan after epoch 1" in text
    assert list(table["row"]).count("configuration") == 3
    assert list(table["row"]).count("run") == 4
    first = table[(table["row"] == "configuration") & (table["configuration"] == "Momentum(mu=0.9), Constant(lr=0.01)")]
    runs = table[(table["row"] == "run") & (table["configuration"] == first["configuration"].item())]
    assert first["validation_accuracy"].item() == pytest.approx(runs["validation_accuracy"].mean())
    assert first["test_accuracy_std"].item() == pytest.approx(runs["test_accuracy"].std())
    assert table[table["status"] == "failed"]["rank"].item() == 3


def test_comparison_of_one_run(results) -> None:
    text, table = compared(results, "seed=1")
    assert "(one seed)" in text
    assert "best         sizes 64-64-10, Momentum(mu=0.9), Constant(lr=0.01)" in text
    assert len(table) == 2


def test_comparison_where_all_failed(results) -> None:
    text, _ = compared(results, "learning_rate.lr=1e30", "learning_rate.lr=1e31")
    assert "best         none: all runs failed" in text


def test_comparison_of_more_configurations_than_colours(results) -> None:
    _, table = compared(results, *(f"train.batch_size={n}" for n in range(100, 110)))
    assert list(table[table["row"] == "configuration"]["rank"]) == list(range(1, 11))


def test_comparison_of_nothing() -> None:
    with pytest.raises(NervaError, match="digits-test has no runs to compare"):
        load([], "digits-test")


def test_the_same_runs_give_the_same_files(results) -> None:
    compared(results, "seed=1", "seed=2")
    first = {path.name: path.read_bytes() for path in (results / "digits-test").iterdir()}
    compared(results, "seed=1", "seed=2")
    assert first == {path.name: path.read_bytes() for path in (results / "digits-test").iterdir()}
