"""The speed of the engine, compared with that of other libraries.

    python benchmarks/engine.py
    python benchmarks/engine.py --networks 64-64-10:50 --candidates nerva PyTorch --rounds 3

Each network is given as its sizes and its batch size. Networks with 784 inputs are trained on 20,000 images of MNIST
(`nerva prepare data=mnist` prepares them; random images take their place without it), and those with 64 inputs on
scikit-learn's digits.

Each candidate has a process of its own, on one thread. All are started first; then they take turns, so that whatever
else the machine does disturbs all of them alike. The medians of the ratios count, and each ratio is of one round.
Compare only numbers from one call.
"""

import argparse
import importlib.util
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from candidates import CANDIDATES, Candidate, Task
from tables import ROOT, Table
from threadpoolctl import threadpool_info

NETWORKS = ["784-1024-512-10:100", "784-128-64-10:100", "64-64-10:50"]
# The ratios of the table: each peer with the candidate that is compared with it.
PEERS = {
    "nerva-numpy": "nerva", "scikit-learn": "nerva", "PyTorch": "nerva", "PyTorch, compiled": "nerva",
    "JAX, compiled step": "nerva", "JAX, compiled epoch": "nerva", "Keras": "nerva", "matrix products alone": "nerva",
}  # fmt: skip
ON_THE_SAME_LIBRARY = [
    ("PyTorch", "nerva on PyTorch"),
    ("JAX, compiled step", "nerva on JAX"),
    ("JAX, compiled epoch", "nerva on JAX"),
    ("Keras", "nerva on TensorFlow"),
]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NPROC": "1",
    "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3",
}  # fmt: skip
IMAGES = 20_000
MEASURED = 0.3  # seconds that a measurement should at least take


def images(inputs: int, mnist: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Images and labels for training and for testing, and where they are from."""
    if inputs == 64:
        from sklearn.datasets import load_digits

        X, labels = load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32)
        return X[:1500], labels[:1500], X[1500:], labels[1500:], "digits"
    if inputs == 784 and mnist.exists():
        data = np.load(mnist)
        test = data["Xtest"], data["Ttest"].ravel()
        return data["Xtrain"][:IMAGES], data["Ttrain"].ravel()[:IMAGES], *test, "MNIST"
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, IMAGES + 10_000)
    X = (rng.random((10, inputs)) > 0.5)[labels] * rng.random((len(labels), inputs), np.float32)
    return X[:IMAGES], labels[:IMAGES], X[IMAGES:], labels[IMAGES:], "random images"


def serve(connection: Connection, name: str, network: str, mnist: Path) -> None:
    """The process of a candidate. It answers each request with seconds per step or with the accuracy."""
    sizes, batch = parse(network)
    X, labels, Xtest, test_labels, _ = images(sizes[0], mnist)
    candidate: Candidate = CANDIDATES[name].create(Task(sizes, batch, X, labels))
    start = time.perf_counter()
    candidate.train()
    connection.send(time.perf_counter() - start)
    start = time.perf_counter()
    candidate.train()
    epochs = max(1, round(MEASURED / (time.perf_counter() - start)))
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
    title = f"{'-'.join(map(str, sizes))}, batch {batch}, {images(sizes[0], mnist)[-1]}"
    connections = {}
    spawn = multiprocessing.get_context("spawn")
    for name in names:
        ours, theirs = spawn.Pipe()
        environment = {**os.environ, **ONE_THREAD, **CANDIDATES[name].environment}
        before = dict(os.environ)
        os.environ.update(environment)
        spawn.Process(target=serve, args=(theirs, name, network, mnist), daemon=True).start()
        os.environ.clear()
        os.environ.update(before)
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
        for peer, candidate in [*PEERS.items(), *ON_THE_SAME_LIBRARY]:
            if peer in taken and candidate in taken:
                table.add(title, f"{peer} / {candidate}", taken[peer] / taken[candidate], "×")
    for name, connection in connections.items():
        if name != "matrix products alone":
            table.add(title, f"{name}: accuracy", 100 * ask(name, "accuracy"), "%")
        connection.send(None)


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES, metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--mnist", type=Path, default=ROOT / "results/data/mnist.npz")
    arguments = parser.parse_args()
    names = [name for name in arguments.candidates if importlib.util.find_spec(CANDIDATES[name].package)]
    table = Table("engine", "The engine and its peers, on one thread")
    for network in arguments.networks:
        measure(table, network, names, arguments.rounds, arguments.mnist)
    kernels = ", ".join(sorted({str(info.get("architecture")) for info in threadpool_info()}))
    table.remarks.append(
        f"NumPy {np.__version__}, BLAS kernels {kernels}, OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE')}."
    )
    for name in CANDIDATES.keys() - names:
        table.remarks.append(f"Not measured: {name}.")
    table.write()


if __name__ == "__main__":
    main()
