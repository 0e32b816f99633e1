"""Plots by matplotlib: of a comparison, of a run, and of the predictions of a network."""

import io
import math
import textwrap
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from nerva.errors import NervaError
from nerva.experiment.config.metrics import LABELS, SCORES
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.colours import COLOURS, HIGHLIGHTED, colour_of
from nerva.experiment.report.curves import MOST_CURVES, log_ticks, plotted
from nerva.experiment.report.predictions import Analysis, RegressionAnalysis
from nerva.experiment.report.ranking import Comparison
from nerva.matrix_operations import Matrix
from nerva.utilities import load_dict_from_npz

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

# How many images, or neurons, a plot shows.
SHOWN = 25
# How many configurations the plot of the leaderboard shows.
RANKED = 40
_SMALLEST_IMAGE = 64  # features
_LABEL = 45  # characters per line of a configuration's label


def save(
    figure: Figure, target: "PathLike[str] | io.BytesIO", suffix: Literal["png", "svg", "pdf"], dpi: int = 150
) -> None:
    """Write a figure. The same figure always gives the same bytes."""
    # Ids in an SVG file are random without a salt. The metadata of SVG and PDF files have the date.
    dates: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "nerva"}):
        figure.savefig(target, format=suffix, dpi=dpi, metadata=dates.get(suffix))


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file, for an HTML page."""
    buffer = io.BytesIO()
    save(figure, buffer, "png", dpi=110)
    return buffer.getvalue()


def comparison_curves(comparison: Comparison) -> Figure:
    """The learning curves of each configuration: the mean over seeds, with the range as a band.

    If there are more than a plot can show, one curve stands for those of the lower ranks.
    """
    figure, axes = _figure(11, 4.8, 2)
    figure.suptitle(_plain(f"{comparison.title}: learning curves on {comparison.data}"))
    for ax, learning_curves in zip(axes, map(plotted, comparison.curves), strict=True):
        # The best are drawn last, on top of the others.
        for curve in reversed(learning_curves.curves):
            colour, top = colour_of(curve.rank), curve.rank <= HIGHLIGHTED
            label = textwrap.fill(_plain(f"{curve.rank}. {curve.configuration}"), 60) if top else None
            ax.plot(curve.epochs, curve.mean, color=colour, label=label, marker="o", markersize=3)
            ax.fill_between(curve.epochs, curve.min, curve.max, color=colour, alpha=0.15, linewidth=0)
        ax.set(xlabel="epoch", ylabel=learning_curves.label, yscale="log" if learning_curves.log else "linear")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if learning_curves.log:
            limits = ax.get_ylim()
            ax.set_yticks(*log_ticks(learning_curves))
            ax.set_yticks([], minor=True)
            ax.set_ylim(limits)
        elif learning_curves.metric.is_fraction:
            ax.yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = axes[-1].get_legend_handles_labels()
    if len(comparison.board) > HIGHLIGHTED:
        merged = f", from rank {MOST_CURVES} on as one line" if len(comparison.board) > MOST_CURVES else ""
        labels[0] += f" (ranks {HIGHLIGHTED + 1} to {len(comparison.board)} in grey{merged})"
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2, fontsize="small")
    return figure


def ranking(comparison: Comparison) -> Figure:
    """The mean metrics of the best configurations, the best at the top. Small marks are single runs."""
    board, metric = comparison.board.head(RANKED), comparison.metric
    labels = [
        textwrap.fill(_plain(row["configuration"]), _LABEL)
        + (f"\n({row['failed']} of {row['seeds']} failed)" if row["failed"] else "")
        for row in board.to_dict("records")
    ]
    lines = 1 + max(label.count("\n") for label in labels)
    figure, (ax,) = _figure(9, 1.6 + len(board) * max(0.42, 0.2 * lines))
    title = f"{comparison.title}: {metric.quantity_label} on {comparison.data} at the best epoch by {metric.label}"
    if len(board) < len(comparison.board):
        title += f"\nThe best {len(board)} of {len(comparison.board):,} configurations; leaderboard.csv has all"
    figure.suptitle(_plain(title))
    finished = comparison.finished[comparison.finished["rank"] <= len(board)]
    for offset, column, colour, marker in ((-0.12, metric.name, COLOURS[0], "o"), (0.12, metric.test, COLOURS[1], "D")):
        label = f"{column.partition('_')[0]}, mean"
        ax.scatter(finished[column], finished["rank"] + offset, color=colour, marker=marker, s=12, alpha=0.5)
        ax.scatter(board[column], board["rank"] + offset, color=colour, marker=marker, s=55, label=label)
    if finished.empty:
        ax.text(0.5, 0.5, "all runs failed", transform=ax.transAxes, ha="center")
        ax.set_xlim(0, 1)
    ax.set_yticks(board["rank"], labels)
    ax.set_ylim(len(board) + 0.5, 0.5)
    if metric.is_fraction:
        ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel(metric.quantity_label)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    return figure


def learning_curves(folder: RunFolder) -> Figure:
    """The losses of a run at each epoch, and its accuracies or R².

    Raises:
        NervaError: if its metrics are missing or damaged.
    """
    rows = folder.read_metrics()
    figure, axes = _figure(9, 3.6, 2, None)
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.14, top=0.96, wspace=0.22)
    score = next(score for score in SCORES.values() if f"test_{score}" in rows[0])
    for ax, quantity in zip(axes, ("loss", score), strict=True):
        for part, colour in zip(("train", "validation", "test"), COLOURS, strict=False):
            values = [row[f"{part}_{quantity}"] for row in rows]
            ax.plot([row["epoch"] for row in rows], values, color=colour, marker="o", markersize=3, label=part)
        ax.set(xlabel="epoch", ylabel=LABELS[quantity])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend()
    return figure


def confusion(analysis: Analysis) -> Figure:
    """The confusion matrix. The diagonal is not coloured, because its large numbers would hide the errors."""
    counts = analysis.confusion
    K = len(counts)
    short = _has_short_names(analysis)
    # A layout that makes room for long names takes longer.
    figure, (ax,) = _figure(5.2, 4.8, 1, None if short else "constrained")
    if short:
        figure.subplots_adjust(left=0.1, right=0.98, bottom=0.12, top=0.98)
    ax.grid(visible=False)
    wrong = counts * (1 - np.eye(K, dtype=int))
    ax.imshow(wrong, cmap="Blues", vmin=0, vmax=max(1, wrong.max()))
    for (i, j), count in np.ndenumerate(counts):
        dark = i != j and wrong[i, j] > wrong.max() / 2
        if count:
            ax.text(j, i, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ax.set(xlabel="predicted class", ylabel="correct class")
    names = [*map(_plain, analysis.names)]
    ax.set_xticks(range(K), names, rotation=0 if short else 90)
    ax.set_yticks(range(K), names)
    return figure


def predictions(analysis: RegressionAnalysis) -> Figure:
    """The predicted value by the correct value of each sample, with the line of exact predictions."""
    figure, (ax,) = _figure(5.2, 4.8, 1, None)
    figure.subplots_adjust(left=0.14, right=0.97, bottom=0.12, top=0.97)
    for k in range(analysis.T.shape[1]):
        colour = COLOURS[k % len(COLOURS)]
        ax.scatter(analysis.T[:, k], analysis.Y[:, k], color=colour, s=12, alpha=0.5, label=f"target {k + 1}")
    ends = [float(analysis.T.min()), float(analysis.T.max())]
    ax.plot(ends, ends, color="gray", linestyle="dashed", label="exact")
    ax.set(xlabel="correct", ylabel="predicted")
    if analysis.T.shape[1] > 1:
        ax.legend()
    return figure


def worst_images(analysis: Analysis) -> Figure | None:
    """The test images that were predicted wrongly by the largest margin; None if there are none."""
    worst, names = analysis.worst(SHOWN), analysis.names
    between = " → " if _has_short_names(analysis) else "\n→ "
    labels = [f"{names[analysis.T[n]]}{between}{names[analysis.predicted[n]]}" for n in worst]
    return samples(analysis.X[worst], labels)


def samples(X: Matrix, labels: list[str]) -> Figure | None:
    """Inputs as images, with their labels; None if they are no images.

    Args:
        X: the inputs, one row per sample.
        labels: the label of each sample; it may have several lines.
    """
    images = as_images(X)
    if images is None or not len(X):
        return None
    # Pixels are in [0, 1], unless a step of preparation has changed that.
    low, high = min(0.0, float(X.min())), max(1.0, float(X.max()))
    if images.ndim == 4:
        images = (images - low) / (high - low)
    return _tiles(images, [*map(_plain, labels)], "gray_r", (low, high))


def first_layer(folder: RunFolder) -> Figure | None:
    """The weights of the first neurons as images, positive in red and negative in blue; None if they are no images.

    Raises:
        NervaError: if the weights are missing or damaged.
    """
    try:
        W = load_dict_from_npz(folder.best).get("W1")
    except NervaError as error:
        raise NervaError(f"{error}; {folder.repair_hint}") from None
    images = as_images(W[:SHOWN]) if W is not None and W.ndim == 2 and W.dtype.kind == "f" else None
    if images is None or not np.isfinite(images).all():
        return None
    if images.ndim == 4:
        images = images.mean(axis=3)
    bound = float(np.abs(images).max()) or 1.0
    return _tiles(images, [f"{n + 1}" for n in range(len(images))], "RdBu_r", (-bound, bound))


def as_images(X: Matrix) -> Matrix | None:
    """Rows as square images, N×side×side or N×side×side×3; None if they are not.

    Rows with fewer than 64 features are taken for those of a table.
    """
    n, D = X.shape
    if D < _SMALLEST_IMAGE:
        return None
    side = math.isqrt(D)
    if side * side == D:
        return X.reshape(n, side, side)
    side = math.isqrt(D // 3)
    if 3 * side * side == D:
        return X.reshape(n, 3, side, side).transpose(0, 2, 3, 1)  # planes of red, green and blue
    return None


def _plain(text: str) -> str:
    """A text that matplotlib shows as it is: text between dollar signs would be mathematics."""
    return text.replace("$", r"\$")


def _has_short_names(analysis: Analysis) -> bool:
    return max(map(len, analysis.names)) <= 2


def _figure(
    width: float, height: float, columns: int = 1, layout: Literal["constrained"] | None = "constrained"
) -> "tuple[Figure, list[Axes]]":
    """A figure with axes side by side. Without a layout it is drawn in half the time."""
    # Not with pyplot, which needs a screen and keeps every figure.
    figure = Figure(figsize=(width, height), layout=layout)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
    return figure, list(axes)


def _tiles(images: Matrix, labels: list[str], colours: str, limits: tuple[float, float]) -> Figure:
    """Images in rows of five, each with a label above it. Drawn as one image, which is faster than many axes."""
    n, height, width = images.shape[:3]
    columns = min(5, n)
    rows = -(-n // columns)
    lines = max(label.count("\n") + 1 for label in labels)
    gap = max(2, round(height * (0.15 + 0.2 * lines)))
    shape = (rows * (height + gap), columns * (width + gap), *images.shape[3:])
    board = np.full(shape, np.nan if images.ndim == 3 else 1.0, np.float32)
    figure, (ax,) = _figure(1.1 * columns + 0.2, 1.1 * rows + 0.2, 1, None)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.99)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = index // columns * (height + gap) + gap, index % columns * (width + gap) + gap // 2
        board[top : top + height, left : left + width] = image
        ax.text(left + width / 2, top - height * 0.09, label, ha="center", va="bottom", fontsize=8)
    ax.imshow(board, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    ax.set_axis_off()
    return figure
