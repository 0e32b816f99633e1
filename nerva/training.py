"""Training by stochastic gradient descent.

`training_epochs` is the loop: it yields a record an epoch, and prints nothing. The functions below it print the
records as a table.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nerva.datasets import DataLoader, create_npz_dataloaders, from_one_hot, has_labels, to_one_hot
from nerva.errors import NervaError
from nerva.learning_rate import LearningRateScheduler, parse_learning_rate
from nerva.loss_functions import LossFunction, parse_loss_function
from nerva.matrix_operations import Matrix
from nerva.multilayer_perceptron import MultilayerPerceptron, parse_multilayer_perceptron
from nerva.utilities import StopWatch, pp, set_numpy_options
from nerva.weight_initializers import Rng


class TrainOptions:
    """What the printing functions of this module show."""

    debug = False
    print_statistics = True
    print_digits = 6


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to. Epoch 0 is the network before training. Losses are means over the samples."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float
    test_accuracy: float
    seconds: float  # of wall time for training, without the evaluation


def evaluate(M: MultilayerPerceptron, data_loader: DataLoader, loss: LossFunction) -> tuple[float, float]:
    """The mean loss and the accuracy of a network over a dataset."""
    total_loss = 0.0
    total_correct = 0
    for X, T in _in_order(data_loader):
        Y = _fitting(M.evaluate(X), T)
        total_loss += float(loss(Y, T))
        total_correct += _correct(Y, T)
    return total_loss / len(data_loader.dataset), total_correct / len(data_loader.dataset)


def _in_order(data_loader: DataLoader) -> Iterable[tuple[Matrix, Matrix]]:
    """The batches in the order of the dataset, or as they come from a loader of another kind."""
    return data_loader.in_order() if isinstance(data_loader, DataLoader) else data_loader


def _correct(Y: Matrix, T: Matrix) -> int:
    """For how many samples the largest output is that of the right class."""
    return int((from_one_hot(Y) == from_one_hot(T)).sum())


def _fitting(Y: Matrix, T: Matrix) -> Matrix:
    """Y, if the targets have its shape."""
    if Y.shape != T.shape:
        raise NervaError(f"the network gives outputs of shape {Y.shape}, but the targets have shape {T.shape}")
    return Y


def train_epoch(
    M: MultilayerPerceptron, loss: LossFunction, eta: float, train_loader: DataLoader, epoch: int = 0
) -> None:
    """One pass over the training set: for each batch a step with learning rate eta."""
    for k, (X, T) in enumerate(train_loader):
        N = X.shape[0]
        Y = _fitting(M.feedforward(X), T)
        DY = loss.gradient(Y, T) / N
        if TrainOptions.debug:
            print_batch_debug_info(epoch, k, M, X, Y, DY)
        M.backpropagate(Y, DY)
        M.optimize(eta)


def training_epochs(
    M: MultilayerPerceptron,
    epochs: int,
    loss: LossFunction,
    learning_rate: LearningRateScheduler,
    train_loader: DataLoader,
    test_loader: DataLoader,
    validation_loader: DataLoader | None = None,
    evaluation_loader: DataLoader | None = None,
    done: int | None = None,
) -> Iterator[EpochRecord]:
    """Trains a network, and yields a record before the first epoch and after each.

    Args:
        M: the network; its parameters change.
        epochs: how often to go over the training set.
        loss: what to make small.
        learning_rate: the learning rate of each epoch.
        train_loader: the training set. Gradients are divided by the size of a batch.
        test_loader: the test set.
        validation_loader: the validation set, if there is one.
        evaluation_loader: the training set as it is evaluated, if in other batches than it is trained with.
        done: how many epochs the network has been trained for, if this goes on where that ended; the next record is
            that of the epoch after.
    """

    def record(epoch: int, eta: float, seconds: float) -> EpochRecord:
        train = evaluate(M, evaluation_loader or train_loader, loss)
        validation = evaluate(M, validation_loader, loss) if validation_loader else (None, None)
        test = evaluate(M, test_loader, loss)
        return EpochRecord(epoch, eta, train[0], train[1], validation[0], validation[1], test[0], test[1], seconds)

    if done is None:
        yield record(0, learning_rate(0), 0.0)
    for epoch in range(done or 0, epochs):
        timer = StopWatch()
        eta = learning_rate(epoch)
        train_epoch(M, loss, eta, train_loader, epoch)
        yield record(epoch + 1, eta, timer.seconds())  # read here, before the evaluation starts


def compute_accuracy(M: MultilayerPerceptron, data_loader: DataLoader) -> float:
    """The part of the samples for which the largest output is that of the right class."""
    correct = sum(_correct(_fitting(M.evaluate(X), T), T) for X, T in _in_order(data_loader))
    return correct / len(data_loader.dataset)


def compute_loss(M: MultilayerPerceptron, data_loader: DataLoader, loss: LossFunction) -> float:
    """The mean loss over the samples."""
    total = sum(float(loss(_fitting(M.evaluate(X), T), T)) for X, T in _in_order(data_loader))
    return total / len(data_loader.dataset)


def _columns(validation: bool) -> list[tuple[str, int, str]]:
    """The name, width and format of each column of the table."""
    digits = TrainOptions.print_digits
    real = (digits + 6, f".{digits}f")
    accuracies = ["train_acc", "valid_acc", "test_acc"] if validation else ["train_acc", "test_acc"]
    return [("epoch", 5, "d"), *((name, *real) for name in ("lr", "loss", *accuracies, "time (s)"))]


def _rule(validation: bool) -> str:
    return "-" * (sum(width + 3 for _, width, _ in _columns(validation)) - 3)


def table_head(validation: bool = False) -> list[str]:
    """The first lines of the table."""
    names = " | ".join(f"{name:>{width}}" for name, width, _ in _columns(validation))
    return [_rule(validation), names, _rule(validation)]


def table_row(record: EpochRecord) -> str:
    """A record as a row of the table; with a column for validation if it has those figures."""
    r = record
    validation = () if r.validation_accuracy is None else (r.validation_accuracy,)
    figures = (
        r.epoch,
        r.learning_rate,
        r.train_loss,
        r.train_accuracy,
        *validation,
        r.test_accuracy,
        r.seconds,
    )
    columns = _columns(bool(validation))
    return " | ".join(f"{x:>{width}{form}}" for x, (_, width, form) in zip(figures, columns, strict=True))


def table_foot(total_time: float, validation: bool = False) -> list[str]:
    """The last lines of the table."""
    return [_rule(validation), f"Total training time: {total_time:.{TrainOptions.print_digits}f} s"]


def print_epoch_header() -> None:
    """Prints the head of the table."""
    if TrainOptions.print_statistics:
        print(*table_head(), sep="\n")


def print_epoch_line(
    epoch: int, lr: float, loss: float, train_accuracy: float, test_accuracy: float, elapsed: float
) -> None:
    """Prints a row of the table."""
    record = EpochRecord(epoch, lr, loss, train_accuracy, None, None, math.nan, test_accuracy, elapsed)
    print(table_row(record), flush=True)


def print_epoch_footer(total_time: float) -> None:
    """Prints the foot of the table."""
    if TrainOptions.print_statistics:
        print(*table_foot(total_time), sep="\n")


def print_record(record: EpochRecord) -> None:
    """Prints a record as a row of the table."""
    print(table_row(record) if TrainOptions.print_statistics else f"epoch {record.epoch:3}", flush=True)


def print_batch_debug_info(
    epoch: int, batch_idx: int, M: MultilayerPerceptron, X: Matrix, Y: Matrix, DY: Matrix
) -> None:
    """Prints the weights, inputs, outputs and gradient of a batch."""
    print(f"epoch: {epoch} batch: {batch_idx}")
    M.info()
    pp("X", X)
    pp("Y", Y)
    pp("DY", DY)


def compute_statistics(
    M: MultilayerPerceptron,
    lr: float,
    loss: LossFunction,
    train_loader: DataLoader,
    test_loader: DataLoader,
    epoch: int,
    elapsed_seconds: float = 0.0,
) -> EpochRecord:
    """Evaluates a network on the training and the test set, prints a row of the table, and returns the record."""
    train, test = evaluate(M, train_loader, loss), evaluate(M, test_loader, loss)
    record = EpochRecord(epoch, lr, *train, None, None, *test, elapsed_seconds)
    print_record(record)
    return record


def stochastic_gradient_descent(
    M: MultilayerPerceptron,
    epochs: int,
    loss: LossFunction,
    learning_rate: LearningRateScheduler,
    train_loader: DataLoader,
    test_loader: DataLoader,
) -> list[EpochRecord]:
    """Trains a network and prints a table, a row an epoch.

    Args:
        M: the network; its parameters change.
        epochs: how often to go over the training set.
        loss: what to make small.
        learning_rate: the learning rate of each epoch.
        train_loader: the training set. Gradients are divided by the size of a batch.
        test_loader: the test set.

    Returns:
        The records of which the table is made.
    """
    print_epoch_header()
    records = []
    for record in training_epochs(M, epochs, loss, learning_rate, train_loader, test_loader):
        print_record(record)
        records.append(record)
    print_epoch_footer(sum(record.seconds for record in records))
    return records


def stochastic_gradient_descent_plain(
    M: MultilayerPerceptron,
    Xtrain: Matrix,
    Ttrain: Matrix,
    loss: LossFunction,
    learning_rate: LearningRateScheduler,
    epochs: int,
    batch_size: int,
    shuffle: bool,
    rng: Rng = None,
) -> None:
    """Trains a network on matrices, without evaluation.

    Args:
        M: the network; its parameters change.
        Xtrain: the inputs, N×D.
        Ttrain: the targets: N labels, a column of them, or an N×K matrix of one-hot rows.
        loss: what to make small.
        learning_rate: the learning rate of each epoch.
        epochs: how often to go over the training set.
        batch_size: the number of samples in a batch; the last batch of an epoch may be smaller.
        shuffle: whether the samples come in a new random order each epoch.
        rng: where that order comes from. Without it, the order can't be had again.

    Raises:
        NervaError: if the sizes don't fit, or a label is outside the classes.
    """
    if has_labels(Ttrain):
        Ttrain = to_one_hot(Ttrain, M.layers[-1].output_size())
    order = (rng or np.random.default_rng()) if shuffle else None
    train_loader = DataLoader(Xtrain, Ttrain, batch_size, rng=order)
    for epoch in range(epochs):
        train_epoch(M, loss, learning_rate(epoch), train_loader, epoch)


def train(
    layer_specifications: Sequence[str],
    linear_layer_sizes: Sequence[int],
    linear_layer_optimizers: Sequence[str],
    linear_layer_weight_initializers: Sequence[str],
    batch_size: int,
    epochs: int,
    loss: str,
    learning_rate: str,
    weights_and_bias_file: str,
    dataset_file: str,
    debug: bool,
    rng: Rng = None,
    check: bool = False,
) -> tuple[MultilayerPerceptron, list[EpochRecord]]:
    """Makes a network from specifications, trains it on an `.npz` file, and prints a table.

    Args:
        layer_specifications: one a layer, such as `["ReLU", "Linear"]`.
        linear_layer_sizes: the number of inputs, and then the number of outputs of each layer.
        linear_layer_optimizers: one a layer, such as `["Momentum(0.9)", "GradientDescent"]`.
        linear_layer_weight_initializers: one a layer.
        batch_size: the number of samples in a batch.
        epochs: how often to go over the training set.
        loss: the loss function's specification.
        learning_rate: the schedule's specification.
        weights_and_bias_file: an `.npz` file with the initial weights, or "".
        dataset_file: an `.npz` file with Xtrain, Ttrain, Xtest and Ttest.
        debug: whether to print every batch.
        rng: where the weights and the order of the samples come from. Without it the weights can't be had again,
            and the samples come in the order of the file, as they do in nerva-numpy.
        check: whether the first number that isn't finite is named, and ends the training.

    Returns:
        The network, and the records of which the table is made.

    Raises:
        NervaError: if a specification can't be parsed, or a file can't be read.
    """
    TrainOptions.debug = debug
    set_numpy_options()
    M = parse_multilayer_perceptron(
        layer_specifications,
        linear_layer_sizes,
        linear_layer_optimizers,
        linear_layer_weight_initializers,
        rng,
    )
    M.check = check
    if weights_and_bias_file:
        M.load_weights_and_bias(weights_and_bias_file)
    train_loader, test_loader = create_npz_dataloaders(dataset_file, batch_size, rng)
    records = stochastic_gradient_descent(
        M, epochs, parse_loss_function(loss), parse_learning_rate(learning_rate), train_loader, test_loader
    )
    return M, records
