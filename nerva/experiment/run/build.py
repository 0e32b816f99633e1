"""The training of a run: the network, the batches and the epochs that a configuration and a dataset determine.

The code of this module is part of a run's identity, as that of the engine is.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from nerva.datasets import DataLoader
from nerva.experiment.config.metrics import ACCURACY, Metric, metric_of, stop_metric_of
from nerva.experiment.config.schema import Config, Stop, specification
from nerva.layers import parse_layer
from nerva.learning_rate import LearningRateScheduler, parse_learning_rate
from nerva.loss_functions import LossFunction, parse_loss_function
from nerva.matrix_operations import Matrix
from nerva.multilayer_perceptron import MultilayerPerceptron, parse_multilayer_perceptron
from nerva.training import EpochRecord, training_epochs


@dataclass
class Training:
    """A network, the components that train it, and the results so far."""

    M: MultilayerPerceptron
    loss: LossFunction
    learning_rate: LearningRateScheduler
    train_loader: DataLoader  # shuffled, in batches for training
    evaluation_loader: DataLoader  # the same samples, in batches for evaluation
    validation_loader: DataLoader
    test_loader: DataLoader
    metric: Metric = ACCURACY  # by which the best epoch is chosen
    stop: Stop = field(default_factory=Stop)  # the rule of early stopping
    stop_metric: Metric = ACCURACY
    evaluate_training: int = 1  # the training set is evaluated every so many epochs
    regression: bool = False
    records: list[EpochRecord] = field(default_factory=list)  # the first is of the network before training
    best: EpochRecord | None = None  # the record of the best epoch
    best_weights: dict[str, Matrix] = field(default_factory=dict)
    # The last epoch that improved the metric of early stopping. `epochs` derives it from the records, once each.
    improved: EpochRecord | None = None

    def epochs(self, epochs: int) -> Iterator[EpochRecord]:
        """Train up to a number of epochs, continuing after the existing records, and yield each new record.

        Training ends before that if it diverges, or if the rule of early stopping says so.
        """
        for record in self.records:
            self._note_improvement(record)
        if self.records and self.has_ended:
            return  # it was interrupted before its result was written
        for record in training_epochs(
            self.M, epochs, self.loss, self.learning_rate,
            self.train_loader, self.test_loader, self.validation_loader, self.evaluation_loader,
            self.records[-1].epoch if self.records else None, evaluate_training=self.evaluate_training,
            regression=self.regression,
        ):  # fmt: skip
            self.records.append(record)
            # Of equally good epochs, the first counts: it took less training.
            if not self.diverged and (not self.best or _is_better(self.metric, record, self.best)):
                self.best = record
                self.best_weights = {name: x.copy() for name, x in self.M.to_dict().items()}
            self._note_improvement(record)
            yield record
            if self.has_ended:
                return

    @property
    def has_ended(self) -> bool:
        """Whether training has diverged or stopped early, so that no epoch follows."""
        return self.diverged or self.stopped_early

    @property
    def diverged(self) -> bool:
        """Whether a loss of the last epoch is not finite. Later losses cannot be finite then."""
        last = self.records[-1]
        return not (math.isfinite(last.train_loss or 0) and math.isfinite(last.validation_loss or 0))

    @property
    def stopped_early(self) -> bool:
        """Whether the metric of early stopping has not improved by more than `min_delta` for `patience` epochs."""
        if not self.stop.patience or self.improved is None:
            return False
        return self.records[-1].epoch - self.improved.epoch >= self.stop.patience

    def _note_improvement(self, record: EpochRecord) -> None:
        if self.improved is None or _is_better(self.stop_metric, record, self.improved, self.stop.min_delta):
            self.improved = record


def _is_better(metric: Metric, record: EpochRecord, other: EpochRecord, margin: float = 0.0) -> bool:
    """Whether an epoch is better than another one by more than a margin."""
    return metric.is_better(getattr(record, metric.name), getattr(other, metric.name), margin)


def build(config: Config, arrays: dict[str, Matrix]) -> Training:
    """Create the network and the batches of a run.

    Args:
        config: the run's configuration.
        arrays: Xtrain, Ttrain, Xtest and Ttest.

    Raises:
        NervaError: if the configuration and the data do not match.
    """
    # Two independent streams, so that one more draw for the weights does not change the order of the samples.
    weights, order = (np.random.default_rng(seed) for seed in np.random.SeedSequence(config.seed).spawn(2))
    layers = config.model.layers
    trained = [layer for layer in layers if parse_layer(layer, 1, 1).parameters]
    M = parse_multilayer_perceptron(
        layers,
        config.sizes,
        [specification(config.optimizer)] * len(trained),
        [config.model.weights] * (len(config.sizes) - 1),
        weights,
    )

    def loader(part: str, samples: slice, batch_size: int, rng: np.random.Generator | None = None) -> DataLoader:
        X, T = arrays[f"X{part}"][samples], arrays[f"T{part}"][samples]
        return DataLoader(X, T, min(batch_size, len(X)), config.data.classes, rng)

    split = len(arrays["Ttrain"]) - config.data.validation
    evaluation = config.train.evaluation_batch_size
    return Training(
        M,
        parse_loss_function(specification(config.loss)),
        parse_learning_rate(specification(config.learning_rate)),
        loader("train", slice(split), config.train.batch_size, order),
        loader("train", slice(split), evaluation),
        loader("train", slice(split, None), evaluation),
        loader("test", slice(None), evaluation),
        metric_of(config),
        config.train.stop,
        stop_metric_of(config),
        config.train.evaluate_training,
        config.data.task == "regression",
    )
