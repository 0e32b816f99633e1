"""Plots by matplotlib."""

import dataclasses
import io
import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from nerva.experiment.config.metrics import ACCURACY
from nerva.experiment.report import plots
from nerva.experiment.report.curves import learning_curves
from nerva.experiment.report.predictions import Analysis, Analyst
from tests.experiment.report.examples import NAN, example_comparison


def svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    plots.save(figure, buffer, "svg")
    return buffer.getvalue()


def texts(figure: Figure) -> list[str]:
    """The texts of the axes of a figure."""
    figure.draw_without_rendering()
    return [text.get_text() for ax in figure.axes for text in (*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts)]


def with_losses(*losses: float) -> Figure:
    """The learning curves of a run with these losses."""
    comparison = example_comparison(a=[0.9])
    metrics = pd.DataFrame(
        {"configuration_id": "a", "epoch": range(len(losses)), "train_loss": losses, "validation_accuracy": 0.5}
    )
    return plots.comparison_curves(
        dataclasses.replace(comparison, curves=learning_curves(metrics, comparison.board, ACCURACY))
    )


def test_learning_curves_are_drawn_from_the_series(comparison) -> None:
    figure = plots.comparison_curves(comparison)
    for ax, curves in zip(figure.axes, comparison.curves, strict=True):
        assert ax.get_ylabel() == curves.label
        # The best is drawn last.
        for line, curve in zip(reversed(ax.lines), curves.curves, strict=True):
            assert list(line.get_xdata()) == curve.epochs
            assert list(line.get_ydata()) == curve.mean


@pytest.mark.parametrize(
    "losses",
    [
        (2.0, 1.0),
        (1.0, 1.0),
        (5e-324, 1e99),
        (1e-99, 1e300),
        (1e308, 1e308),
        (1.0, 0.0),
        (-1.0, 1.0),
        (math.nan, math.inf),
    ],
)
def test_losses_of_any_size(losses) -> None:
    assert svg(with_losses(*losses)).endswith(b"</svg>\n")


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    assert {"0.4", "0.5", "0.6", "0.8", "1", "1.5", "2"} <= set(texts(with_losses(2.0, 0.4)))


def test_the_ranking() -> None:
    figure = plots.ranking(example_comparison(a=[0.9, 0.8], b=[0.7, NAN]))
    assert "b\n(1 of 2 failed)" in texts(figure)
    points = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    # Two configurations have means, and three runs have small marks; each in validation and test.
    assert np.isfinite(points.astype(float)).all(axis=1).sum() == 2 * (2 + 3)


def test_a_ranking_of_many_shows_the_best_and_says_so() -> None:
    accuracies = {f"c{i:02}": [0.9 - i / 100] for i in range(plots.RANKED + 2)}
    figure = plots.ranking(example_comparison(**accuracies))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [*accuracies][: plots.RANKED]
    assert "The best 40 of 42 configurations; leaderboard.csv has all" in figure.get_suptitle()
    assert figure.get_figheight() < 25


def test_a_ranking_where_all_failed() -> None:
    assert "all runs failed" in texts(plots.ranking(example_comparison(a=[NAN], b=[NAN])))


def test_more_configurations_than_colours() -> None:
    names = [f"configuration {i}" for i in range(10)]
    comparison = example_comparison(**{name: [0.9 - i / 100] for i, name in enumerate(names)})
    metrics = pd.DataFrame(
        [{"configuration_id": name, "epoch": 0, "train_loss": 1.0, "validation_accuracy": 0.5} for name in names]
    )
    figure = plots.comparison_curves(
        dataclasses.replace(comparison, curves=learning_curves(metrics, comparison.board, ACCURACY))
    )
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == "1. configuration 0"
    assert labels[-1] == "7. configuration 6 (ranks 8 to 10 in grey)"
    assert len(figure.axes[0].lines) == 10


def test_the_same_figure_gives_the_same_file_and_settings_stay() -> None:
    before = dict(mpl.rcParams)
    assert svg(with_losses(2.0, 1.0)) == svg(with_losses(2.0, 1.0))
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("text", ["$", "$x$", r"$\frac$", "a $ b $ c"])
def test_dollar_signs_are_no_mathematics(text) -> None:
    comparison = dataclasses.replace(example_comparison(**{text: [0.9]}), data=text)
    assert svg(plots.ranking(comparison)).endswith(b"</svg>\n")
    analysis = Analysis(np.zeros((2, 64)), np.array([0, 1]), np.array([[0, 1], [0, 1]]), [text, "b"])
    assert svg(plots.confusion(analysis)).endswith(b"</svg>\n")
    images = plots.worst_images(analysis)
    assert images is not None
    assert svg(images).endswith(b"</svg>\n")


def test_the_plots_of_a_run(sweep, sweep_results) -> None:
    analysis = Analyst(sweep_results / "data").analyse(sweep[0])
    assert analysis is not None
    figures = [
        plots.learning_curves(sweep[0]),
        plots.confusion(analysis),
        plots.worst_images(analysis),
        plots.first_layer(sweep[0]),
    ]
    for figure in figures:
        assert figure is not None
        assert plots.png(figure).startswith(b"\x89PNG")


def test_the_confusion_matrix_has_its_counts(sweep, sweep_results) -> None:
    analysis = Analyst(sweep_results / "data").analyse(sweep[0])
    assert analysis is not None
    figure = plots.confusion(analysis)
    assert figure.axes[0].get_xlabel() == "predicted class"
    counts = {(round(t.get_position()[1]), round(t.get_position()[0])): int(t.get_text()) for t in figure.axes[0].texts}
    assert counts == {place: count for place, count in np.ndenumerate(analysis.confusion) if count}


def test_images() -> None:
    X = np.arange(150).reshape(2, 75)
    images = plots.as_images(X)
    assert images is not None
    assert images.shape == (2, 5, 5, 3)
    assert list(images[0, 0, 0]) == [0, 25, 50]  # planes of red, green and blue
    assert plots.as_images(np.zeros((2, 64))).shape == (2, 8, 8)
    assert plots.as_images(np.zeros((2, 65))) is None
    assert plots.as_images(np.zeros((2, 49))) is None, "a row of a table"


def test_a_network_without_errors_has_no_worst_images() -> None:
    assert plots.worst_images(Analysis(np.zeros((2, 4)), np.array([0, 1]), np.eye(2), ["a", "b"])) is None
