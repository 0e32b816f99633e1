"""The compiled training step of NumPy gives the numbers of the methods that it was compiled from."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nerva.datasets import DataLoader
from nerva.errors import NervaError
from nerva.loss_functions import parse_loss_function
from nerva.matrix_operations import (
    columns_mean,
    compile_epoch,
    hadamard,
    indicator,
    maximum,
    numpy_blas,
    numpy_denormals,
    numpy_graph,
    numpy_program,
    row_repeat,
    scalar,
    scale_add,
    where,
)
from nerva.matrix_operations.shared import NotCompilableError
from nerva.multilayer_perceptron import MultilayerPerceptron, parse_multilayer_perceptron
from nerva.optimizers import Attribute, MomentumOptimizer
from nerva.training import train_epoch

ACTIVATIONS = (
    "ReLU", "GELU", "SiLU", "Softplus", "HyperbolicTangent", "Sigmoid", "ELU(0.5)", "LeakyReLU(0.1)", "AllReLU(0.2)",
    "SReLU(al=0.1, tl=-0.4, ar=0.2, tr=0.5)",
)  # fmt: skip
OPTIMIZERS = (
    "GradientDescent", "Momentum(0.9)", "Nesterov(0.9)", "Adam", "AdamW(decay=0.2)", "RMSProp",
    "WeightDecay(Momentum(0.9), 0.1)", "WeightDecay(Adam, 0.1)", "ClipNorm(Momentum(0.9), 0.5)",
)  # fmt: skip
LOSSES = (
    ("SoftmaxCrossEntropy", "Linear"), ("SquaredError", "LogSoftmax"), ("CrossEntropy", "Softmax"),
    ("LogisticCrossEntropy", "Linear"), ("NegativeLogLikelihood", "Softmax"),
)  # fmt: skip
CASES = [
    *(([activation, "Linear"], "Momentum(0.9)", "SoftmaxCrossEntropy") for activation in ACTIVATIONS),
    *((["ReLU", "Linear"], optimizer, "SoftmaxCrossEntropy") for optimizer in OPTIMIZERS),
    *((["ReLU", output], "Momentum(0.9)", loss) for loss, output in LOSSES),
    *(
        (["ReLU", layer, "Linear"], "Momentum(0.9)", "SoftmaxCrossEntropy")
        for layer in ("BatchNormalization", "BatchNormalization(momentum=0.1)", "Dropout(0.3)")
    ),
]
EAGER = {"on_batch": lambda *_: None}  # with a function that observes each batch, nothing is compiled


def network(layers: list[str], sizes: list[int], optimizer: str) -> MultilayerPerceptron:
    """A network in float64."""
    rng = np.random.default_rng(1)
    trained = sum(not layer.startswith("Dropout") for layer in layers)
    M = parse_multilayer_perceptron(layers, sizes, [optimizer] * trained, ["HeNormal"] * (len(sizes) - 1), rng)
    for layer in M.layers:
        for owner in (layer, getattr(layer, "act", None)):
            for name, value in list(vars(owner).items() if owner else ()):
                if isinstance(value, np.ndarray):
                    setattr(owner, name, value.astype(np.float64))
        if layer.parameters:
            layer.set_optimizer(optimizer)
    return M


def data(inputs: int, samples: int, batch: int, seed: int = 2) -> DataLoader:
    rng = np.random.default_rng(0)
    return DataLoader(
        rng.normal(size=(samples, inputs)), rng.integers(0, 10, samples), batch, 10, np.random.default_rng(seed)
    )


def values(M: MultilayerPerceptron) -> dict[str, np.ndarray]:
    """All parameters, statistics and gradients."""
    gradients = {
        f"{i}.D{name}": getattr(layer, f"D{name}") for i, layer in enumerate(M.layers) for name in layer.parameters
    }
    return M.state() | gradients


def assert_agree(a: MultilayerPerceptron, b: MultilayerPerceptron) -> None:
    for (name, x), y in zip(values(a).items(), values(b).values(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11, err_msg=name)


def compute_in_parts(patch: pytest.MonkeyPatch, products: bool) -> None:
    """Let all matrices be computed in parts, of which the last is smaller; and products as well, as with MKL."""
    patch.setattr(numpy_graph, "_LARGE", 4)
    patch.setattr(numpy_program, "_PART", 60)
    patch.setattr(numpy_program, "_PART_OF_PRODUCT", 60)
    patch.setattr(numpy_program, "_MIN_ROWS_OF_PRODUCT", 2)
    library = numpy_blas.find()
    if products and library:
        patch.setattr(numpy_blas, "find", lambda: replace(library, has_fast_parts=True))


@pytest.mark.parametrize("large", ["", "in parts", "products in parts"])
@pytest.mark.parametrize(("layers", "optimizer", "loss"), CASES, ids=str)
def test_each_component_gives_the_same_numbers(
    layers: list[str], optimizer: str, loss: str, large: str, monkeypatch
) -> None:
    if large:
        compute_in_parts(monkeypatch, products="products" in large)
    compiled, eager = (network(layers, [20, 31, 10], optimizer) for _ in range(2))
    function = parse_loss_function(loss)
    loaders = data(20, 70, 16), data(20, 70, 16)
    for eta in (0.003, 0.002):
        train_epoch(compiled, function, eta, loaders[0])
        train_epoch(eager, function, eta, loaders[1], **EAGER)
    assert compiled.compiled.may_compile
    assert ("for x0" in source(compiled)) == bool(large)
    assert_agree(compiled, eager)
    np.testing.assert_array_equal(compiled.layers[0].X, eager.layers[0].X)  # the last batch


def source(M: MultilayerPerceptron) -> str:
    """The code of the compiled step."""
    return M.compiled._run_epoch.compiled.source


def train(M: MultilayerPerceptron, loader: DataLoader | None = None, **options: Any) -> MultilayerPerceptron:
    train_epoch(M, parse_loss_function("SoftmaxCrossEntropy"), 0.01, loader or data(20, 70, 16), **options)
    return M


def momentum() -> MultilayerPerceptron:
    return network(["ReLU", "Linear"], [20, 31, 10], "Momentum(0.9)")


def test_the_arrays_of_the_network_stay_the_same() -> None:
    M = momentum()
    before = values(M)
    train(M)
    assert all(x is before[name] for name, x in values(M).items())


def test_an_update_by_momentum_is_one_product() -> None:
    text = source(train(momentum()))
    assert text.count("gemm_") == 3 + 2  # two outputs, one gradient of an input, and two updates


def test_without_cblas_numpy_multiplies(monkeypatch) -> None:
    monkeypatch.setattr(numpy_blas, "find", lambda: None)
    assert_agree(train(momentum()), train(momentum(), **EAGER))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("blis", 'should be numpy or mkl, not "blis"'), ("mkl", r"needs the package mkl: pip install")],
)
def test_a_blas_that_is_not_there(monkeypatch, wanted: str, message: str) -> None:
    monkeypatch.setenv("NERVA_BLAS", wanted)
    monkeypatch.setattr(numpy_blas, "_mkl", lambda: None)
    with pytest.raises(NervaError, match=message):
        numpy_blas.find.__wrapped__()


def test_the_step_is_compiled_again_for_other_arrays_and_batches() -> None:
    compiled, eager = momentum(), momentum()
    for M, options in ((compiled, {}), (eager, EAGER)):
        train(M, **options)
        M.layers[0].W = M.layers[0].W.copy()
        train(M, **options)
        train(M, data(20, 70, 13), **options)
        train(M, data(20, 5, 13), **options)  # a single batch
    assert_agree(compiled, eager)


def test_a_copy_of_a_network_is_trained_by_itself() -> None:
    M = train(momentum())
    other, before = copy.deepcopy(M), M.state()["W1"].copy()
    train(other)
    np.testing.assert_array_equal(M.state()["W1"], before)
    assert_agree(train(M), other)


@pytest.mark.parametrize(
    "change",
    [
        *("column order", "one array in two layers", "a view", "gaps", "a number of NumPy", "float32 inputs"),
        *("a subclass of the network", "another method of the network", "a layer that raises"),
    ],
)
def test_what_cannot_be_compiled_is_computed_as_it_is_written(change: str) -> None:
    def changed() -> tuple[MultilayerPerceptron, DataLoader]:
        M, loader = network(["ReLU", "ReLU", "Linear"], [20, 20, 20, 10], "GradientDescent"), data(20, 70, 16)
        first, second, _ = M.layers
        if change == "column order":
            first.W = np.asfortranarray(first.W)
        elif change == "one array in two layers":
            second.W = first.W
        elif change == "a view":
            second.W = first.W[:, ::1]
        elif change == "a subclass of the network":
            M = Decaying(M.layers)
        elif change == "another method of the network":
            M.optimize = lambda eta: MultilayerPerceptron.optimize(M, eta / 2)
        elif change == "a layer that raises":
            first.act = Suspicious(0.5)
        elif change == "gaps":
            first.set_optimizer("Momentum(0.9)")
            first.optimizer.optimizers[0].delta_x = np.zeros((20, 40))[:, ::2]
        elif change == "a number of NumPy":
            first.act = Scaled(np.float64(0.5))
        else:
            loader = DataLoader(loader.Xdata.astype(np.float32), loader.Tdata, 16, 10, np.random.default_rng(2))
        return M, loader

    (compiled, loader), (eager, other) = changed(), changed()
    train(compiled, loader)
    assert not compiled.compiled.may_compile
    train(eager, other, **EAGER)
    for name, x in values(compiled).items():
        np.testing.assert_array_equal(x, values(eager)[name])


class Decaying(MultilayerPerceptron):
    """A network whose learning rate decreases in each step."""

    steps = 0

    def optimize(self, eta: float) -> None:
        self.steps += 1
        super().optimize(eta / self.steps)


class Scaled:
    """An activation function whose number may be one of NumPy, which is not compiled."""

    state = ()
    compilable = True

    def __init__(self, a: Any) -> None:
        self.a = a

    def __call__(self, X: Any) -> Any:
        return X * self.a

    def gradient(self, X: Any) -> Any:
        return 0 * X + self.a


def test_numbers_that_are_infinite_zero_or_minus_zero() -> None:
    def step(variables: list[Any], X: Any, T: Any, eta: Any) -> list[Any]:
        A, B, number = variables
        return [maximum(A, -np.inf) / -0.0, B / 0.0 + number, number * np.inf]

    ones = np.ones((2, 2))
    for number in (1.0, 0.0):
        after = compile_epoch(step)([ones.copy(), ones.copy(), number], ones, ones, [np.arange(2)], 0.1)
        for a, b in zip(after, [-np.inf * ones, np.inf * ones, number * np.inf], strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_exception_in_an_epoch_keeps_what_was_computed_before_it() -> None:
    def step(variables: list[Any], X: Any, T: Any, eta: Any) -> list[Any]:
        A, count = variables
        return [A + 1, count + 1]

    variables: list[Any] = [np.zeros((2, 2)), 0]
    batches = [np.arange(2)] * 3 + ["not a batch"]
    with pytest.raises(ValueError, match="batch"):
        compile_epoch(step)(variables, np.ones((2, 2)), np.ones((2, 2)), batches, 0.1)
    assert variables[0].tolist() == [[3, 3], [3, 3]]
    assert variables[1] == 3


class Suspicious(Scaled):
    """An activation function that refuses what is no array."""

    compilable = True

    def __call__(self, X: Any) -> Any:
        if not isinstance(X, np.ndarray):
            raise TypeError("this is no array")
        return super().__call__(X)


class Product(Scaled):
    """An activation function with a product of repeated rows."""

    compilable = True

    def __call__(self, X: Any) -> Any:
        means = row_repeat(columns_mean(X), X.shape[0])
        return X - self.a * (means @ (X.T @ X))


def test_repeated_rows_may_be_multiplied() -> None:
    networks = momentum(), momentum()
    for M, options in zip(networks, ({}, EAGER), strict=True):
        M.layers[0].act = Product(0.01)
        train(M, **options)
    assert networks[0].compiled.may_compile
    assert_agree(*networks)


def test_inputs_in_column_order(monkeypatch) -> None:
    networks = momentum(), momentum()
    for M, options in zip(networks, ({}, EAGER), strict=True):
        loader = data(20, 70, 16)
        loader.Xdata = np.asfortranarray(loader.Xdata)
        train(M, loader, **options)
    assert_agree(*networks)


@pytest.mark.parametrize("layer", ["BatchNormalization(momentum=0.1)", "Dropout(0.3)"])
def test_a_step_is_compiled_once(layer: str) -> None:
    M, loader = network(["ReLU", layer, "Linear"], [20, 31, 10], "Adam"), data(20, 70, 16)
    loss = parse_loss_function("SoftmaxCrossEntropy")
    steps = []
    for eta in (0.1, 0.2, 0.3):
        train_epoch(M, loss, eta, loader)
        steps.append(M.compiled._run_epoch.compiled)
    assert steps[1] is steps[2] is steps[0] is not None


class Halving(MomentumOptimizer):
    """An optimizer with a number in its state that begins as an integer."""

    compilable = True
    state = ("factor",)

    def __init__(self, x: Any, Dx: Any) -> None:
        super().__init__(x, Dx, 0.9)
        self.factor = 1

    def update(self, eta: float) -> None:
        self.factor = self.factor * 0.5
        super().update(scalar(eta) * self.factor)


def test_an_integer_in_a_state_may_become_a_float() -> None:
    networks = momentum(), momentum()
    loss = parse_loss_function("SoftmaxCrossEntropy")
    for M, options in zip(networks, ({}, EAGER), strict=True):
        layer, loader = M.layers[0], data(20, 70, 16)
        layer.optimizer = Halving(Attribute(layer, "W"), Attribute(layer, "DW"))
        for _ in range(2):
            train_epoch(M, loss, 0.1, loader, **options)
        assert layer.optimizer.factor == 0.5**10
    assert networks[0].compiled.may_compile
    assert_agree(*networks)


def test_an_update_in_parts_does_not_overwrite_what_later_parts_read() -> None:
    def step(variables: list[Any], X: Any, T: Any, eta: Any) -> list[Any]:
        W, M, P = variables
        M = 0.9 * M + 0.1 * (P @ W)
        return [W + M, M, P]

    rng = np.random.default_rng(0)
    W, M, P = expected = [rng.normal(size=shape) for shape in ((6, 8), (6, 8), (6, 6))]
    expected = step(expected, None, None, None)
    with pytest.MonkeyPatch.context() as patch:
        compute_in_parts(patch, products=True)
        patch.setattr(numpy_program, "_PART_OF_PRODUCT", 16)
        computed = compile_epoch(step)([W, M, P], W, W, [np.arange(6)], 0.1)
    for a, b in zip(computed, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_denormal_numbers_become_zero_only_while_the_step_runs() -> None:
    M = momentum()
    delta = M.layers[0].optimizer.optimizers[0].delta_x
    delta[...] = 1e-310
    M.layers[0].W[...] = M.layers[0].b[...] = 0  # so that all gradients of this layer are 0
    M.layers[1].W[...] = 0
    train(M)
    if numpy_denormals.REGISTER is not None:
        assert not delta.any()
    assert (np.full(3, 1e-310) * 0.5).all()


# --- any step ---------------------------------------------------------------------------------------------------------

# Operations on square matrices and on a number: what a step of any components may consist of.
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda A, B: A + B,
    lambda A, B: A - B,
    hadamard,
    lambda A, B: A @ B,
    lambda A, B: A.T @ B,
    lambda A, B: A + 0.5 * (A.T @ B),
    lambda A, B: 0.9 * A + -0.1 * (A @ B),
    lambda A, B: scale_add(1, A + 0, 0.2, B),  # which changes its argument
    lambda A, B: where(A > B, A, 0.5, like=A),
    lambda A, B: A - row_repeat(columns_mean(B), len(A)),
    lambda A, B: A.T,
    lambda A, B: maximum(A, 0) / 3,
    lambda A, B: np.tanh(B),
    lambda A, B: row_repeat(columns_mean(A), len(A)) @ B,
    lambda A, B: hadamard(A, indicator(indicator(A > 0, like=B) > 0.5, like=A)),
]


@settings(max_examples=400, deadline=None)
@given(
    operations=st.lists(st.tuples(st.integers(0, len(BINARY) - 1), st.integers(0, 9), st.integers(0, 9)), max_size=12),
    results=st.lists(st.integers(0, 15), min_size=3, max_size=3),
    large=st.sampled_from(["", "in parts", "products in parts"]),
)
def test_any_step_gives_the_same_numbers(operations, results, large: str) -> None:
    def step(variables: list[Any], X: Any, T: Any, eta: Any) -> list[Any]:
        *matrices, number = variables
        matrices = [*matrices, X, T]
        for index, i, j in operations:
            matrices.append(BINARY[index](matrices[i % len(matrices)], matrices[j % len(matrices)]))
        A, B, C = (np.tanh(matrices[-1 - i % len(matrices)]) for i in results)
        updates = [scale_add(0.9, variables[0] + 0, eta * number, A @ B), 0.5 * variables[1] + B @ variables[1], 2 * C]
        return [*updates, number * 0.9]

    rng = np.random.default_rng(0)
    n = 5
    X, T = rng.normal(size=(20, n)), rng.normal(size=(20, n))
    batches = [rng.permutation(20)[:n] for _ in range(3)]
    expected = [*(rng.normal(size=(n, n)) for _ in range(3)), 0.7]
    computed = copy.deepcopy(expected)
    for rows in batches:
        expected = step(expected, X[rows], T[rows], 0.3)
    with pytest.MonkeyPatch.context() as patch:
        if large:
            compute_in_parts(patch, products="products" in large)
            patch.setattr(numpy_program, "_PART", 10)
            patch.setattr(numpy_program, "_PART_OF_PRODUCT", 10)
        computed = compile_epoch(step)(computed, X, T, batches, 0.3)
    for a, b in zip(computed, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "step",
    [
        lambda A, B: [B, A],  # exchanged
        lambda A, B: [A @ B] * 2,  # the same result twice
        lambda A, B: [A.T, A @ B],  # a view of another variable
        lambda A, B: [A + 1, B if A[0, 0] > 0 else A],  # a decision by a value
        lambda A, B: [np.cumsum(A, axis=0), B],  # a function that is not traced
        lambda A, B: [A[:2], B],  # another shape
        lambda A, B: [np.add(A, B, out=A), B],  # a result that is written into an argument
        lambda A, B: [A + np.sum(A > 0, axis=0), B],  # integers
        lambda A, B: [A + np.sum(A, axis=-1), B],
        lambda A, B: [A + columns_mean(B)[-1], B],
        lambda A, B: [np.sum(A, axis=1, keepdims=True) + A, B],  # an option that is not traced
        lambda A, B: [A * np.float32(0.5), B],
        lambda A, B: [A * ((A > 0) * 2), B],
    ],
)
def test_a_step_that_is_no_function_of_its_variables_is_refused(step) -> None:
    rng = np.random.default_rng(0)
    A, B, X = (rng.normal(size=(5, 5)) for _ in range(3))
    with pytest.raises(NotCompilableError):
        compile_epoch(lambda v, X, T, eta: step(*v))([A, B], X, X, [np.arange(5)], 0.1)
