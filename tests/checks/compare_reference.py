"""Train networks with nerva-numpy and with nerva, and compare the metrics of each epoch.

    python tests/checks/compare_reference.py --mnist FOLDER [--epochs 3]

FOLDER contains mnist/ with the four IDX files. Both start from the same weights and read the samples in the order of
the file. Together, the networks have every layer, activation, loss, optimizer and schedule of nerva-numpy. The exit
code is 1 if a loss differs by more than 0.1 %, or an accuracy by more than 0.002.
"""

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nerva_numpy.training as reference
import numpy as np
from nerva_numpy.learning_rate import parse_learning_rate as reference_learning_rate
from nerva_numpy.loss_functions import parse_loss_function as reference_loss
from nerva_numpy.multilayer_perceptron import parse_multilayer_perceptron as reference_network
from threadpoolctl import threadpool_limits

from nerva.datasets import create_npz_dataloaders
from nerva.learning_rate import parse_learning_rate
from nerva.loss_functions import parse_loss_function
from nerva.multilayer_perceptron import parse_multilayer_perceptron
from nerva.training import training_epochs

LOSS_TOLERANCE = 1e-3  # relative
ACCURACY_TOLERANCE = 0.002


@dataclass(frozen=True)
class Network:
    """A network and how it is trained; sizes are those of the hidden layers."""

    layers: str
    hidden: tuple[int, ...]
    optimizers: str
    loss: str
    learning_rate: str


NETWORKS = [
    # At a rate of 0.01 this one is chaotic: weights that differ in their last bit give losses 4e-3 apart by epoch 2.
    Network("ReLU;ReLU;Linear", (256, 128), "Momentum(0.9)", "SoftmaxCrossEntropy", "Constant(0.003)"),
    Network(
        "BatchNormalization;LeakyReLU(0.1);BatchNormalization;Softmax",
        (128,),
        "GradientDescent;Nesterov(0.9);GradientDescent;Nesterov(0.9)",
        "NegativeLogLikelihood",
        # Not more decay than this: in nerva-numpy it compounds with each call.
        "TimeBased(0.02,0.0001)",
    ),
    Network(
        "SReLU(al=0.1, tl=-0.5, ar=0.2, tr=0.8);AllReLU(0.2);Softmax",
        (128, 64),
        "GradientDescent",
        "CrossEntropy",
        "StepBased(0.05,0.5,2)",
    ),
    Network(
        "HyperbolicTangent;Sigmoid;LogSoftmax",
        (128, 64),
        "Nesterov(mu=0.9)",
        "SoftmaxCrossEntropy",
        "MultiStepLR(0.1;1,2;0.5)",
    ),
    Network("ReLU;Linear", (128,), "Momentum(mu=0.9)", "SquaredError", "Exponential(0.002,0.1)"),
    Network("ReLU;Linear", (128,), "Momentum(mu=0.9)", "LogisticCrossEntropy", "Exponential(0.01,0.1)"),
]

Metrics = list[tuple[float, float, float]]  # an epoch's training loss, training accuracy and test accuracy


def train_both(network: Network, dataset: Path, epochs: int, batch_size: int) -> tuple[Metrics, Metrics]:
    """The metrics of nerva-numpy and of nerva, from epoch 0, which is before training.

    nerva-numpy prints six digits, and these are read.
    """
    with np.load(dataset) as data:
        sizes = [data["Xtrain"].shape[1], *network.hidden, int(data["Ttrain"].max()) + 1]
    layers = network.layers.split(";")
    optimizers = network.optimizers.split(";")
    optimizers = optimizers * len(layers) if len(optimizers) == 1 else optimizers
    initializers = ["XavierUniform"] * (len(sizes) - 1)

    M = parse_multilayer_perceptron(layers, sizes, optimizers, initializers, np.random.default_rng(1))
    other = reference_network(layers, sizes, optimizers, initializers)
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(printed):
        M.save_weights_and_bias(Path(folder) / "weights.npz")
        other.load_weights_and_bias(str(Path(folder) / "weights.npz"))
        loaders = reference.create_npz_dataloaders(str(dataset), batch_size)
        printed.seek(0)
        printed.truncate()
        loss, learning_rate = reference_loss(network.loss), reference_learning_rate(network.learning_rate)
        reference.stochastic_gradient_descent(other, epochs, loss, learning_rate, *loaders)
    rows = [line.split("|") for line in printed.getvalue().splitlines() if line.strip()[:1].isdigit()]
    theirs = [(float(row[2]), float(row[3]), float(row[4])) for row in rows]

    loss_function, schedule = parse_loss_function(network.loss), parse_learning_rate(network.learning_rate)
    records = training_epochs(M, epochs, loss_function, schedule, *create_npz_dataloaders(dataset, batch_size))
    return theirs, [(r.train_loss, r.train_accuracy, r.test_accuracy) for r in records]


def agree(theirs: tuple[float, ...], ours: tuple[float, ...]) -> bool:
    """Whether the metrics of an epoch agree within the tolerances."""
    loss = abs(ours[0] - theirs[0]) <= LOSS_TOLERANCE * abs(theirs[0]) + 1e-6
    return loss and all(abs(a - b) <= ACCURACY_TOLERANCE for a, b in zip(theirs[1:], ours[1:], strict=True))


def mnist(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """MNIST's arrays, with labels and pixels as nerva-numpy reads them."""
    from nerva.data import load_prepared, prepare
    from nerva.experiment.config.composition import compose

    with tempfile.TemporaryDirectory() as results:
        dataset = compose(["data=mnist"]).data
        raw = Path(results) / "raw"
        raw.mkdir()
        (raw / "mnist").symlink_to((folder / "mnist").absolute())
        prepare(dataset, Path(results))
        yield from load_prepared(dataset, Path(results))[0].items()


def main() -> None:
    """Compares all networks on MNIST, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True, help="the folder that holds mnist/")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    apart = 0
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        dataset = Path(folder) / "mnist.npz"
        np.savez(dataset, **dict(mnist(options.mnist)))
        for network in NETWORKS:
            print(
                f"\n{network}\nepoch |  loss: theirs       ours | train acc: theirs   ours | test acc: theirs   ours |"
            )
            for epoch, (theirs, ours) in enumerate(
                zip(*train_both(network, dataset, options.epochs, 100), strict=True)
            ):
                good = agree(theirs, ours)
                apart += not good
                columns = " | ".join(f"{a:>12.6f} {b:>10.6f}" for a, b in zip(theirs, ours, strict=True))
                print(f"{epoch:>5} | {columns} | {'agree' if good else 'DIFFER'}", flush=True)
    sys.exit(f"{apart} epochs differ" if apart else 0)


if __name__ == "__main__":
    main()
