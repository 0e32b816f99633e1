"""Layers, optimizers and networks: gradients, dtypes, shapes, saving and loading."""

import ast
import inspect
from collections.abc import Callable

import numpy as np
import pytest

from nerva.activation_functions import ACTIVATIONS, ReLUActivation
from nerva.errors import NervaError
from nerva.layers import LAYERS as KNOWN_LAYERS
from nerva.layers import (
    ActivationLayer,
    BatchNormalizationLayer,
    DropoutLayer,
    Layer,
    LinearLayer,
    SReLULayer,
    has_weights,
    layer_registry,
    parse_layer,
    parse_linear_layer,
)
from nerva.learning_rate import parse_learning_rate
from nerva.loss_functions import parse_loss_function
from nerva.multilayer_perceptron import (
    MultilayerPerceptron,
    load_multilayer_perceptron,
    parse_multilayer_perceptron,
)
from nerva.optimizers import OPTIMIZERS as KNOWN_OPTIMIZERS
from nerva.optimizers import MomentumOptimizer, parse_optimizer
from nerva.training import stochastic_gradient_descent, stochastic_gradient_descent_plain
from tests.helpers import assert_gradient

LAYERS = ["Linear", "ReLU", "LeakyReLU(0.1)", "AllReLU(0.2)", "HyperbolicTangent", "Sigmoid", "ELU", "GELU", "SiLU"]
LAYERS += ["Softplus", "SReLU(al=0.1, tl=-0.2, ar=0.3, tr=0.4)", "Softmax", "LogSoftmax", "BatchNormalization"]
LAYERS += ["BatchNormalization(0.1)", "Dropout(0.3)"]
OPTIMIZERS = ["GradientDescent", "Momentum(0.9)", "Nesterov(mu=0.9)", "Adam", "AdamW(decay=0.1)", "RMSProp"]
OPTIMIZERS += ["WeightDecay(Momentum(0.9), 0.1)", "ClipNorm(Adam, 0.5)"]
SHAPES = [(3, 4, 2), (1, 1, 1), (1, 5, 3), (6, 1, 1)]


def make(layer: str, D: int, K: int, dtype: type, optimizer: str = "GradientDescent") -> Layer:
    """A layer with random parameters."""
    rng = np.random.default_rng(1)
    built = parse_layer(layer, D, K, rng)
    for name in built.parameters:
        if name != "x":
            setattr(built, name, rng.normal(size=getattr(built, name).shape))
        setattr(built, name, getattr(built, name).astype(dtype))
    built.set_optimizer(optimizer)
    return built


def test_every_component_is_tested() -> None:
    tested = {specification.split("(")[0] for specification in LAYERS}
    assert tested == set(ACTIVATIONS.components) | set(KNOWN_LAYERS.components)
    assert {specification.split("(")[0] for specification in OPTIMIZERS} == set(KNOWN_OPTIMIZERS.components)


@pytest.mark.parametrize("parse", [parse_layer, parse_linear_layer, has_weights, layer_registry, MultilayerPerceptron])
def test_generic_code_names_no_particular_component(parse: Callable[..., object]) -> None:
    """Editing a component must not change runs that do not use it."""
    components = {
        component.__name__ for registry in (ACTIVATIONS, KNOWN_LAYERS) for component in registry.components.values()
    }
    components |= {"SReLULayer"}
    names = {node.id for node in ast.walk(ast.parse(inspect.getsource(parse))) if isinstance(node, ast.Name)}
    assert names & components <= {"LinearLayer"}  # the base class of all layers with weights


def test_srelu_is_a_layer_with_trained_parameters() -> None:
    layer = parse_layer("SReLU(0.1, tr=2)", 3, 2)
    assert isinstance(layer, SReLULayer)
    assert repr(layer) == "SReLU(al=0.1, tl=0.0, ar=0.0, tr=2.0)"
    assert has_weights("SReLU")
    assert KNOWN_LAYERS.canonical("SReLU") == ACTIVATIONS.canonical("SReLU") == "SReLU(al=0.0, tl=0.0, ar=0.0, tr=1.0)"
    with pytest.raises(NervaError, match="the threshold tl should be no more than tr"):
        parse_layer("SReLU(tl=2)", 3, 2)


