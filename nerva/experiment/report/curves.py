"""Learning curves of configurations as series of numbers, which both plotting libraries draw."""

import dataclasses
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import pandas as pd

from nerva.experiment.config.metrics import Metric

_MOST_TICKS = 16
# How many configurations have a curve of their own in a plot.
MOST_CURVES = 50
_LARGEST = 1e100  # larger values, and axes with them, overflow


@dataclass(frozen=True)
class Curve:
    """A metric of a configuration, over its runs, at each epoch."""

    rank: int
    configuration: str
    epochs: list[int]
    mean: list[float]
    min: list[float]
    max: list[float]


@dataclass(frozen=True)
class LearningCurves:
    """A metric of all configurations."""

    metric: Metric
    label: str
    log: bool  # whether the axis is logarithmic
    curves: list[Curve]  # the best configuration first

    @property
    def last_epoch(self) -> int:
        """The last epoch of all curves."""
        return max((curve.epochs[-1] for curve in self.curves if curve.epochs), default=0)


def learning_curves(metrics: pd.DataFrame, board: pd.DataFrame, metric: Metric) -> list[LearningCurves]:
    """The learning curves of the training loss, and of the metric by which runs are compared.

    Values that are infinite or too large for a plot are left out.

    Args:
        metrics: one row per run and epoch, with the columns of metrics.csv and `configuration_id`.
        board: one row per configuration, the best first, with the columns rank, configuration and configuration_id.
        metric: the metric by which runs are compared.
    """
    labels = {Metric("train", "loss"): "training loss", metric: metric.label}
    values = metrics[[metric.name for metric in labels]]
    shown = values.where(values.abs() < _LARGEST).groupby([metrics["configuration_id"], metrics["epoch"]])
    series = shown.agg(["mean", "min", "max"])
    result = []
    for metric, label in labels.items():
        bands = series[metric.name].dropna()
        known = set(bands.index.get_level_values("configuration_id"))
        curves = []
        for row in board.to_dict("records"):
            identifier = row["configuration_id"]
            band = bands.loc[identifier] if identifier in known else bands.iloc[:0].droplevel(0)
            epochs = [int(epoch) for epoch in band.index]
            curves.append(
                Curve(row["rank"], row["configuration"], epochs, *(band[x].tolist() for x in ("mean", "min", "max")))
            )
        # Over less than a factor of 2, a linear axis has better ticks.
        log = metric.quantity == "loss" and 0 < 2 * bands["min"].min() < bands["max"].max()
        result.append(LearningCurves(metric, label, bool(log), curves))
    return result


def plotted(learning_curves: LearningCurves) -> LearningCurves:
    """The curves that a plot shows: those of the best configurations, and one that stands for all others.

    The latter has the mean over configurations, and the range over all runs.
    """
    best, others = learning_curves.curves[: MOST_CURVES - 1], learning_curves.curves[MOST_CURVES - 1 :]
    if len(others) < 2:
        return learning_curves
    columns = ("epochs", "mean", "min", "max")
    rows = [row for curve in others for row in zip(curve.epochs, curve.mean, curve.min, curve.max, strict=True)]
    points = pd.DataFrame(rows, columns=[*columns])
    merged = points.groupby("epochs").agg({"mean": "mean", "min": "min", "max": "max"})
    name = f"ranks {others[0].rank} to {others[-1].rank}, as one line"
    epochs = [int(epoch) for epoch in merged.index]
    rest = Curve(others[0].rank, name, epochs, *(merged[column].tolist() for column in columns[1:]))
    return dataclasses.replace(learning_curves, curves=[*best, rest])


def curves_table(learning_curves: list[LearningCurves]) -> pd.DataFrame:
    """The data of the plot: one row per metric, configuration and epoch, for all configurations."""
    columns = ("rank", "configuration", "metric", "epoch", "mean", "min", "max")
    rows = [
        (curve.rank, curve.configuration, curves.metric.name, *point)
        for curves in learning_curves
        for curve in curves.curves
        for point in zip(curve.epochs, curve.mean, curve.min, curve.max, strict=True)
    ]
    return pd.DataFrame(rows, columns=[*columns])


def log_ticks(learning_curves: LearningCurves) -> tuple[list[float], list[str]]:
    """The ticks of a logarithmic axis: round numbers, and the same with all of their digits as texts."""
    values = [y for curve in learning_curves.curves for y in (*curve.min, *curve.max)]
    orders = math.log10(max(values)) - math.log10(min(values))
    digits = (1, 1.5, 2, 3, 4, 5, 6, 8) if orders < 1 else (1, 2, 5) if orders < 4 else (1,)
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    ticks = [tick for power in powers for digit in digits if (tick := float(f"{digit}e{power}")) > 0]
    first = max(0, bisect_right(ticks, min(values)) - 1)
    last = bisect_left(ticks, max(values))
    ticks = ticks[first : last + 1]
    ticks = ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    return ticks, [f"{tick:g}" for tick in ticks]
