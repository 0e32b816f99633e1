"""Calculations of the whole engine with the library of this process.

`NERVA_BACKEND=jax python -m tests.backends.calculations FILE` writes them to a file, which has each result under a name
that says what it is. test_libraries.py compares the files of all libraries.
"""

import sys
from collections.abc import Iterator

import numpy as np

from nerva import matrix_operations as mo
from nerva.activation_functions import ACTIVATIONS, parse_activation
from nerva.datasets import DataLoader
from nerva.layers import LAYERS, Layer, parse_layer
from nerva.learning_rate import parse_learning_rate
from nerva.loss_functions import LOSSES, parse_loss_function
from nerva.multilayer_perceptron import MultilayerPerceptron, parse_multilayer_perceptron
from nerva.optimizers import Attribute, parse_optimizer
from nerva.softmax_functions import log_softmax, log_softmax_jacobian, softmax, softmax_jacobian
from nerva.training import evaluate, train_epoch

Results = Iterator[tuple[str, object]]

SHAPES = [(1, 1, 1), (7, 4, 3)]  # N, D, K
DTYPES = [np.float32, np.float64]
OPTIMIZERS = [
    "GradientDescent", "Momentum(0.9)", "Nesterov(0.9)", "Adam", "AdamW(decay=0.2)", "RMSProp(rho=0.8)",
    "WeightDecay(Momentum(0.9), 0.2)", "ClipNorm(Momentum(0.9), 0.5)",
]  # fmt: skip
ACTIVATION_FUNCTIONS = [f"{name}(0.3)" if name in ("LeakyReLU", "AllReLU") else name for name in ACTIVATIONS.components]
SCHEDULES = [
    "Constant(0.1)", "TimeBased(0.1, 0.5)", "StepBased(0.1, 0.5, 2)", "MultiStepLR(0.1;1,3;0.1)",
    "Exponential(0.1, 0.5)", "Cosine(0.1, 10)", "WarmUp(Constant(0.1), 3)",
]  # fmt: skip
# Layers, sizes, optimizers, initial weights, loss, learning rate. In networks with batch normalization, the gradient of
# a bias may be 0 but for rounding. Adam would divide it by its own size.
NETWORKS = {
    "batch normalization": (
        ["ReLU", "BatchNormalization(momentum=0.1)", "Linear"], [64, 32, 10],
        ["Nesterov(0.9)", "Nesterov(0.9)", "Momentum(0.9)"], "SoftmaxCrossEntropy", 0.01,
    ),
    "SReLU": (
        ["SReLU(al=0.1, tl=-0.4, ar=0.2, tr=0.5)", "Sigmoid", "Linear"], [64, 32, 16, 10],
        ["Nesterov(0.9)", "Nesterov(0.9)", "Nesterov(0.9)"], "LogisticCrossEntropy", 0.01,
    ),
    "dropout": (
        ["ELU(0.7)", "Dropout(0.3)", "GELU", "Softmax"], [64, 32, 16, 10],
        ["RMSProp", "RMSProp", "ClipNorm(Momentum(0.9), 1)"], "CrossEntropy", 0.001,
    ),
    "log-softmax": (
        ["HyperbolicTangent", "SiLU", "LogSoftmax"], [64, 32, 16, 10],
        ["Adam", "AdamW", "WeightDecay(Adam, 0.01)"], "SquaredError", 0.001,
    ),
}  # fmt: skip
STEPS = 50


