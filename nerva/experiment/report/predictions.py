"""What a trained network does with the test set, and the pictures of that."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nerva.data import load_prepared
from nerva.data.prepare import Prepared
from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.user_modules import are_those
from nerva.experiment.records.run_folder import RunFolder
from nerva.matrix_operations import Matrix
from nerva.multilayer_perceptron import MultilayerPerceptron, load_multilayer_perceptron
from nerva.utilities import import_here, load_dict_from_npz

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people can tell apart; the yellow, too light for lines, is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
# How many images, or neurons, a picture shows.
SHOWN = 25


@dataclass(frozen=True)
class Analysis:
    """The outputs of a run's best network for the test set, beside what they should be."""

    X: Matrix  # N×D
    T: Matrix  # N labels
    Y: Matrix  # N×K outputs
    names: Sequence[str]  # of the K classes

    @property
    def numbered(self) -> bool:
        """Whether the classes' names take no more room than numbers."""
        return max(map(len, self.names)) <= 2

    @property
    def predicted(self) -> Matrix:
        """The class with the largest output, for each sample."""
        predicted: Matrix = self.Y.argmax(axis=1)
        return predicted

    @property
    def confusion(self) -> Matrix:
        """How many samples of class i (row) were taken for class j (column)."""
        K = self.Y.shape[1]
        counts: Matrix = np.bincount(self.T * K + self.predicted, minlength=K * K).reshape(K, K)
        return counts

    def per_class(self) -> list[dict[str, Any]]:
        """Precision, recall and F1 of each class, and how many samples it has."""
        from sklearn.metrics import precision_recall_fscore_support

        figures = precision_recall_fscore_support(
            self.T, self.predicted, labels=range(self.Y.shape[1]), zero_division=0
        )
        names = ("precision", "recall", "f1", "samples")
        return [
            {"class": name, **dict(zip(names, map(float, row), strict=True))}
            for name, row in zip(self.names, zip(*figures, strict=True), strict=True)
        ]

    def worst(self, count: int = SHOWN) -> Matrix:
        """The samples that are wrong by most: the output of another class is above that of the right one."""
        right = self.Y[np.arange(len(self.T)), self.T]
        margin = np.where(np.isfinite(self.Y), self.Y, -math.inf).max(axis=1) - right
        order: Matrix = np.argsort(-margin, kind="stable")
        worst: Matrix = order[self.predicted[order] != self.T[order]][:count]
        return worst


class Analyst:
    """Analyses runs on the same data, which are read once."""

    def __init__(self, data_dir: str | Path) -> None:
        self.data_dir = Path(data_dir)
        self._arrays: dict[str, dict[str, Matrix]] = {}

    def analyse(self, folder: RunFolder) -> Analysis | None:
        """A run's analysis; None if its data, or modules of one's own that it needs, are not there any more."""
        config = folder.load_config()
        if not Prepared.of(config.data, self.data_dir).provenance.exists() or not (
            are_those(config.imports, folder.read_imports())
        ):
            return None
        if config.data.name not in self._arrays:
            self._arrays[config.data.name], _ = load_prepared(config.data, self.data_dir)
        arrays = self._arrays[config.data.name]
        Y = _outputs(load(folder, config), arrays["Xtest"], config)
        names = config.data.class_names or [str(k) for k in range(config.data.classes)]
        return Analysis(arrays["Xtest"], arrays["Ttest"], Y, names)


def load(folder: RunFolder, config: Config) -> MultilayerPerceptron:
    """The network of a run's best epoch."""
    for name in config.imports:
        import_here(name)
    with _advised(folder):
        return load_multilayer_perceptron(folder.best)


