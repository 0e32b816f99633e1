"""Training by stochastic gradient descent.

`training_epochs` is the training loop. It yields one record per epoch and prints nothing.
`stochastic_gradient_descent` runs it and prints a table; see `nerva.training_table`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from nerva.compiled_training import CompiledTraining
from nerva.datasets import DataLoader, create_npz_dataloaders, from_one_hot, has_labels, to_one_hot
from nerva.errors import NervaError
from nerva.learning_rate import LearningRateScheduler, check_schedule, parse_learning_rate
from nerva.loss_functions import LossFunction, parse_loss_function
from nerva.matrix_operations import Matrix, compile_epoch, to_numpy, wait
from nerva.multilayer_perceptron import MultilayerPerceptron, parse_multilayer_perceptron
from nerva.training_table import (
    TrainOptions,
    print_batch_debug_info,
    print_epoch_footer,
    print_epoch_header,
    print_record,
)
from nerva.training_table import print_epoch_line as print_epoch_line  # nerva-numpy has it in this module
from nerva.utilities import StopWatch, set_numpy_options
from nerva.weight_initializers import Rng

# The largest number of epochs that a run may have. It keeps a mistyped number from being taken seriously.
MAX_EPOCHS = 1_000_000

# A function of epoch, batch number, network, X, Y and DY that is called for each batch, before backpropagation.
BatchHook = Callable[[int, int, MultilayerPerceptron, Matrix, Matrix, Matrix], None]


@dataclass(frozen=True)
class EpochRecord:
    """The metrics of one epoch. Epoch 0 is the network before training. Losses are means over the samples.

    A metric is None if it was not measured: a classification has accuracies, and a regression has R².
    """

    epoch: int
    learning_rate: float
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float
    test_accuracy: float | None
    seconds: float  # wall time of the training, without the evaluation
    train_r2: float | None = None
    validation_r2: float | None = None
    test_r2: float | None = None


def evaluate(M: MultilayerPerceptron, data_loader: DataLoader, loss: LossFunction) -> tuple[float, float]:
    """The mean loss and the accuracy of a network on a dataset."""
    total_loss = 0.0
    total_correct = 0
    for X, T in _in_order(data_loader):
        Y = _fitting(M.evaluate(X), T)
        total_loss += float(loss(Y, T))
        total_correct += _correct(Y, T)
    return total_loss / len(data_loader.dataset), total_correct / len(data_loader.dataset)


def evaluate_regression(M: MultilayerPerceptron, data_loader: DataLoader, loss: LossFunction) -> tuple[float, float]:
    """The mean loss of a network on a dataset, and R², the coefficient of determination.

    R² is 1 for exact predictions, and 0 for a network that always predicts the mean. With several targets, it is the
    mean of theirs. A target that does not vary has an R² of 1 if it is predicted exactly, and of 0 otherwise.
    """
    targets = to_numpy(data_loader.targets).astype(np.float64)
    total_loss = 0.0
    residuals = np.zeros(targets.shape[1])
    for X, T in _in_order(data_loader):
        Y = _fitting(M.evaluate(X), T)
        total_loss += float(loss(Y, T))
        residuals += ((to_numpy(Y).astype(np.float64) - to_numpy(T)) ** 2).sum(axis=0)
    deviations = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    varies = deviations > 0
    unexplained = np.where(varies, residuals / np.where(varies, deviations, 1.0), residuals != 0)
    return total_loss / len(data_loader.dataset), 1.0 - float(unexplained.mean())


def _in_order(data_loader: DataLoader) -> Iterable[tuple[Matrix, Matrix]]:
    """The batches in the order of the dataset; a loader of another class gives them in its own order."""
    return data_loader.in_order() if isinstance(data_loader, DataLoader) else data_loader


def _correct(Y: Matrix, T: Matrix) -> int:
    """The number of samples for which the largest output is that of the target class."""
    return int((from_one_hot(Y) == from_one_hot(T)).sum())


def _fitting(Y: Matrix, T: Matrix) -> Matrix:
    """Return Y. Raise a NervaError if the targets have another shape."""
    if Y.shape != T.shape:
        raise NervaError(f"the network gives outputs of shape {Y.shape}, but the targets have shape {T.shape}")
    return Y


def evaluates_training_set(epoch: int, every: int, last: int | None = None) -> bool:
    """Whether the training set is evaluated after an epoch: every so many epochs, and after the last one, if known."""
    return epoch % every == 0 or epoch == last


def train_epoch(
    M: MultilayerPerceptron,
    loss: LossFunction,
    eta: float,
    train_loader: DataLoader,
    epoch: int = 0,
    on_batch: BatchHook | None = None,
) -> None:
    """Train a network for one pass over the training set, with one step per batch.

    Args:
        M: the network; its parameters change.
        loss: the loss function to minimize.
        eta: the learning rate.
        train_loader: the training set. Gradients are divided by the batch size.
        epoch: the number of this epoch, for `on_batch`.
        on_batch: a function that observes each batch.
    """
    # A loader of another class may change its batches.
    if compile_epoch and on_batch is None and not M.check and type(train_loader) is DataLoader:
        if not (M.compiled and M.compiled.fits(M, loss)):
            M.compiled = CompiledTraining(train_step, M, loss)
        if M.compiled.train(train_loader, eta):
            return
    for k, (X, T) in enumerate(train_loader):
        train_step(M, loss, X, T, eta, partial(on_batch, epoch, k) if on_batch else None)


def train_step(
    M: MultilayerPerceptron,
    loss: LossFunction,
    X: Matrix,
    T: Matrix,
    eta: float,
    observe: Callable[[MultilayerPerceptron, Matrix, Matrix, Matrix], None] | None = None,
) -> None:
    """Train a network on one batch.

    Args:
        M: the network; its parameters change.
        loss: the loss function to minimize.
        X: the inputs, N×D.
        T: the targets, N×K.
        eta: the learning rate.
        observe: a function of the network, X, Y and DY that is called before backpropagation.
    """
    N = X.shape[0]
    Y = _fitting(M.feedforward(X), T)
    DY = loss.gradient(Y, T) / N
    if observe:
        observe(M, X, Y, DY)
    M.backpropagate(Y, DY, inputs=False)
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
    on_batch: BatchHook | None = None,
    evaluate_training: int = 1,
    regression: bool = False,
) -> Iterator[EpochRecord]:
    """Train a network, and yield a record before the first epoch and after each epoch.

    Args:
        M: the network; its parameters change.
        epochs: the number of epochs, those that are done included.
        loss: the loss function to minimize.
        learning_rate: the learning rate of each epoch.
        train_loader: the training set. Gradients are divided by the batch size.
        test_loader: the test set.
        validation_loader: the validation set, if there is one.
        evaluation_loader: the training set in the batches in which it is evaluated; by default, `train_loader`.
        done: the number of epochs that the network has already been trained for. If it is given, the first record is
            that of the next epoch.
        on_batch: a function that observes each batch.
        evaluate_training: the training set is evaluated every so many epochs, and after the last one.
        regression: whether R² is measured instead of the accuracy.
    """
    measure = evaluate_regression if regression else evaluate

    if evaluate_training < 1:
        raise NervaError(f"evaluate_training should be 1 or more, not {evaluate_training}")

    def record(epoch: int, eta: float, seconds: float) -> EpochRecord:
        due = evaluates_training_set(epoch, evaluate_training, epochs)
        train = measure(M, evaluation_loader or train_loader, loss) if due else (None, None)
        validation = measure(M, validation_loader, loss) if validation_loader else (None, None)
        test = measure(M, test_loader, loss)
        losses, scores = zip(train, validation, test, strict=True)
        accuracies, r2 = ((None,) * 3, scores) if regression else (scores, ())
        return EpochRecord(
            epoch, eta, losses[0], accuracies[0], losses[1], accuracies[1], losses[2], accuracies[2], seconds, *r2
        )

    if done is None:
        yield record(0, learning_rate(0), 0.0)
    for epoch in range(done or 0, epochs):
        timer = StopWatch()
        eta = learning_rate(epoch)
        train_epoch(M, loss, eta, train_loader, epoch, on_batch)
        wait()
        yield record(epoch + 1, eta, timer.seconds())  # the time is read before the evaluation starts


def compute_accuracy(M: MultilayerPerceptron, data_loader: DataLoader) -> float:
    """The fraction of the samples for which the largest output is that of the target class."""
    correct = sum(_correct(_fitting(M.evaluate(X), T), T) for X, T in _in_order(data_loader))
    return correct / len(data_loader.dataset)


def compute_loss(M: MultilayerPerceptron, data_loader: DataLoader, loss: LossFunction) -> float:
    """The mean loss over the samples."""
    total = sum(float(loss(_fitting(M.evaluate(X), T), T)) for X, T in _in_order(data_loader))
    return total / len(data_loader.dataset)


def compute_statistics(
    M: MultilayerPerceptron,
    lr: float,
    loss: LossFunction,
    train_loader: DataLoader,
    test_loader: DataLoader,
    epoch: int,
    elapsed_seconds: float = 0.0,
) -> EpochRecord:
    """Evaluate a network on the training and the test set, print a table row, and return the record."""
    train, test = evaluate(M, train_loader, loss), evaluate(M, test_loader, loss)
    record = EpochRecord(epoch, lr, *train, None, None, *test, elapsed_seconds)
    print_record(record)
    return record


def _debug_hook() -> BatchHook | None:
    return print_batch_debug_info if TrainOptions.debug else None


def stochastic_gradient_descent(
    M: MultilayerPerceptron,
    epochs: int,
    loss: LossFunction,
    learning_rate: LearningRateScheduler,
    train_loader: DataLoader,
    test_loader: DataLoader,
) -> list[EpochRecord]:
    """Train a network and print a table with one row per epoch.

    Args:
        M: the network; its parameters change.
        epochs: the number of passes over the training set.
        loss: the loss function to minimize.
        learning_rate: the learning rate of each epoch.
        train_loader: the training set. Gradients are divided by the batch size.
        test_loader: the test set.

    Returns:
        The records that the table shows.
    """
    print_epoch_header()
    records = []
    for record in training_epochs(M, epochs, loss, learning_rate, train_loader, test_loader, on_batch=_debug_hook()):
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
    """Train a network on matrices, without evaluation.

    Args:
        M: the network; its parameters change.
        Xtrain: the inputs, N×D.
        Ttrain: the targets: N labels as a vector or one column, or an N×K matrix of one-hot rows.
        loss: the loss function to minimize.
        learning_rate: the learning rate of each epoch.
        epochs: the number of passes over the training set.
        batch_size: the number of samples in a batch; the last batch of an epoch may be smaller.
        shuffle: whether each epoch takes the samples in a new random order.
        rng: the generator of that order. Without it, the order is not reproducible.

    Raises:
        NervaError: if the sizes do not match, or a label is outside the classes.
    """
    if has_labels(Ttrain):
        Ttrain = to_one_hot(Ttrain, M.layers[-1].output_size())
    order = (rng or np.random.default_rng()) if shuffle else None
    train_loader = DataLoader(Xtrain, Ttrain, batch_size, rng=order)
    for epoch in range(epochs):
        train_epoch(M, loss, learning_rate(epoch), train_loader, epoch, _debug_hook())


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
    """Create a network from specifications, train it on an `.npz` file, and print a table.

    Args:
        layer_specifications: one specification per layer, such as `["ReLU", "Linear"]`.
        linear_layer_sizes: the number of inputs, followed by the number of outputs of each layer with weights.
        linear_layer_optimizers: one specification per layer with parameters, such as
            `["Momentum(0.9)", "GradientDescent"]`.
        linear_layer_weight_initializers: one specification per layer with weights.
        batch_size: the number of samples in a batch.
        epochs: the number of passes over the training set.
        loss: the specification of the loss function.
        learning_rate: the specification of the schedule.
        weights_and_bias_file: an `.npz` file with the initial weights, or "".
        dataset_file: an `.npz` file with Xtrain, Ttrain, Xtest and Ttest.
        debug: whether every batch is printed.
        rng: the generator of the weights and of the order of the samples. Without it the weights are not
            reproducible, and the samples are taken in the order of the file, as in nerva-numpy.
        check: whether training stops at the first number that is not finite, with an error that names it.

    Returns:
        The network, and the records that the table shows.

    Raises:
        NervaError: if a specification cannot be parsed, a learning rate is not finite, or a file cannot be read.
    """
    schedule = parse_learning_rate(learning_rate)
    check_schedule(schedule, epochs)
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
    records = stochastic_gradient_descent(M, epochs, parse_loss_function(loss), schedule, train_loader, test_loader)
    return M, records
