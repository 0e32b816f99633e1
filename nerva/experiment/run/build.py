"""The training of a run: the network, the batches and the epochs that a configuration and a dataset determine.

The code of this module is part of a run's identity, as that of the engine is.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from nerva.datasets import DataLoader
from nerva.experiment.config.schema import Config, specification
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
    evaluate_training: int = 1  # the training set is evaluated every so many epochs
    records: list[EpochRecord] = field(default_factory=list)  # the first is of the network before training
    best: EpochRecord | None = None  # the record of the best epoch by validation accuracy
    best_weights: dict[str, Matrix] = field(default_factory=dict)

    def epochs(self, epochs: int) -> Iterator[EpochRecord]:
        """Train up to a number of epochs, continuing after the existing records, and yield each new record."""
        if self.records and self.diverged:
            return  # the run diverged, and was interrupted before it ended
        for record in training_epochs(
            self.M, epochs, self.loss, self.learning_rate,
            self.train_loader, self.test_loader, self.validation_loader, self.evaluation_loader,
            self.records[-1].epoch if self.records else None, evaluate_training=self.evaluate_training,
        ):  # fmt: skip
            self.records.append(record)
            # Of equally accurate epochs, the first counts: it took less training.
            better = not self.best or (record.validation_accuracy or 0) > (self.best.validation_accuracy or 0)
            if better and not self.diverged:
                self.best = record
                self.best_weights = {name: x.copy() for name, x in self.M.to_dict().items()}
            yield record
            if self.diverged:
                return

    @property
    def diverged(self) -> bool:
        """Whether a loss of the last epoch is not finite. Later losses cannot be finite then."""
        last = self.records[-1]
        return not (math.isfinite(last.train_loss or 0) and math.isfinite(last.validation_loss or 0))


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
        config.train.evaluate_training,
    )
