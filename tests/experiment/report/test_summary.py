"""The summary of a comparison."""

import dataclasses
from pathlib import Path

from nerva.experiment.report.importance import Importance, Share
from nerva.experiment.report.loading import DamagedRun
from nerva.experiment.report.ranking import load
from nerva.experiment.report.summary import summary
from tests.experiment.report.examples import NAN, example_comparison

FOLDER = Path("results/digits-test")


def test_a_summary(comparison) -> None:
    lines = summary(dataclasses.replace(comparison, note="no network"), FOLDER, "make ui").split("\n")
    best = comparison.board.iloc[0]
    assert lines == [
        "digits-test: 7 runs of 3 configurations on scikit-learn digits",
        "  data         no network",
        "  best         Constant(lr=0.1)",
        f"  validation   {best['validation_accuracy']:.2%} ± {best['validation_accuracy_std']:.2%} "
        "(standard deviation over 3 seeds)",
        f"  test         {best['test_accuracy']:.2%} ± {best['test_accuracy_std']:.2%} "
        "(standard deviation over 3 seeds)",
        "  failed       Constant(lr=1e+30), seed 1: the loss is nan after epoch 1: training diverged",
        "  results      results/digits-test/: report.html, leaderboard.csv, learning_curves.png",
        "  MLflow UI    make ui",
        "",
    ]


def test_the_summary_of_one_run(sweep) -> None:
    text = summary(load(sweep[:1], "digits-test"), FOLDER)
    assert "digits-test: 1 run of 1 configuration on" in text
    assert "best         sizes 64-64-10, Momentum(mu=0.9), Constant(lr=0.1)" in text
    assert "(one seed)" in text


def test_a_summary_where_all_failed() -> None:
    comparison = example_comparison(a=[NAN], b=[NAN])
    comparison = dataclasses.replace(comparison, runs=comparison.runs.assign(reason="diverged"))
    assert "  best         none: all runs failed\n  failed       a, seed 0: diverged" in summary(comparison, FOLDER)


def test_a_summary_of_many_failed_runs_counts_them() -> None:
    comparison = example_comparison(a=[NAN] * 12)
    comparison = dataclasses.replace(comparison, runs=comparison.runs.assign(reason="diverged"))
    text = summary(comparison, FOLDER)
    assert text.count("a, seed ") == 10
    assert "  failed       and 2 more: see report.html and leaderboard.csv\n" in text


def test_the_summary_has_the_importance() -> None:
    shares = Importance([Share("optimizer", 3, 0.4321, 0.2), Share("learning_rate.lr", 2, 0.2934, 0.1)], 0.2745)
    text = summary(example_comparison(a=[0.9]), FOLDER, importance=shares)
    assert "  importance   optimizer 43%, learning_rate.lr 29%, seeds and interactions 27%\n" in text


def test_damaged_runs_are_in_the_summary() -> None:
    comparison = dataclasses.replace(example_comparison(a=[0.9]), damaged=[DamagedRun("0123456789ab", "it is empty")])
    assert "  left out     0123456789ab: it is empty" in summary(comparison, FOLDER)
