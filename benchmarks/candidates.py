"""The candidates of the engine's benchmark: the same training, as each library does it.

Each class but Products trains a network with ReLU, softmax cross-entropy and momentum 0.9, in batches. Each epoch takes
the images in a new random order. `train()` is one epoch, and returns when everything is computed. `predict(X)` gives a
label for each image.

A process has one candidate, so that each library has its own settings. This module imports none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from nerva.experiment.config import numerics

ETA, MU = 0.01, 0.9
Array = np.ndarray[Any, np.dtype[Any]]


class Candidate(Protocol):
    """A network that can be trained."""

    def train(self) -> None:
        """Train for one epoch."""

    def predict(self, X: Array) -> Array:
        """The label of each image."""


@dataclass
class Task:
    """A network and the images on which it is trained: N×D, with N labels."""

    sizes: list[int]
    batch: int
    X: Array
    labels: Array
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def batches(self) -> list[Array]:
        """The indices of the images in each batch of an epoch. All batches are full."""
        order = self.rng.permutation(len(self.X))
        return [order[i : i + self.batch] for i in range(0, len(order) - self.batch + 1, self.batch)]

    def weights(self) -> list[tuple[Array, Array]]:
        """Initial weights, K×D, and biases of each layer."""
        sizes = zip(self.sizes, self.sizes[1:], strict=False)
        return [
            ((self.rng.normal(size=(K, D)) * (2 / D) ** 0.5).astype(np.float32), np.zeros(K, np.float32))
            for D, K in sizes
        ]

    def one_hot(self) -> Array:
        """The targets, N×K."""
        return np.eye(self.sizes[-1], dtype=np.float32)[self.labels]


class Nerva:
    """nerva, on the library that NERVA_BACKEND names."""

    def __init__(self, task: Task) -> None:
        from nerva import datasets, loss_functions, matrix_operations, multilayer_perceptron, training

        layers = len(task.sizes) - 1
        self.M = multilayer_perceptron.parse_multilayer_perceptron(
            ["ReLU"] * (layers - 1) + ["Linear"], task.sizes, [f"Momentum({MU})"] * layers, ["HeNormal"] * layers,
            task.rng,
        )  # fmt: skip
        self.loss = loss_functions.parse_loss_function("SoftmaxCrossEntropy")
        used = len(task.X) // task.batch * task.batch
        self.data = datasets.DataLoader(task.X[:used], task.labels[:used], task.batch, task.sizes[-1], task.rng)
        self.operations = matrix_operations
        self.train_epoch = training.train_epoch

    def train(self) -> None:
        self.train_epoch(self.M, self.loss, ETA, self.data)
        self.operations.wait()

    def predict(self, X: Array) -> Array:
        Y = self.operations.to_numpy(self.M.evaluate(self.operations.from_numpy(X)))
        return Y.argmax(1)


class NervaNumpy:
    """The public library nerva-numpy 1.0.0, with the loop of its own training."""

    def __init__(self, task: Task) -> None:
        from nerva_numpy import loss_functions, multilayer_perceptron

        layers = len(task.sizes) - 1
        self.M = multilayer_perceptron.parse_multilayer_perceptron(
            ["ReLU"] * (layers - 1) + ["Linear"], task.sizes, [f"Momentum({MU})"] * layers, ["XavierNormal"] * layers
        )
        self.loss = loss_functions.StableSoftmaxCrossEntropyLossFunction()
        self.task, self.T = task, task.one_hot()

    def train(self) -> None:
        for rows in self.task.batches():
            T = self.T[rows]
            Y = self.M.feedforward(self.task.X[rows])
            self.M.backpropagate(Y, self.loss.gradient(Y, T) / len(rows))
            self.M.optimize(ETA)

    def predict(self, X: Array) -> Array:
        return self.M.feedforward(X).argmax(1)


class ScikitLearn:
    """scikit-learn's MLPClassifier."""

    def __init__(self, task: Task) -> None:
        from sklearn.neural_network import MLPClassifier

        self.task = task
        self.classifier = MLPClassifier(
            tuple(task.sizes[1:-1]), solver="sgd", alpha=0, batch_size=task.batch, learning_rate_init=ETA, momentum=MU,
            nesterovs_momentum=False, shuffle=True, random_state=1,
        )  # fmt: skip
        self.classifier.partial_fit(task.X[: task.batch], task.labels[: task.batch], classes=range(task.sizes[-1]))

    def train(self) -> None:
        self.classifier.partial_fit(self.task.X, self.task.labels)

    def predict(self, X: Array) -> Array:
        return self.classifier.predict(X)


