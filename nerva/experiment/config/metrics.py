"""The metrics by which epochs and runs are compared."""

import math
from dataclasses import dataclass

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config

# What a run measures in addition to the loss, by the task of its dataset.
SCORES = {"classification": "accuracy", "regression": "r2"}
PARTS = ("train", "validation", "test")
# The loss function that `loss: auto` means.
LOSSES = {"classification": "SoftmaxCrossEntropy", "regression": "SquaredError"}
# The quantities, as people read them.
LABELS = {"accuracy": "accuracy", "r2": "R²", "loss": "loss"}


@dataclass(frozen=True)
class Metric:
    """A metric that a run measures in every epoch: a part of the data, and a quantity."""

    part: str  # train, validation or test
    quantity: str  # accuracy, r2 or loss

    @property
    def name(self) -> str:
        """The column of metrics.csv, such as `validation_accuracy`."""
        return f"{self.part}_{self.quantity}"

    @property
    def test(self) -> str:
        """The column with the same quantity of the test set."""
        return f"test_{self.quantity}"

    @property
    def quantity_label(self) -> str:
        """The quantity for people, such as `R²`."""
        return LABELS[self.quantity]

    @property
    def label(self) -> str:
        """The name for people, such as `validation accuracy`."""
        return f"{self.part} {self.quantity_label}"

    @property
    def maximize(self) -> bool:
        """Whether more is better."""
        return self.quantity != "loss"

    @property
    def is_fraction(self) -> bool:
        """Whether the metric is a fraction of the samples, which people read in percent."""
        return self.quantity == "accuracy"

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest possible value."""
        return {"accuracy": (0.0, 1.0), "r2": (-math.inf, 1.0), "loss": (-math.inf, math.inf)}[self.quantity]

    def is_better(self, value: float, other: float, margin: float = 0.0) -> bool:
        """Whether a value is better than another one by more than a margin."""
        return value > other + margin if self.maximize else value < other - margin

    def text(self, value: float) -> str:
        """A value for people: an accuracy in percent, and others as numbers."""
        return percent(value) if self.is_fraction else number(value)


def percent(fraction: float) -> str:
    """A fraction for people; – for nan."""
    return "–" if math.isnan(fraction) else f"{fraction:.2%}"


def number(value: float) -> str:
    """A number for people: with four decimals, unless it is very large or very small; – for nan."""
    return "–" if math.isnan(value) else f"{value:.4f}" if 0.001 <= abs(value) < 1000 or not value else f"{value:.4g}"


ACCURACY = Metric("validation", "accuracy")


def metric_of(config: Config) -> Metric:
    """The metric by which the epochs of a run, and the runs of an experiment, are compared: `train.metric`.

    The default is the validation accuracy of a classification, and the R² of a regression on the validation set.

    Raises:
        NervaError: if `train.metric` is not a metric of the validation set that the task has.
    """
    return _parse("train.metric", config.train.metric, config)


def stop_metric_of(config: Config) -> Metric:
    """The metric that decides when a run stops early: `train.stop.metric`.

    Raises:
        NervaError: if it is not a metric of the validation set that the task has.
    """
    return _parse("train.stop.metric", config.train.stop.metric or config.train.metric, config)


def _parse(key: str, name: str, config: Config) -> Metric:
    task = config.data.task
    if task not in SCORES:
        raise NervaError(f'data.task should be {" or ".join(SCORES)}, not "{task[:80]}"')
    # A choice by the test set would make its metrics worthless, and the training set may not be evaluated.
    known = [f"validation_{SCORES[task]}", "validation_loss"]
    if (name := name or known[0]) not in known:
        raise NervaError(f'{key} should be {" or ".join(known)} for {config.data.name}, a {task}, not "{name[:80]}"')
    part, _, quantity = name.partition("_")
    return Metric(part, quantity)