def samples(*shape: int, dtype: type = np.float32, seed: int = 1) -> np.ndarray:
    """Normally distributed numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def matrix(*shape: int, dtype: type = np.float32, seed: int = 1) -> mo.Matrix:
    """The same as a matrix of the library."""
    return mo.from_numpy(samples(*shape, dtype=dtype, seed=seed))


def operations(dtype: type) -> Results:
    X, Y, x = matrix(3, 4, dtype=dtype), matrix(3, 4, dtype=dtype, seed=2), matrix(4, dtype=dtype, seed=3)
    P, S = mo.abs(X), matrix(3, 3, dtype=dtype)
    zero = X * mo.indicator(mo.greater(X, 0), like=X)
    for name in ("exp", "expm1", "tanh", "sigmoid", "softplus", "log_sigmoid", "normal_cdf", "normal_pdf"):
        yield name, getattr(mo, name)(X)
        yield f"{name} of large numbers", getattr(mo, name)(20 * X)
    for name in ("square", "abs", "reciprocal", "sign", "zeros_like", "as_real", "elements_sum"):
        yield name, getattr(mo, name)(X)
    for name in ("columns_sum", "rows_sum", "columns_max", "rows_max", "columns_mean", "rows_mean"):
        yield name, getattr(mo, name)(X)
    for name in ("log", "sqrt", "inv_sqrt"):
        yield name, getattr(mo, name)(P)
    yield "norm", float(mo.norm(X))
    yield "product", mo.product(X, Y.T)
    yield "hadamard", mo.hadamard(X, Y)
    yield "dot", mo.dot(x, x)
    yield "dot of rows", mo.dot(x.reshape(1, -1), x.reshape(1, -1))
    yield "diag", mo.diag(S)
    yield "Diag", mo.Diag(x)
    yield "row_repeat", mo.row_repeat(x, 3)
    yield "column_repeat", mo.column_repeat(x, 3)
    yield "take_rows", mo.take_rows(X, np.array([2, 0, 2]))
    yield "slice", mo.take_rows(X, slice(1, 3))
    yield "xlogy", mo.xlogy(zero, P)
    yield "xlogy of zeros", mo.xlogy(mo.zeros_like(P), mo.zeros_like(P))
    yield "divide", mo.divide(zero, P)
    yield "divide by zeros", mo.divide(mo.zeros_like(P), mo.zeros_like(P))
    yield "maximum", mo.maximum(X, 0.25)
    yield "minimum", mo.minimum(X, 0.25)
    yield "clip", mo.clip(X, -0.5, 0.5)
    for name in ("greater", "less", "less_equal"):
        yield name, mo.indicator(getattr(mo, name)(X, 0.1), like=X)
    yield "where", mo.where(mo.greater(X, 0), X, 0.3, like=X)
    yield "where of numbers", mo.where(mo.greater(X, 0), 1, 0.3, like=X)
    yield "bernoulli", mo.bernoulli(0.3, np.random.default_rng(5), like=X)
    yield "scale_add", mo.scale_add(0.5, matrix(3, 4, dtype=dtype), -2.0, Y)
    yield "assign", mo.assign(mo.zeros_like(X), X)
    for name in ("zeros", "ones"):
        yield name, getattr(mo, name)(2, 3, dtype=dtype)
        yield f"{name}, a vector", getattr(mo, name)(2, dtype=dtype)
    yield "identity", mo.identity(3, dtype)
    yield "vector", mo.vector([1.5, 2], dtype=dtype)
    yield "elements", mo.vector(list(mo.elements(x)), dtype=dtype)
    yield "larger", mo.larger(mo.norm(x), 0.1) * x
    yield "first_not_finite", np.array(mo.first_not_finite(mo.log(zero)) or (-1,))
    yield "numbers", 1 - 2 * X**2 / 3


def functions(dtype: type) -> Results:
    X, row = matrix(7, 3, dtype=dtype), matrix(1, 3, dtype=dtype)
    for name in ACTIVATION_FUNCTIONS:
        act = parse_activation(name)
        yield f"{name}", act(X)
        yield f"{name} gradient", act.gradient(X)
    for f in (softmax, log_softmax):
        yield f.__name__, f(X)
    for f in (softmax_jacobian, log_softmax_jacobian):
        yield f.__name__, f(row)
    T = mo.from_numpy(np.eye(3, dtype=dtype)[[0, 2, 1, 1, 0, 2, 2]])
    for name in LOSSES.components:
        loss = parse_loss_function(name)
        Y = mo.exp(X) if name in ("CrossEntropy", "NegativeLogLikelihood") else X
        yield f"{name} loss", loss(Y, T)
        yield f"{name} loss gradient", loss.gradient(Y, T)


def layers(dtype: type, N: int, D: int, K: int) -> Results:
    for name in dict.fromkeys([*LAYERS.components, *ACTIVATION_FUNCTIONS]):
        layer = parse_layer(name, D, K, np.random.default_rng(3))
        for parameter in layer.parameters:
            old = mo.to_numpy(getattr(layer, parameter))
            setattr(layer, parameter, matrix(*old.shape, dtype=dtype, seed=4) if name != "SReLU" else mo.from_numpy(
                old.astype(dtype) if parameter == "x" else samples(*old.shape, dtype=dtype, seed=4)))  # fmt: skip
        Y = layer.feedforward(matrix(N, D, dtype=dtype))
        layer.backpropagate(Y, matrix(*Y.shape, dtype=dtype, seed=2))
        for what, value in {"Y": Y, **intermediates(layer)}.items():
            yield f"{name} {what}", value
        yield f"{name} evaluated", layer.evaluate(matrix(N, D, dtype=dtype))


def intermediates(layer: Layer) -> dict[str, object]:
    names = ["X", "Z", "DZ", "DX", *layer.parameters, *(f"D{name}" for name in layer.parameters)]
    return {name: x for name in names if (x := getattr(layer, name, None)) is not None}


def optimizers(dtype: type) -> Results:
    for text in OPTIMIZERS:
        layer = parse_layer("Linear", 4, 3)
        layer.W = matrix(3, 4, dtype=dtype)
        optimizer = parse_optimizer(text)(Attribute(layer, "W"), Attribute(layer, "DW"))
        for step in range(5):
            layer.DW = matrix(3, 4, dtype=dtype, seed=step)
            optimizer.update(0.1)
        yield text, layer.W


def network(name: str) -> tuple[MultilayerPerceptron, object, DataLoader, float]:
    specifications, sizes, optimizers, loss, eta = NETWORKS[name]
    M = parse_multilayer_perceptron(
        specifications, sizes, optimizers, ["HeNormal"] * (len(sizes) - 1), np.random.default_rng(1)
    )
    # Ten batches, of which the last is smaller.
    X, labels = samples(490, 64), np.random.default_rng(7).integers(0, 10, 490)
    return M, parse_loss_function(loss), DataLoader(X, labels, 50, 10, np.random.default_rng(2)), eta


def steps(name: str) -> Results:
    """Every intermediate of 50 steps, which are computed operation by operation."""
    M, loss, loader, eta = network(name)
    for epoch in range(STEPS // len(loader)):
        for k, (X, T) in enumerate(loader):
            Y = M.feedforward(X)
            DY = loss.gradient(Y, T) / X.shape[0]
            M.backpropagate(Y, DY)
            yield f"step {epoch * len(loader) + k} Y", Y
            yield f"step {epoch * len(loader) + k} DY", DY
            for index, layer in enumerate(M.layers, 1):
                for what, value in intermediates(layer).items():
                    yield f"step {epoch * len(loader) + k} layer {index} {what}", value
            M.optimize(eta)


def training(name: str) -> Results:
    """The network after 50 steps of the training loop, which compiles them if the library does."""
    M, loss, loader, eta = network(name)
    for _ in range(STEPS // len(loader)):
        train_epoch(M, loss, eta, loader)
    if mo.compile_epoch:
        assert M.compiled.may_compile, f"{name} was not compiled"
    yield "metrics", np.array(evaluate(M, loader, loss))
    for key, array in M.to_dict().items():
        if key != "architecture":
            yield key, array
    for index, layer in enumerate(M.layers, 1):
        for parameter in layer.parameters:
            yield f"{index}.D{parameter}", getattr(layer, f"D{parameter}")


def calculate() -> Results:
    """All results, by name."""
    for dtype in DTYPES:
        parts = {"operation": operations(dtype), "function": functions(dtype), "optimizer": optimizers(dtype)}
        parts |= {f"layer {shape}": layers(dtype, *shape) for shape in SHAPES}
        for part, results in parts.items():
            for name, value in results:
                yield f"{part}: {dtype.__name__}: {name}", value
    for text in SCHEDULES:
        schedule = parse_learning_rate(text)
        yield f"schedule: {text}", np.array([schedule(epoch) for epoch in range(12)])
    for name in NETWORKS:
        for calculation in (steps, training):
            for what, value in calculation(name):
                yield f"{calculation.__name__}: {name}: {what}", value


if __name__ == "__main__":
    np.savez(sys.argv[1], **{name.replace("/", "_"): np.array(mo.to_numpy(value)) for name, value in calculate()})
