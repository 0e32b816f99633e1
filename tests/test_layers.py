"""Layers and optimizers: gradients by differences, dtypes, shapes, parameters that are rebound."""

import numpy as np
import pytest

from nerva.layers import ActivationLayer, LinearLayer, parse_linear_layer
from nerva.multilayer_perceptron import MultilayerPerceptron, parse_multilayer_perceptron
from nerva.optimizers import MomentumOptimizer, parse_optimizer
from nerva.utilities import NervaError
from tests.conftest import assert_gradient

LAYERS = ["Linear", "ReLU", "LeakyReLU(0.1)", "AllReLU(0.2)", "HyperbolicTangent", "Sigmoid"]
OPTIMIZERS = ["GradientDescent", "Momentum(0.9)", "Nesterov(mu=0.9)"]
SHAPES = [(3, 4, 2), (1, 1, 1), (1, 5, 3), (6, 1, 1)]


def make(layer: str, D: int, K: int, dtype: type, optimizer: str = "GradientDescent") -> LinearLayer:
    made = parse_linear_layer(layer, D, K, optimizer, "XavierNormal", np.random.default_rng(1))
    made.W = made.W.astype(dtype)
    made.b = np.linspace(-0.5, 0.6, K).astype(dtype)
    return made


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("specification", LAYERS)
def test_gradients(specification: str, shape: tuple[int, int, int]) -> None:
    N, D, K = shape
    rng = np.random.default_rng(3)
    X, DY = rng.normal(size=(N, D)), rng.normal(size=(N, K))
    layer = make(specification, D, K, np.float64)
    layer.backpropagate(layer.feedforward(X), DY)
    DW, Db, DX = layer.DW.copy(), layer.Db.copy(), layer.DX

    def loss(X: np.ndarray, W: np.ndarray, b: np.ndarray) -> float:
        layer.W, layer.b = W, b
        return float((layer.feedforward(X) * DY).sum())

    W, b = layer.W, layer.b
    assert_gradient(DX, lambda X: loss(X, W, b), X)
    assert_gradient(DW, lambda W: loss(X, W, b), W)
    assert_gradient(Db, lambda b: loss(X, W, b), b)


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
    arrays = (Y, layer.DX, layer.W, layer.b, layer.DW, layer.Db)
    assert [a.dtype for a in arrays] == [np.float32] * len(arrays)


def test_updates() -> None:
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
def test_a_parameter_that_is_rebound_goes_on_training(optimizer: str) -> None:
    layer = make("Linear", 2, 2, np.float32, optimizer)
    layer.W = np.ones((2, 2), np.float32)
    layer.backpropagate(layer.feedforward(np.ones((1, 2), np.float32)), np.ones((1, 2), np.float32))
    layer.optimize(0.5)
    assert (layer.W < 1).all()


def test_an_optimizer_made_of_arrays_sees_new_gradients() -> None:
    """The idiom of nerva-numpy: the optimizer shares the layer's arrays."""
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


def test_weights_that_do_not_fit_are_refused(tmp_path) -> None:
    MultilayerPerceptron([LinearLayer(3, 2)]).save_weights_and_bias(tmp_path / "weights.npz")
    with pytest.raises(NervaError, match=r"weights\.npz: W1 is \(2, 3\), but the network's is \(2, 4\)"):
        MultilayerPerceptron([LinearLayer(4, 2)]).load_weights_and_bias(tmp_path / "weights.npz")
    with pytest.raises(NervaError, match="has no W2"):
        MultilayerPerceptron([LinearLayer(3, 2), LinearLayer(2, 2)]).load_weights_and_bias(tmp_path / "weights.npz")
    with pytest.raises(NervaError, match="no such file"):
        MultilayerPerceptron([]).load_weights_and_bias(tmp_path / "elsewhere.npz")


def test_numbers_of_specifications_must_fit() -> None:
    with pytest.raises(NervaError, match="2 layers need 3 sizes, not 2"):
        parse_multilayer_perceptron(["ReLU", "Linear"], [3, 2], ["GradientDescent"] * 2, ["Zero"] * 2)
    with pytest.raises(NervaError, match="1 layers need 1 optimizers, not 2"):
        parse_multilayer_perceptron(["Linear"], [3, 2], ["GradientDescent"] * 2, ["Zero"])


def test_sizes() -> None:
    layer = ActivationLayer(3, 2, make("ReLU", 3, 2, np.float32).act)
    assert (layer.input_size(), layer.output_size()) == (3, 2)
