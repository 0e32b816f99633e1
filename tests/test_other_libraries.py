"""Comparison with PyTorch for each layer, loss and optimizer, and with scikit-learn for a whole training run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from nerva.datasets import DataLoader
from nerva.layers import DropoutLayer, parse_layer
from nerva.loss_functions import parse_loss_function
from nerva.multilayer_perceptron import MultilayerPerceptron
from nerva.optimizers import parse_optimizer
from nerva.training import train_epoch

N, D, K = 7, 4, 3
RNG = np.random.default_rng(2)
X = RNG.normal(size=(N, D))
TARGETS = np.eye(K)[RNG.integers(0, K, N)]
STEPS = 5


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


# The function of Z = X Wᵀ + b that PyTorch has for each layer.
LAYERS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "Linear": lambda torch: lambda Z: Z,
    "ReLU": lambda torch: torch.nn.functional.relu,
    "LeakyReLU(0.1)": lambda torch: lambda Z: torch.nn.functional.leaky_relu(Z, 0.1),
    "AllReLU(0.3)": lambda torch: lambda Z: torch.where(Z < 0, 0.3 * Z, Z),
    "HyperbolicTangent": lambda torch: torch.tanh,
    "Sigmoid": lambda torch: torch.sigmoid,
    "ELU(0.7)": lambda torch: lambda Z: torch.nn.functional.elu(Z, 0.7),
    "GELU": lambda torch: torch.nn.functional.gelu,
    "SiLU": lambda torch: torch.nn.functional.silu,
    "Softplus": lambda torch: torch.nn.functional.softplus,
    "Softmax": lambda torch: lambda Z: torch.softmax(Z, 1),
    "LogSoftmax": lambda torch: lambda Z: torch.log_softmax(Z, 1),
}

LOSSES: dict[str, Callable[[Any], Callable[[Any, Any], Any]]] = {
    "SquaredError": lambda torch: lambda Y, T: torch.nn.functional.mse_loss(Y, T, reduction="sum"),
    "CrossEntropy": lambda torch: lambda Y, T: torch.nn.functional.nll_loss(Y.log(), T.argmax(1), reduction="sum"),
    "SoftmaxCrossEntropy": lambda torch: lambda Y, T: torch.nn.functional.cross_entropy(Y, T, reduction="sum"),
    "LogisticCrossEntropy": lambda torch: lambda Y, T: -(T * torch.nn.functional.logsigmoid(Y)).sum(),
    "NegativeLogLikelihood": lambda torch: lambda Y, T: -(Y * T).sum(1).log().sum(),
}

OPTIMIZERS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "GradientDescent": lambda torch: lambda p: torch.optim.SGD(p, 0.1),
    "Momentum(0.9)": lambda torch: lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "Nesterov(0.9)": lambda torch: lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "Adam": lambda torch: lambda p: torch.optim.Adam(p, 0.1),
    "Adam(beta1=0.8, beta2=0.9, epsilon=0.001)": lambda torch: lambda p: torch.optim.Adam(p, 0.1, (0.8, 0.9), 0.001),
    "AdamW(decay=0.2)": lambda torch: lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.2),
    "RMSProp(rho=0.8)": lambda torch: lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.8),
    "WeightDecay(Momentum(0.9), 0.2)": lambda torch: lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.2),
}


def make(specification: str) -> Any:
    layer = parse_layer(specification, D, K)
    rng = np.random.default_rng(1)
    layer.W, layer.b = rng.normal(size=(K, D)), rng.normal(size=K)
    return layer


def close(ours: np.ndarray, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.backends
@pytest.mark.parametrize("specification", LAYERS)
@pytest.mark.parametrize("optimizer", ["Momentum(0.9)"])
def test_layers(torch, specification: str, optimizer: str) -> None:
    layer, function = make(specification), LAYERS[specification](torch)
    layer.set_optimizer(optimizer)
    W, b = (torch.tensor(a.copy(), requires_grad=True) for a in (layer.W, layer.b))
    stepper = OPTIMIZERS[optimizer](torch)([W, b])
    DY = np.random.default_rng(5).normal(size=(N, K))
    for _ in range(STEPS):
        inputs = torch.tensor(X, requires_grad=True)
        stepper.zero_grad()
        theirs = function(inputs @ W.T + b)
        theirs.backward(torch.tensor(DY))
        Y = layer.feedforward(X)
        layer.backpropagate(Y, DY)
        close(Y, theirs)
        close(layer.DX, inputs.grad)
        close(layer.DW, W.grad)
        close(layer.Db, b.grad)
        stepper.step()
        layer.optimize(0.1)
    close(layer.W, W)


@pytest.mark.backends
def test_srelu(torch) -> None:
    layer = make("SReLU(al=0.1, tl=-0.4, ar=0.2, tr=0.5)")
    layer.set_optimizer("GradientDescent")
    layer.x = layer.x.astype(np.float64)
    W, b, x = (torch.tensor(a.copy(), requires_grad=True) for a in (layer.W, layer.b, layer.x))
    stepper = torch.optim.SGD([W, b, x], 0.1)
    for _ in range(STEPS):
        stepper.zero_grad()
        Z, (al, tl, ar, tr) = torch.tensor(X) @ W.T + b, x
        theirs = torch.where(tl >= Z, tl + al * (Z - tl), torch.where(tr > Z, Z, tr + ar * (Z - tr)))
        theirs.backward(torch.ones(N, K, dtype=torch.float64))
        Y = layer.feedforward(X)
        layer.backpropagate(Y, np.ones((N, K)))
        close(Y, theirs)
        close(layer.Dx, x.grad)
        stepper.step()
        layer.optimize(0.1)
    close(layer.x, x)


@pytest.mark.backends
def test_batch_normalization(torch) -> None:
    layer = parse_layer("BatchNormalization(0.3)", D, D)
    for name in ("beta", "gamma", "running_mean", "running_Sigma"):
        setattr(layer, name, getattr(layer, name).astype(np.float64))
    layer.set_optimizer("GradientDescent")
    theirs = torch.nn.BatchNorm1d(D, eps=1e-7, momentum=0.3, dtype=torch.float64)
    stepper = torch.optim.SGD(theirs.parameters(), 0.1)
    for _ in range(STEPS):
        inputs = torch.tensor(X, requires_grad=True)
        stepper.zero_grad()
        output = theirs(inputs)
        output.backward(torch.tensor(X**2))
        Y = layer.feedforward(X)
        layer.backpropagate(Y, X**2)
        close(Y, output)
        close(layer.DX, inputs.grad)
        close(layer.Dgamma, theirs.weight.grad)
        close(layer.Dbeta, theirs.bias.grad)
        stepper.step()
        layer.optimize(0.1)
    close(layer.running_mean, theirs.running_mean)
    close(layer.running_Sigma, theirs.running_var)
    close(layer.evaluate(X), theirs.eval()(torch.tensor(X)))


@pytest.mark.backends
def test_dropout(torch) -> None:
    """PyTorch drops different elements, but the same fraction, and divides by the same number."""
    ours = DropoutLayer(50, 0.4, np.random.default_rng(1)).feedforward(np.ones((400, 50)))
    theirs = torch.nn.functional.dropout(torch.ones(400, 50, dtype=torch.float64), 0.4).numpy()
    np.testing.assert_allclose(np.unique(ours), np.unique(theirs))
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.05)


@pytest.mark.backends
@pytest.mark.parametrize("name", LOSSES)
def test_losses(torch, name: str) -> None:
    loss, theirs = parse_loss_function(name), LOSSES[name](torch)
    Z = RNG.normal(size=(N, K))
    Y = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True) if name in ("CrossEntropy", "NegativeLogLikelihood") else Z
    outputs = torch.tensor(Y, requires_grad=True)
    value = theirs(outputs, torch.tensor(TARGETS))
    value.backward()
    assert float(loss(Y, TARGETS)) == pytest.approx(value.item())
    close(loss.gradient(Y, TARGETS), outputs.grad)


@pytest.mark.backends
@pytest.mark.parametrize("specification", OPTIMIZERS)
def test_optimizers(torch, specification: str) -> None:
    x, Dx = RNG.normal(size=(3, 2)), RNG.normal(size=(STEPS, 3, 2))
    parameter = torch.tensor(x.copy(), requires_grad=True)
    stepper = OPTIMIZERS[specification](torch)([parameter])
    gradient = np.zeros_like(x)
    ours = parse_optimizer(specification)(x, gradient)
    for step in range(STEPS):
        parameter.grad = torch.tensor(Dx[step])
        gradient[...] = Dx[step]
        stepper.step()
        ours.update(0.1)
        close(ours.x, parameter)


@pytest.mark.backends
def test_clipping_by_norm(torch) -> None:
    x, parameter = np.zeros(3), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for Dx in ([3.0, 4.0, 0.0], [0.1, 0.2, 0.3]):
        parameter.grad = torch.tensor(Dx, dtype=torch.float64)
        torch.nn.utils.clip_grad_norm_([parameter], 2.0)
        optimizer = parse_optimizer("ClipNorm(GradientDescent, 2)")(x.copy(), np.array(Dx))
        optimizer.update(1)
        np.testing.assert_allclose(optimizer.x, -parameter.grad.numpy(), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("activation", "layer"), [("relu", "ReLU"), ("tanh", "HyperbolicTangent")])
@pytest.mark.parametrize(("nesterov", "optimizer"), [(False, "Momentum(0.9)"), (True, "Nesterov(0.9)")])
def test_training_agrees_with_scikit_learn(activation: str, layer: str, nesterov: bool, optimizer: str) -> None:
    """From the same initial weights, both have the same weights after three epochs."""
    inputs, labels = load_digits(return_X_y=True)
    inputs = inputs / 16
    theirs = MLPClassifier(
        (16,), activation, solver="sgd", alpha=0, batch_size=100, learning_rate_init=0.01, shuffle=False,
        momentum=0.9, nesterovs_momentum=nesterov, random_state=1, max_iter=1,
    )  # fmt: skip
    theirs.partial_fit(inputs[:100], labels[:100], classes=range(10))
    del theirs._optimizer  # its state after the step that created the arrays
    rng = np.random.default_rng(1)
    M = MultilayerPerceptron([parse_layer(layer, 64, 16), parse_layer("Linear", 16, 10)])
    for i, linear in enumerate(M.linear_layers()):
        linear.W = rng.normal(scale=0.1, size=linear.W.shape)
        linear.b = np.zeros(linear.b.shape)
        linear.set_optimizer(optimizer)
        theirs.coefs_[i][...] = linear.W.T
        theirs.intercepts_[i][...] = 0
    loss = parse_loss_function("SoftmaxCrossEntropy")
    loader = DataLoader(inputs, labels, 100, 10)
    for _ in range(3):
        theirs.partial_fit(inputs, labels)
        train_epoch(M, loss, 0.01, loader)
    for i, linear in enumerate(M.linear_layers()):
        np.testing.assert_allclose(linear.W, theirs.coefs_[i].T, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(linear.b, theirs.intercepts_[i], rtol=1e-9, atol=1e-11)
    ours = M.evaluate(inputs).argmax(axis=1)
    np.testing.assert_array_equal(ours, theirs.predict(inputs))