class PyTorch:
    """PyTorch's own loop, with nn.Linear and autograd. The step may be compiled by torch.compile."""

    def __init__(self, task: Task, compiled: bool = False) -> None:
        import torch

        self.torch, self.task = torch, task
        layers: list[Any] = []
        for W, b in task.weights():
            linear = torch.nn.Linear(W.shape[1], W.shape[0])
            linear.weight.data, linear.bias.data = torch.from_numpy(W), torch.from_numpy(b)
            layers += [linear, torch.nn.ReLU()]
        self.network = torch.nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.SGD(self.network.parameters(), ETA, momentum=MU)
        self.X, self.labels = torch.from_numpy(task.X), torch.from_numpy(task.labels)
        self.step = torch.compile(self._step) if compiled else self._step

    def _step(self, X: Any, labels: Any) -> None:
        self.optimizer.zero_grad()
        self.torch.nn.functional.cross_entropy(self.network(X), labels).backward()
        self.optimizer.step()

    def train(self) -> None:
        for rows in self.task.batches():
            rows = self.torch.from_numpy(rows)
            self.step(self.X[rows], self.labels[rows])

    def predict(self, X: Array) -> Array:
        with self.torch.no_grad():
            return self.network(self.torch.from_numpy(X)).numpy().argmax(1)


class Jax:
    """JAX: a step of automatic differentiation, compiled by jax.jit."""

    def __init__(self, task: Task) -> None:
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp, self.task = jax, jnp, task
        parameters = [(jnp.asarray(W.T), jnp.asarray(b)) for W, b in task.weights()]
        self.state = parameters, jax.tree.map(jnp.zeros_like, parameters)
        self.T = task.one_hot()
        self.compiled = jax.jit(self.step, donate_argnums=0)
        self.outputs = jax.jit(self.feedforward)

    def feedforward(self, parameters: Any, X: Any) -> Any:
        *hidden, (W, b) = parameters
        for V, c in hidden:
            X = self.jax.nn.relu(X @ V + c)
        return X @ W + b

    def step(self, state: Any, X: Any, T: Any) -> Any:
        def loss(parameters: Any) -> Any:
            return -(T * self.jax.nn.log_softmax(self.feedforward(parameters, X))).sum() / len(X)

        parameters, velocities = state
        gradients = self.jax.grad(loss)(parameters)
        velocities = self.jax.tree.map(lambda v, g: MU * v - ETA * g, velocities, gradients)
        return self.jax.tree.map(lambda x, v: x + v, parameters, velocities), velocities

    def train(self) -> None:
        for rows in self.task.batches():
            self.state = self.compiled(self.state, self.task.X[rows], self.T[rows])
        self.jax.block_until_ready(self.state)

    def predict(self, X: Array) -> Array:
        return np.asarray(self.outputs(self.state[0], X)).argmax(1)


