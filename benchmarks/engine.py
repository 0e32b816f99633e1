"""The speed of the engine, compared with that of other libraries.

    python benchmarks/engine.py
    python benchmarks/engine.py --networks 64-64-10:50 --candidates nerva PyTorch --rounds 3

Each network is given as its sizes and its batch size. Networks with 784 inputs are trained on 20,000 images of MNIST
(`nerva prepare data=mnist` prepares them; random images take their place without it), and those with 64 inputs on
scikit-learn's digits.

Each candidate has a process of its own, on one thread of the CPU. All are started first; then they take turns, so that
whatever else the machine does disturbs all of them alike. A ratio compares two times of the same round, and the table
shows the median of these ratios. Compare only numbers from one call.
"""

import argparse
import importlib.util
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import numpy as np
from candidates import CANDIDATES, Candidate, Task
from tables import ROOT, Table
from threadpoolctl import threadpool_info

from nerva.backends import BACKENDS

NETWORKS = ["784-1024-512-10:100", "784-128-64-10:100", "64-64-10:50"]
# The ratios of the table: a peer, and the candidate with which it is compared.
RATIOS = [
    *((peer, "nerva") for peer in CANDIDATES if not peer.startswith("nerva on") and peer != "nerva"),
    ("PyTorch", "nerva on PyTorch"),
    ("JAX, compiled step", "nerva on JAX"),
    ("JAX, compiled epoch", "nerva on JAX"),
    ("Keras on TensorFlow", "nerva on TensorFlow"),
]
# One thread of the CPU, with every library.
ENVIRONMENT = {
    **{name: value for backend in BACKENDS.values() for name, value in backend.environment.items()},
    "OPENBLAS_NUM_THREADS": "1", "NERVA_DEVICE": "cpu", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip
IMAGES = 20_000
MEASURED = 0.3  # seconds that a measurement should at least take


def dataset(inputs: int, mnist: Path) -> str:
    """The name of the images for a number of inputs."""
    return "digits" if inputs == 64 else "MNIST" if inputs == 784 and mnist.exists() else "random images"


def images(inputs: int, mnist: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images and labels for training, and images and labels for testing."""
    name = dataset(inputs, mnist)
    if name == "digits":
        from sklearn.datasets import load_digits

        X, labels = load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32)
        return X[:1500], labels[:1500], X[1500:], labels[1500:]
    if name == "MNIST":
        data = np.load(mnist)
        return data["Xtrain"][:IMAGES], data["Ttrain"].ravel()[:IMAGES], data["Xtest"], data["Ttest"].ravel()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, IMAGES + 10_000)
    X = (rng.random((10, inputs)) > 0.5)[labels] * rng.random((len(labels), inputs), np.float32)
    return X[:IMAGES], labels[:IMAGES], X[IMAGES:], labels[IMAGES:]


def serve(connection: Connection, name: str, network: str, mnist: Path) -> None:
    """The process of a candidate. It answers each request with seconds per step or with the accuracy."""
    sizes, batch = parse(network)
    X, labels, Xtest, test_labels = images(sizes[0], mnist)
    candidate: Candidate = CANDIDATES[name].create(Task(sizes, batch, X, labels))
    start = time.perf_counter()
    candidate.train()
    first = time.perf_counter() - start
    start = time.perf_counter()
    candidate.train()
    epochs = max(1, round(MEASURED / (time.perf_counter() - start)))
    connection.send(first)
    for request in iter(connection.recv, None):
        if request == "train":
            start = time.perf_counter()
            for _ in range(epochs):
                candidate.train()
            connection.send((time.perf_counter() - start) / (epochs * (len(X) // batch)))
        elif request == "accuracy":
            connection.send(float((candidate.predict(Xtest) == test_labels).mean()))


def parse(network: str) -> tuple[list[int], int]:
    """The sizes and the batch size of a network."""
    sizes, batch = network.split(":")
    return [int(size) for size in sizes.split("-")], int(batch)


def measure(table: Table, network: str, names: list[str], rounds: int, mnist: Path) -> None:
    """Measure all candidates on one network."""
    sizes, batch = parse(network)
    title = f"{'-'.join(map(str, sizes))}, batch {batch}, {dataset(sizes[0], mnist)}"
    connections = {}
    spawn = multiprocessing.get_context("spawn")
    for name in names:
        ours, theirs = spawn.Pipe()
        with mock.patch.dict(os.environ, ENVIRONMENT | CANDIDATES[name].environment):
            spawn.Process(target=serve, args=(theirs, name, network, mnist), daemon=True).start()
        theirs.close()
        table.add(title, f"{name}: first epoch, with compilation", ours.recv())
        connections[name] = ours

    def ask(name: str, what: str) -> float:
        connections[name].send(what)
        return connections[name].recv()

    for _ in range(rounds):
        taken = {name: ask(name, "train") for name in names}
        for name, seconds in taken.items():
            table.add(title, f"{name}: a step", seconds * 1000, "ms")
        for peer, candidate in RATIOS:
            if {peer, candidate} <= taken.keys():
                table.add(title, f"{peer} / {candidate}", taken[peer] / taken[candidate], "×")
    for name, connection in connections.items():
        if name != "matrix products alone":
            table.add(title, f"{name}: accuracy", 100 * ask(name, "accuracy"), "%")
        connection.send(None)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="as 784-128-10:100, with the batch size")
    parser.add_argument(
        "--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES, metavar="NAME",
        help="; ".join(CANDIDATES),
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="how often each candidate is measured")
    parser.add_argument("--mnist", type=Path, default=ROOT / "results/data/mnist.npz", help="the prepared file")
    arguments = parser.parse_args()
    names = [name for name in arguments.candidates if importlib.util.find_spec(CANDIDATES[name].package)]
    table = Table("engine", "The engine and its peers, on one thread")
    for network in arguments.networks:
        measure(table, network, names, arguments.rounds, arguments.mnist)
    kernels = ", ".join(sorted({str(info["architecture"]) for info in threadpool_info() if "architecture" in info}))
    table.remarks.append(
        f"NumPy {np.__version__}, BLAS kernels {kernels}, OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE')}."
    )
    if missing := [name for name in CANDIDATES if name not in names]:
        table.remarks.append(f"Not measured: {', '.join(missing)}.")
    table.write()


if __name__ == "__main__":
    main()
