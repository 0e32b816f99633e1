"""The speed of the engine in seconds per epoch, compared with nerva-numpy and scikit-learn.

    python benchmarks/engine.py

The network is 784-1024-512-10 with ReLU and momentum, trained in batches of 100 on 10,000 random images, by one thread.
The candidates take turns, and the median counts. Compare only numbers of the same call.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info, threadpool_limits

SAMPLES, BATCH, ROUNDS = 10_000, 100, 5
SIZES = [784, 1024, 512, 10]

rng = np.random.default_rng(0)
X = rng.random((SAMPLES, SIZES[0]), dtype=np.float32)
LABELS = rng.integers(0, SIZES[-1], SAMPLES)


def nerva(package: str) -> Callable[[], None]:
    """A function that trains one epoch with nerva or nerva-numpy, which have the same names."""
    import importlib

    datasets, losses, networks = (
        importlib.import_module(f"{package}.{name}") for name in ("datasets", "loss_functions", "multilayer_perceptron")
    )
    M = networks.parse_multilayer_perceptron(
        ["ReLU", "ReLU", "Linear"], SIZES, ["Momentum(0.9)"] * 3, ["XavierNormal"] * 3
    )
    loss = losses.StableSoftmaxCrossEntropyLossFunction()
    loader = datasets.DataLoader(X, LABELS, BATCH, SIZES[-1])

    def epoch() -> None:
        for inputs, T in loader:
            Y = M.feedforward(inputs)
            M.backpropagate(Y, loss.gradient(Y, T) / len(inputs))
            M.optimize(0.01)

    return epoch


def scikit_learn() -> Callable[[], None]:
    """A function that trains one epoch with scikit-learn's classifier."""
    classifier = MLPClassifier(
        tuple(SIZES[1:-1]), solver="sgd", alpha=0, batch_size=BATCH, shuffle=False, nesterovs_momentum=False
    )
    classifier.partial_fit(X[:BATCH], LABELS[:BATCH], classes=range(SIZES[-1]))
    return lambda: classifier.partial_fit(X, LABELS)


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    candidates = {"nerva": nerva("nerva"), "nerva-numpy": nerva("nerva_numpy"), "scikit-learn": scikit_learn()}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            for name, epoch in candidates.items():
                start = time.perf_counter()
                epoch()
                seconds[name].append(time.perf_counter() - start)
    kernels = ", ".join(sorted({str(info.get("architecture")) for info in threadpool_info()}))
    print(f"NumPy {np.__version__}, BLAS kernels {kernels}, OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE')}")
    ours = statistics.median(seconds["nerva"])
    for name, taken in seconds.items():
        median = statistics.median(taken)
        spread = f"{min(taken):.2f}-{max(taken):.2f}"
        print(f"{name:<14} {median:6.2f} s per epoch, {median / ours:4.2f} times nerva's ({spread})")


if __name__ == "__main__":
    main()
