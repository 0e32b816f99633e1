"""The speed of the engine, compared with that of other libraries.

    python benchmarks/engine.py
    python benchmarks/engine.py --networks 64-64-10:50 --candidates nerva PyTorch --rounds 3

Each network is given as its sizes and its batch size. Networks with 784 inputs are trained on 20,000 images of MNIST
(`nerva prepare data=mnist` prepares them; random images take their place without it), and those with 64 inputs on
scikit-learn's digits. A network with a layer of more than 2,000 neurons is trained on at most 2,000 images. The
benchmark measures a training step, the outputs for one image, for 1,000 and for all test images, and the memory.

Each candidate has a process of its own. All are started first; then they take turns, so that whatever else the machine
does disturbs all of them alike. A ratio compares two times of the same round, and the tables show the medians of these
ratios. Compare only numbers from one call.
"""

import argparse
import multiprocessing
import os
import resource
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import matplotlib as mpl
import numpy as np
from candidates import CANDIDATES, Candidate, Task
from tables import FOLDER, ROOT, Table
from threadpoolctl import threadpool_info

from nerva.backends import BACKENDS

NETWORKS = [
    "784-1024-512-10:100", "784-1024-512-10:16", "784-1024-512-10:1000", "784-128-64-10:100", "784-4096-4096-10:100",
    "64-64-10:50",
]  # fmt: skip
# The ratios beside those to nerva: a peer, and the candidate with which it is compared.
RATIOS = [
    ("PyTorch", "nerva with MKL"),
    ("JAX, compiled step", "nerva with MKL"),
    ("PyTorch", "nerva on PyTorch"),
    ("JAX, compiled step", "nerva on JAX"),
    ("JAX, compiled epoch", "nerva on JAX"),
    ("Keras on TensorFlow", "nerva on TensorFlow"),
    ("nerva, portable", "matrix products alone, portable"),
    ("nerva", "matrix products alone"),
]
# One thread of the CPU, with every library.
ONE_THREAD = {
    **{name: value for backend in BACKENDS.values() for name, value in backend.environment.items()},
    "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip
CPU = {"NERVA_BACKEND": "numpy", "NERVA_DEVICE": "cpu", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
IMAGES = 20_000
MIN_SECONDS = 0.3  # the least time of a measurement of training; of outputs, a third of it


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
    """The process of a candidate. It answers each request with seconds, with the accuracy or with the memory."""
    sizes, batch = parse(network)
    X, labels, Xtest, test_labels = images(sizes[0], mnist)
    if max(sizes) > 2000:
        X, labels = X[:2000], labels[:2000]
    before = _peak_memory()
    candidate: Candidate = CANDIDATES[name].create(Task(sizes, batch, X, labels))
    first = _seconds(candidate.train)
    epochs = max(1, round(MIN_SECONDS / _seconds(candidate.train)))
    connection.send(first)
    for request in iter(connection.recv, None):
        if request == "train":
            connection.send(_seconds(candidate.train, epochs) / (len(X) // batch))
        elif request == "accuracy":
            connection.send(float((candidate.predict(Xtest) == test_labels).mean()))
        elif request == "memory":
            connection.send(_peak_memory() - before)
        else:
            predict = partial(candidate.predict, Xtest[:request])
            predict()
            connection.send(_seconds(predict, max(1, min(1000, round(MIN_SECONDS / 3 / _seconds(predict))))))


def _seconds(function, times: int = 1) -> float:
    """The time that a call takes, as the mean of several calls."""
    start = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - start) / times


def _peak_memory() -> float:
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def parse(network: str) -> tuple[list[int], int]:
    """The sizes and the batch size of a network."""
    sizes, batch = network.split(":")
    return [int(size) for size in sizes.split("-")], int(batch)


def measure(table: Table, network: str, names: list[str], rounds: int, mnist: Path, threads: str) -> str:
    """Measure all candidates on one network. Return the name of the network in the table."""
    sizes, batch = parse(network)
    title = f"{'-'.join(map(str, sizes))}, batch {batch}, {dataset(sizes[0], mnist)}"
    title += "" if threads == "one" else ", all cores"
    connections = {}
    spawn = multiprocessing.get_context("spawn")
    for name in names:
        ours, theirs = spawn.Pipe()
        variables = CPU | CANDIDATES[name].environment
        # Portable numerics have one thread. With all cores, the number of threads is left to each library.
        others = {key: value for key, value in variables.items() if key not in ONE_THREAD}
        with mock.patch.dict(os.environ, variables | ONE_THREAD if threads == "one" else others):
            spawn.Process(target=serve, args=(theirs, name, network, mnist), daemon=True).start()
        theirs.close()
        table.add(title, f"{name}: first epoch, with compilation", ours.recv())
        connections[name] = ours

    def ask(name: str, what: str | int) -> float:
        connections[name].send(what)
        return connections[name].recv()

    for _ in range(rounds):
        taken = {name: ask(name, "train") for name in names}
        for name, seconds in taken.items():
            table.add(title, f"{name}: a step", seconds * 1000, "ms")
        peers = [(name, "nerva") for name in names if not name.startswith(("nerva on", "nerva,", "nerva with"))]
        for peer, candidate in [*peers, *RATIOS]:
            if {peer, candidate} <= taken.keys() and peer != candidate:
                table.add(title, f"{peer} / {candidate}", taken[peer] / taken[candidate], "×")
    computing = [name for name in names if not name.startswith("matrix products")]
    tested = len(images(sizes[0], mnist)[2])
    for count in sorted({1, min(1000, tested), tested}):
        for _ in range(rounds):
            for name in computing:
                what = f"{name}: outputs for {count} image{'s' * (count > 1)}"
                table.add(title, what, ask(name, count) * 1000, "ms")
    for name in computing:
        table.add(title, f"{name}: accuracy", 100 * ask(name, "accuracy"), "%")
        table.add(title, f"{name}: memory beyond the images", ask(name, "memory"), "MB")
    for connection in connections.values():
        connection.send(None)
    return title


def summary(table: Table, titles: list[str], names: list[str]) -> list[str]:
    """A Markdown table of all candidates and networks: the time of a step, and the accuracy."""
    lines = [f"| ms per step | {' | '.join(titles)} |", f"|---|{'---:|' * len(titles)}"]
    for name in names:
        cells = []
        for title in titles:
            step, accuracy = (table.measurements.get((title, f"{name}: {what}")) for what in ("a step", "accuracy"))
            share = f" ({accuracy.median:.1f} %)" if accuracy else ""
            cells.append(f"{step.median:.3g}{share}" if step else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def plot(table: Table, titles: list[str], names: list[str]) -> None:
    """Draw the time of a step, with the spread over the rounds, as SVG and PNG."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(titles), figsize=(3.2 * len(titles) + 1.5, 0.32 * len(names) + 1.4), sharey=True)
    for axis, title in zip(np.atleast_1d(axes), titles, strict=True):
        for i, name in enumerate(names):
            m = table.measurements.get((title, f"{name}: a step"))
            if m is None:
                continue
            color = "#1f77b4" if name.startswith("nerva") and name != "nerva-numpy" else "#999999"
            axis.barh(i, m.median, color=color)
            axis.plot([min(m.values), max(m.values)], [i, i], color="black", linewidth=1)
            axis.annotate(f" {m.median:.3g}", (max(m.values), i), va="center", fontsize=8)
        axis.set_title(", ".join(title.split(", ")[:2]), fontsize=9)
        axis.set_xlabel("ms per step", fontsize=8)
        axis.margins(x=0.2)
        axis.tick_params(labelsize=8)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    np.atleast_1d(axes)[0].set_yticks(range(len(names)), names)
    np.atleast_1d(axes)[0].invert_yaxis()
    figure.tight_layout()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for suffix in ("svg", "png"):
        figure.savefig(FOLDER / f"{table.name}.{suffix}", dpi=110)


def main() -> None:
    """Measure, and write the tables and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="as 784-128-10:100, with the batch size")
    parser.add_argument(
        "--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES, metavar="NAME",
        help="; ".join(CANDIDATES),
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="how often each candidate is measured")
    parser.add_argument(
        "--threads", nargs="+", default=["one", "all"], choices=["one", "all"], help="one thread, all cores"
    )
    parser.add_argument("--mnist", type=Path, default=ROOT / "results/data/mnist.npz", help="the prepared file")
    arguments = parser.parse_args()
    names = [name for name in arguments.candidates if CANDIDATES[name].is_installed()]
    table = Table("engine", "The engine and its peers")
    titles = {
        threads: [
            measure(table, network, names, arguments.rounds, arguments.mnist, threads) for network in arguments.networks
        ]
        for threads in arguments.threads
    }
    for threads, measured in titles.items():
        table.summary += [f"## {threads.capitalize()} {'thread' if threads == 'one' else 'cores'}", ""]
        table.summary += summary(table, measured, names)
    plot(table, titles[arguments.threads[0]], names)
    kernels = ", ".join(sorted({str(info["architecture"]) for info in threadpool_info() if "architecture" in info}))
    table.remarks.append(
        f"NumPy {np.__version__}, BLAS kernels {kernels} (portable: Haswell), "
        f"OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE')}. "
        "Numbers in brackets are accuracies on the test images after the measured epochs."
    )
    if missing := [name for name in CANDIDATES if name not in names]:
        table.remarks.append(f"Not measured: {', '.join(missing)}.")
    table.write()


if __name__ == "__main__":
    main()
