"""Learning curves as series of numbers."""

import math

import pandas as pd
import pytest

from nerva.experiment.config.metrics import ACCURACY
from nerva.experiment.report.curves import LearningCurves, learning_curves, log_ticks, plotted
from tests.experiment.report.examples import example_comparison


def curves_of(**losses: list[list[float]]) -> LearningCurves:
    """The curves of the training loss of configurations, each of which has runs with a loss per epoch."""
    metrics = pd.DataFrame(
        [
            {"configuration_id": name, "epoch": float(epoch), "train_loss": loss, "validation_accuracy": 0.5}
            for name, runs in losses.items()
            for run in runs
            for epoch, loss in enumerate(run)
        ]
    )
    board = example_comparison(**{name: [0.9 - i / 10] for i, name in enumerate(losses)}).board
    curves, _ = learning_curves(metrics, board, ACCURACY)
    return curves


def test_curves_have_the_mean_and_the_range_over_runs() -> None:
    curves = curves_of(a=[[2.0, 1.0], [4.0, 0.5]], b=[[3.0, 2.0, 1.0]])
    assert (curves.metric.name, curves.label, curves.last_epoch) == ("train_loss", "training loss", 2)
    first, second = curves.curves
    assert (first.rank, first.configuration, first.epochs) == (1, "a", [0, 1])
    assert (first.mean, first.min, first.max) == ([3.0, 0.75], [2.0, 0.5], [4.0, 1.0])
    assert (second.epochs, second.mean) == ([0, 1, 2], [3.0, 2.0, 1.0])


def test_of_many_curves_the_last_stands_for_the_others(monkeypatch) -> None:
    curves = curves_of(a=[[2.0, 1.0]], b=[[3.0, 2.0]], c=[[5.0, 1.0], [7.0, 3.0]])
    assert plotted(curves) == curves
    monkeypatch.setattr("nerva.experiment.report.curves.MOST_CURVES", 2)
    best, others = plotted(curves).curves
    assert best == curves.curves[0]
    assert (others.rank, others.configuration, others.epochs) == (2, "ranks 2 to 3, as one line", [0, 1])
    assert (others.mean, others.min, others.max) == ([4.5, 2.0], [3.0, 1.0], [7.0, 3.0])


def test_a_run_that_diverged_is_in_the_curve_as_long_as_it_is_finite() -> None:
    curves = curves_of(a=[[2.0, 1.0], [4.0, math.nan]], b=[[math.inf]])
    assert curves.curves[0].mean == [3.0, 1.0]
    assert curves.curves[1].epochs == []


def test_the_curves_of_a_sweep_are_those_of_its_metrics(comparison) -> None:
    losses, accuracies = comparison.curves
    assert (losses.label, accuracies.label) == ("training loss", "validation accuracy")
    rows = [run.metrics[2] for run in comparison.loaded[:3]]
    for curves, metric in ((losses, "train_loss"), (accuracies, "validation_accuracy")):
        best = curves.curves[0]
        values = [row[metric] for row in rows]
        assert best.mean[2] == pytest.approx(sum(values) / 3)
        assert (best.min[2], best.max[2]) == (min(values), max(values))


@pytest.mark.parametrize(
    ("losses", "log"),
    [([4.0, 1.0], True), ([1.5, 1.0], False), ([1.0, 0.0], False), ([1.0, -1.0], False), ([math.nan], False)],
)
def test_positive_losses_that_vary_have_a_logarithmic_axis(losses, log) -> None:
    assert curves_of(a=[losses]).log == log


def test_accuracies_have_a_linear_axis(comparison) -> None:
    assert [curves.log for curves in comparison.curves] == [True, False]


@pytest.mark.parametrize("largest", [5.0, 1e3, 1e9, 1e30, 1e99])
def test_ticks_of_a_logarithmic_axis(largest) -> None:
    ticks, labels = log_ticks(curves_of(a=[[2.0, largest]]))
    assert 2 < len(ticks) <= 16
    assert ticks[0] <= 2.0
    assert list(map(float, labels)) == pytest.approx(ticks)