def test_srelu_can_be_saved_when_training_has_moved_its_thresholds_past_each_other(tmp_path) -> None:
    M = MultilayerPerceptron([parse_layer("SReLU(0.1, tr=2)", 3, 2)])
    M.layers[0].x[:] = [0.5, 3, -2, 1]
    M.save(tmp_path / "network.npz")
    again = load_multilayer_perceptron(tmp_path / "network.npz")
    X = np.linspace(-4, 4, 9, dtype=np.float32).reshape(3, 3)
    np.testing.assert_array_equal(again.layers[0].act(X), M.layers[0].act(X))
    np.testing.assert_array_equal(M.layers[0].act.gradient(X), np.where(X <= 3, 0.5, -2).astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("specification", LAYERS)
def test_gradients(specification: str, shape: tuple[int, int, int]) -> None:
    N, D, K = shape
    rng = np.random.default_rng(3)
    layer = make(specification, D, K, np.float64)
    X, DY = rng.normal(size=(N, D)), rng.normal(size=(N, layer.output_size()))
    Y = layer.feedforward(X)
    layer.backpropagate(Y, DY)
    computed = {name: np.array(getattr(layer, f"D{name}")) for name in ("X", *layer.parameters)}
    dropped = getattr(layer, "R", None)

    def loss(name: str, value: np.ndarray) -> float:
        """The loss with another value for the inputs or a parameter."""
        old = X if name == "X" else getattr(layer, name)
        if name != "X":
            setattr(layer, name, value)
        inputs = value if name == "X" else X
        # The same elements are dropped again.
        Y = layer.feedforward(inputs) if dropped is None else inputs * dropped / (1 - layer.p)
        if name != "X":
            setattr(layer, name, old)
        return float((Y * DY).sum())

    for name, gradient in computed.items():
        at = X if name == "X" else getattr(layer, name)
        assert_gradient(gradient, lambda value, name=name: loss(name, value), at)


@pytest.mark.parametrize("eta", [0.1, np.float64(0.1), np.float32(0.1)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("specification", LAYERS)
def test_float32_stays_float32(specification: str, optimizer: str, eta: float) -> None:
    layer = make(specification, 4, 3, np.float32, optimizer)
    X = np.ones((2, 4), np.float32)
    for _ in range(2):
        Y = layer.feedforward(X)
        layer.backpropagate(Y, Y)
        layer.optimize(eta)
    names = [*layer.parameters, *(f"D{name}" for name in layer.parameters), *layer.statistics]
    arrays = [Y, layer.DX, layer.evaluate(X), *(getattr(layer, name) for name in names)]
    assert [a.dtype for a in arrays] == [np.float32] * len(arrays)


@pytest.mark.parametrize("specification", LAYERS)
def test_wrong_shapes_are_reported_with_the_layer(specification: str) -> None:
    layer = make(specification, 4, 3, np.float32)
    name = specification.split("(")[0]
    for X in (np.ones((2, 5), np.float32), np.ones(4, np.float32)):
        with pytest.raises(NervaError, match=rf"layer {name}.* takes N×4 inputs, not inputs of shape"):
            layer.feedforward(X)
    Y = layer.feedforward(np.ones((2, 4), np.float32))
    with pytest.raises(NervaError, match=rf"layer {name}.* gave outputs of shape \(2, \d\), but DY has shape \(3, 3\)"):
        layer.backpropagate(Y, np.ones((3, 3), np.float32))


def test_dropout() -> None:
    X = np.ones((1000, 50), np.float32)
    layer, same = (DropoutLayer(50, 0.3, np.random.default_rng(5)) for _ in range(2))
    Y = layer.feedforward(X)
    assert set(np.unique(Y)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert (Y == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert Y.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(Y, same.feedforward(X))
    assert (layer.feedforward(X) != Y).any()
    assert layer.evaluate(X) is X
    with pytest.raises(NervaError, match="less than 1, not 1"):
        DropoutLayer(3, 1)


def test_batch_normalization_with_and_without_running_averages() -> None:
    rng = np.random.default_rng(0)
    by_batch, by_average = BatchNormalizationLayer(3), BatchNormalizationLayer(3, momentum=0.2)
    for _ in range(60):
        X = rng.normal([1, 2, 3], [0.5, 1, 2], size=(500, 3)).astype(np.float32)
        Y = by_batch.feedforward(X)
        np.testing.assert_allclose(Y.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(Y.std(axis=0), 1, atol=1e-3)
        np.testing.assert_array_equal(by_average.feedforward(X), Y)
    np.testing.assert_allclose(by_average.running_mean, [1, 2, 3], atol=0.1)
    np.testing.assert_allclose(by_average.running_Sigma, [0.25, 1, 4], rtol=0.1)
    one = np.array([[1.5, 2, 3]], np.float32)
    np.testing.assert_allclose(by_average.evaluate(one), [[1, 0, 0]], atol=0.15)
    np.testing.assert_array_equal(by_batch.evaluate(one), 0)  # a batch of one has only its own mean
    with pytest.raises(NervaError, match="momentum should be greater than 0 and at most 1, not 2"):
        BatchNormalizationLayer(3, momentum=2)


def test_update_rules() -> None:
    x, Dx = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    descent = parse_optimizer("GradientDescent")(x.copy(), Dx)
    descent.update(0.1)
    np.testing.assert_allclose(descent.x, x - 0.1 * Dx)
    momentum = parse_optimizer("Momentum(0.9)")(x.copy(), Dx)
    nesterov = parse_optimizer("Nesterov(0.9)")(x.copy(), Dx)
    for optimizer in (momentum, nesterov):
        optimizer.update(0.1)
        optimizer.update(0.1)
    d1 = -0.1 * Dx
    d2 = 0.9 * d1 - 0.1 * Dx
    np.testing.assert_allclose(momentum.x, x + d1 + d2)
    np.testing.assert_allclose(nesterov.x, x + (0.9 * d1 - 0.1 * Dx) + (0.9 * d2 - 0.1 * Dx))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_replaced_parameter_is_trained(optimizer: str) -> None:
    layer = make("Linear", 2, 2, np.float32, optimizer)
    layer.W = np.ones((2, 2), np.float32)
    layer.backpropagate(layer.feedforward(np.ones((1, 2), np.float32)), np.ones((1, 2), np.float32))
    layer.optimize(0.5)
    assert (layer.W < 1).all()


def test_an_optimizer_of_arrays_uses_new_gradients() -> None:
    """In nerva-numpy, an optimizer shares the arrays of its layer."""
    layer = make("ReLU", 2, 2, np.float32)
    layer.optimizer = MomentumOptimizer(layer.W, layer.DW, 0.9)
    before = layer.W.copy()
    layer.backpropagate(layer.feedforward(np.ones((3, 2), np.float32)), np.ones((3, 2), np.float32))
    layer.optimize(0.1)
    np.testing.assert_allclose(layer.W, before - np.float32(0.1) * layer.DW, rtol=1e-6)
    assert (before != layer.W).any()


def test_network_gradient() -> None:
    rng = np.random.default_rng(0)
    M = MultilayerPerceptron([make("HyperbolicTangent", 3, 4, np.float64), make("Linear", 4, 2, np.float64)])
    X, DY = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    M.backpropagate(M.feedforward(X), DY)
    assert_gradient(M.layers[0].DX, lambda X: float((M.feedforward(X) * DY).sum()), X)


def test_weights_are_saved_and_loaded_bit_for_bit(tmp_path) -> None:
    M, other = (
        parse_multilayer_perceptron(
            ["ReLU", "Linear"], [3, 4, 2], ["GradientDescent"] * 2, ["HeNormal"] * 2, np.random.default_rng(seed)
        )
        for seed in (0, 1)
    )
    M.save_weights_and_bias(tmp_path / "weights.npz")
    other.load_weights_and_bias(tmp_path / "weights.npz")
    for name, x in M.weights_and_bias().items():
        np.testing.assert_array_equal(x, other.weights_and_bias()[name])
    assert list(M.weights_and_bias()) == ["W1", "b1", "W2", "b2"]


def test_weights_of_another_shape_are_refused(tmp_path) -> None:
    MultilayerPerceptron([LinearLayer(3, 2)]).save_weights_and_bias(tmp_path / "weights.npz")
    with pytest.raises(NervaError, match=r"weights\.npz: W1 has shape \(2, 3\), but \(2, 4\) is expected"):
        MultilayerPerceptron([LinearLayer(4, 2)]).load_weights_and_bias(tmp_path / "weights.npz")
    with pytest.raises(NervaError, match="has no W2"):
        MultilayerPerceptron([LinearLayer(3, 2), LinearLayer(2, 2)]).load_weights_and_bias(tmp_path / "weights.npz")
    with pytest.raises(NervaError, match="no such file"):
        MultilayerPerceptron([]).load_weights_and_bias(tmp_path / "elsewhere.npz")


EVERYTHING = ["ReLU", "BatchNormalization(0.1)", "Dropout(0.2)", "SReLU", "Softmax"]


def everything(seed: int) -> MultilayerPerceptron:
    M = parse_multilayer_perceptron(
        EVERYTHING, [3, 4, 5, 2], ["Adam"] * 4, ["HeNormal"] * 3, np.random.default_rng(seed)
    )
    for _ in range(3):
        Y = M.feedforward(np.random.default_rng(seed).normal(size=(7, 3)).astype(np.float32))
        M.backpropagate(Y, Y)
        M.optimize(0.1)
    return M


def test_a_whole_network_is_saved_and_loaded_bit_for_bit(tmp_path) -> None:
    M = everything(1)
    M.save(tmp_path / "network.npz")
    other = load_multilayer_perceptron(tmp_path / "network.npz")
    assert [repr(layer) for layer in other.layers[:3]] == ["ReLU", "BatchNormalization(momentum=0.1)", "Dropout(p=0.2)"]
    assert list(M.state()) == [
        *("W1", "b1", "W2", "b2", "W3", "b3"),
        *("2.beta", "2.gamma", "2.running_mean", "2.running_Sigma", "4.x"),
    ]
    for name, x in M.state().items():
        np.testing.assert_array_equal(x, other.state()[name])
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(M.evaluate(X), other.evaluate(X))
    # Weights and biases alone can be loaded from the file as well.
    third = everything(2)
    third.load_weights_and_bias(tmp_path / "network.npz")
    np.testing.assert_array_equal(third.layers[4].W, M.layers[4].W)
    assert (third.layers[1].gamma != M.layers[1].gamma).any()


class Doubled(LinearLayer):
    """A layer that prints itself as another one."""


class DoubledReLU(ReLUActivation):
    """An activation that prints itself as another one."""


@pytest.mark.parametrize("layer", [Doubled(3, 2), ActivationLayer(3, 2, DoubledReLU())])
def test_a_layer_whose_specification_gives_another_layer_is_not_saved(tmp_path, layer: Layer) -> None:
    with pytest.raises(NervaError, match=r"layer 1 can't be saved: (Linear|ReLU) does not name a"):
        MultilayerPerceptron([layer]).save(tmp_path / "network.npz")
    assert not list(tmp_path.iterdir())


class PlainLayer:
    """A layer written for nerva-numpy, without a base class."""

    def feedforward(self, X: np.ndarray) -> np.ndarray:
        self.X = X
        return 2 * X

    def backpropagate(self, Y: np.ndarray, DY: np.ndarray) -> None:
        self.DX = 2 * DY

    def optimize(self, eta: float) -> None:
        pass


class PlainLoader:
    """A loader written for nerva-numpy."""

    dataset = np.ones((3, 4), np.float32)

    def __iter__(self):
        yield self.dataset, np.eye(3, dtype=np.float32)

    def __len__(self) -> int:
        return 1


def test_layers_and_loaders_written_for_the_reference(capsys) -> None:
    M = MultilayerPerceptron([PlainLayer(), make("Linear", 4, 3, np.float32)])
    loss = parse_loss_function("SquaredError")
    records = stochastic_gradient_descent(
        M, 2, loss, parse_learning_rate("Constant(0.001)"), PlainLoader(), PlainLoader()
    )
    assert records[-1].train_loss < records[0].train_loss
    optimizer = parse_optimizer("GradientDescent")(np.ones(2), np.ones(2))
    optimizer.Dx = np.array([2.0, 3.0])
    optimizer.update(0.1)
    np.testing.assert_allclose(optimizer.x, [0.8, 0.7])


def test_a_single_output() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)).astype(np.float32)
    T = X @ np.array([[1], [2], [-1], [0.5]], np.float32)
    M = MultilayerPerceptron([make("Linear", 4, 1, np.float32, "Momentum(0.9)")])
    loss = parse_loss_function("SquaredError")
    stochastic_gradient_descent_plain(M, X, T, loss, parse_learning_rate("Constant(0.02)"), 60, 10, False)
    np.testing.assert_allclose(M.layers[0].W, [[1, 2, -1, 0.5]], atol=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64])
@pytest.mark.parametrize("specification", LAYERS)
def test_integers_are_converted_to_float32(specification: str, dtype: type) -> None:
    layer = make(specification, 4, 3, np.float32)
    X = np.ones((2, 4), dtype)
    Y = layer.feedforward(X)
    layer.backpropagate(Y, Y)
    assert (Y.dtype, layer.DX.dtype, layer.evaluate(X).dtype) == (np.float32,) * 3


def test_files_without_a_whole_network_are_refused(tmp_path) -> None:
    M = everything(1)
    M.save_weights_and_bias(tmp_path / "weights.npz")
    with pytest.raises(NervaError, match=r"weights\.npz has no architecture; it has W1, b1"):
        load_multilayer_perceptron(tmp_path / "weights.npz")
    arrays = M.to_dict()
    np.savez(tmp_path / "part.npz", **{name: x for name, x in arrays.items() if name != "2.gamma"})
    with pytest.raises(NervaError, match=r"part\.npz has no 2\.gamma"):
        load_multilayer_perceptron(tmp_path / "part.npz")
    arrays["architecture"] = np.array(['[["Unknown", 3, 4]]'])
    np.savez(tmp_path / "unknown.npz", **arrays)
    with pytest.raises(NervaError, match='unknown layer "Unknown"'):
        load_multilayer_perceptron(tmp_path / "unknown.npz")


def test_a_check_names_the_first_number_that_is_not_finite() -> None:
    M = everything(1)
    X = np.zeros((2, 3), np.float32)
    X[1, 2] = np.nan
    with np.errstate(invalid="ignore"):
        M.feedforward(X)  # not checked by default
    M.check = True
    with pytest.raises(NervaError, match=r"the input of layer 1 \(ReLU\) has nan in row 1, column 2"):
        M.feedforward(X)
    M = everything(1)
    M.check = True
    for use in (M.feedforward, M.evaluate):
        M.layers[3].W[0, 1] = np.inf
        with pytest.raises(NervaError, match=r"W of layer 4 \(SReLU.*\) has inf in row 0, column 1"):
            use(np.ones((20, 3), np.float32))
    M = everything(1)
    M.check = True
    Y = M.feedforward(np.ones((2, 3), np.float32))
    with pytest.raises(
        NervaError, match=r"the gradient of the output of layer 5 \(Softmax\) has inf in row 0, column 1"
    ):
        M.backpropagate(Y, np.array([[0, np.inf], [0, 0]], np.float32))


def test_the_numbers_of_specifications_must_match() -> None:
    with pytest.raises(NervaError, match="2 layers with weights need 3 sizes, not 2"):
        parse_multilayer_perceptron(["ReLU", "Linear"], [3, 2], ["GradientDescent"] * 2, ["Zero"] * 2)
    with pytest.raises(NervaError, match="1 layers with parameters need 1 optimizers, not 2"):
        parse_multilayer_perceptron(["Linear"], [3, 2], ["GradientDescent"] * 2, ["Zero"])


def test_only_layers_with_weights_are_linear() -> None:
    with pytest.raises(NervaError, match='"Dropout" is not a layer with weights'):
        parse_linear_layer("Dropout", 2, 2, "Adam", "HeNormal")


def test_input_and_output_sizes() -> None:
    layer = ActivationLayer(3, 2, make("ReLU", 3, 2, np.float32).act)
    assert (layer.input_size(), layer.output_size()) == (3, 2)