@contextmanager
def _advised(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except NervaError as error:
        raise NervaError(f"{error}; {folder.again}") from None


def _outputs(M: MultilayerPerceptron, X: Matrix, config: Config) -> Matrix:
    size = config.train.evaluation_batch_size
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.concatenate([M.evaluate(X[start : start + size]) for start in range(0, len(X), size)])


def as_images(X: Matrix) -> Matrix | None:
    """Rows as images, N×height×width or N×height×width×3; None if they are none."""
    n, D = X.shape
    side = math.isqrt(D)
    if side * side == D:
        return X.reshape(n, side, side)
    side = math.isqrt(D // 3)
    if 3 * side * side == D:
        return X.reshape(n, 3, side, side).transpose(0, 2, 3, 1)  # planes of red, green and blue
    return None


def figure(
    width: float, height: float, columns: int = 1, layout: Literal["constrained"] | None = "constrained"
) -> tuple["Figure", list["Axes"]]:
    """A figure with axes side by side; without a layout it is drawn in half the time."""
    # Not pyplot, which wants a screen and keeps every figure. A fixed salt makes the ids in SVG files repeatable.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "nerva"
    figure = Figure(figsize=(width, height), layout=layout)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.3)
    return figure, list(axes)


def learning_curves(folder: RunFolder) -> "Figure":
    """A run's losses and accuracies, epoch by epoch."""
    from matplotlib.ticker import MaxNLocator

    rows = folder.read_metrics()
    picture, axes = figure(9, 3.6, 2, None)
    picture.subplots_adjust(left=0.08, right=0.98, bottom=0.14, top=0.96, wspace=0.22)
    for ax, what in zip(axes, ("loss", "accuracy"), strict=True):
        for part, colour in zip(("train", "validation", "test"), COLOURS, strict=False):
            values = [row[f"{part}_{what}"] for row in rows]
            ax.plot([row["epoch"] for row in rows], values, color=colour, marker="o", markersize=3, label=part)
        ax.set(xlabel="epoch", ylabel=what)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend()
    return picture


def confusion(analysis: Analysis) -> "Figure":
    """Which classes are taken for which others: rows are the right classes; the diagonal, which is right, is empty."""
    counts = analysis.confusion
    K = len(counts)
    # Names need room, for which a layout is worked out.
    picture, (ax,) = figure(5.2, 4.8, 1, None if analysis.numbered else "constrained")
    if analysis.numbered:
        picture.subplots_adjust(left=0.1, right=0.98, bottom=0.12, top=0.98)
    ax.grid(visible=False)
    wrong = counts * (1 - np.eye(K, dtype=int))
    ax.imshow(wrong, cmap="Blues", vmin=0, vmax=max(1, wrong.max()))
    for (i, j), count in np.ndenumerate(counts):
        dark = i != j and wrong[i, j] > wrong.max() / 2
        if count:
            ax.text(j, i, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ax.set(xlabel="taken for", ylabel="is")
    ax.set_xticks(range(K), analysis.names, rotation=0 if analysis.numbered else 90)
    ax.set_yticks(range(K), analysis.names)
    return picture


def worst_images(analysis: Analysis) -> "Figure | None":
    """The test images that are wrong by most, with what they are and what they were taken for."""
    worst = analysis.worst()
    images = as_images(analysis.X[worst])
    if images is None or not len(worst):
        return None
    names = analysis.names
    between = " → " if analysis.numbered else "\n→ "
    labels = [f"{names[analysis.T[n]]}{between}{names[analysis.predicted[n]]}" for n in worst]
    return _tiles(images, labels, "gray_r", (0.0, 1.0))


def first_layer(folder: RunFolder) -> "Figure | None":
    """What each of the first neurons looks at: its weights as an image, positive in red and negative in blue."""
    with _advised(folder):
        W = load_dict_from_npz(folder.best).get("W1")
    images = None if W is None else as_images(W[:SHOWN])
    if images is None or not np.isfinite(images).all():
        return None
    if images.ndim == 4:
        images = images.mean(axis=3)
    bound = float(np.abs(images).max()) or 1.0
    return _tiles(images, [f"{n + 1}" for n in range(len(images))], "RdBu_r", (-bound, bound))


def _tiles(images: Matrix, labels: list[str], colours: str, limits: tuple[float, float]) -> "Figure":
    """Images in rows of five, each with a label above it, as one picture."""
    n, height, width = images.shape[:3]
    columns = min(5, n)
    rows = -(-n // columns)
    lines = max(label.count("\n") + 1 for label in labels)
    gap = max(2, round(height * (0.15 + 0.2 * lines)))
    shape = (rows * (height + gap), columns * (width + gap), *images.shape[3:])
    board = np.full(shape, np.nan if images.ndim == 3 else 1.0, np.float32)
    picture, (ax,) = figure(1.1 * columns + 0.2, 1.1 * rows + 0.2, 1, None)
    picture.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.99)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        top, left = index // columns * (height + gap) + gap, index % columns * (width + gap) + gap // 2
        board[top : top + height, left : left + width] = image
        ax.text(left + width / 2, top - height * 0.09, label, ha="center", va="bottom", fontsize=8)
    ax.imshow(board, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest")
    ax.set_axis_off()
    return picture