class JaxScan(Jax):
    """JAX: a whole epoch, compiled as one lax.scan."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        X, T = self.jnp.asarray(task.X), self.jnp.asarray(self.T)

        def epoch(state: Any, batches: Any) -> Any:
            return self.jax.lax.scan(lambda s, rows: (self.step(s, X[rows], T[rows]), None), state, batches)[0]

        self.compiled = self.jax.jit(epoch, donate_argnums=0)

    def train(self) -> None:
        self.state = self.jax.block_until_ready(self.compiled(self.state, np.stack(self.task.batches())))


class Keras:
    """Keras, with its `fit`."""

    def __init__(self, task: Task) -> None:
        import keras

        keras.utils.set_random_seed(1)  # without a seed, TensorFlow's deterministic operations refuse to shuffle
        self.task = task
        layers = [keras.layers.Dense(size, "relu") for size in task.sizes[1:-1]]
        self.network = keras.Sequential(
            [keras.layers.Input((task.sizes[0],)), *layers, keras.layers.Dense(task.sizes[-1])]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.network.compile(keras.optimizers.SGD(ETA, MU), loss)

    def train(self) -> None:
        used = len(self.task.X) // self.task.batch * self.task.batch
        self.network.fit(self.task.X[:used], self.task.labels[:used], self.task.batch, epochs=1, verbose=0)

    def predict(self, X: Array) -> Array:
        return np.asarray(self.network(X)).argmax(1)


class Products:
    """Only the matrix products of each step, by NumPy: the least time that a training can take with its BLAS."""

    def __init__(self, task: Task) -> None:
        rng, N = np.random.default_rng(2), task.batch
        self.batches = len(task.batches())
        self.products: list[tuple[Array, Array, Array]] = []
        for i, (W, _) in enumerate(task.weights()):
            K, D = W.shape
            X, DY = (rng.random((N, size), np.float32) for size in (D, K))
            pairs = [(X, W.T), (DY.T, X)]
            if i > 0:
                pairs.append((DY, W))
            self.products += [(a, b, np.empty((a.shape[0], b.shape[1]), np.float32)) for a, b in pairs]

    def train(self) -> None:
        for _ in range(self.batches):
            for a, b, result in self.products:
                np.matmul(a, b, out=result)

    def predict(self, X: Array) -> Array:
        return np.full(len(X), -1)


@dataclass(frozen=True)
class Entry:
    """How a candidate is made, the distribution that it needs, and the environment of its process."""

    create: Callable[[Task], Candidate]
    package: str
    environment: dict[str, str] = field(default_factory=dict)

    def is_installed(self) -> bool:
        """Whether the distribution is installed."""
        try:
            metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return False
        return True


# The kernels of portable numerics, which every x86-64 CPU with AVX2 has.
PORTABLE = numerics.environment("portable", {})
CANDIDATES = {
    "nerva": Entry(Nerva, "numpy", {"NERVA_BLAS": "numpy"}),
    "nerva with MKL": Entry(Nerva, "mkl", {"NERVA_BLAS": "mkl"}),
    "nerva, portable": Entry(Nerva, "numpy", PORTABLE),
    "nerva on PyTorch": Entry(Nerva, "torch", {"NERVA_BACKEND": "torch"}),
    "nerva on JAX": Entry(Nerva, "jax", {"NERVA_BACKEND": "jax"}),
    "nerva on TensorFlow": Entry(Nerva, "tensorflow", {"NERVA_BACKEND": "tensorflow"}),
    "nerva-numpy": Entry(NervaNumpy, "nerva-numpy"),
    "scikit-learn": Entry(ScikitLearn, "scikit-learn"),
    "PyTorch": Entry(PyTorch, "torch"),
    "PyTorch, compiled": Entry(partial(PyTorch, compiled=True), "torch"),
    "JAX, compiled step": Entry(Jax, "jax"),
    "JAX, compiled epoch": Entry(JaxScan, "jax"),
    "Keras on TensorFlow": Entry(Keras, "keras", {"KERAS_BACKEND": "tensorflow"}),
    "matrix products alone": Entry(Products, "numpy"),
    "matrix products alone, portable": Entry(Products, "numpy", PORTABLE),
}
