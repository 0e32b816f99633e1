"""Activations, softmax functions and losses: values, gradients by finite differences, dtypes, extreme inputs."""

import numpy as np
import pytest

from nerva import loss_functions as lf
from nerva import softmax_functions as sf
from nerva.activation_functions import ACTIVATIONS, parse_activation
from nerva.loss_functions import LOSSES, parse_loss_function
from tests.helpers import assert_gradient, differences

SPECIFICATIONS = ["ReLU", "LeakyReLU(0.1)", "LeakyReLU(alpha=2)", "AllReLU(0.3)", "HyperbolicTangent", "Sigmoid"]
SPECIFICATIONS += ["SReLU(al=0.1, tl=-0.9, ar=0.2, tr=0.9)", "ELU", "ELU(0.7)", "GELU", "SiLU", "Softplus"]
RNG = np.random.default_rng(7)
# Away from 0, where some are not differentiable.
POINTS = RNG.uniform(0.1, 3, size=(4, 5)) * RNG.choice([-1, 1], size=(4, 5))
TARGETS = np.eye(5)[[0, 3, 1, 4]]


def test_every_activation_is_tested() -> None:
    assert {specification.split("(")[0] for specification in SPECIFICATIONS} == set(ACTIVATIONS.components)


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_activation_gradient(specification: str) -> None:
    act = parse_activation(specification)
    assert_gradient(act.gradient(POINTS), lambda X: float(act(X).sum()), POINTS)


@pytest.mark.parametrize("specification", SPECIFICATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activation_keeps_the_dtype_and_is_finite(specification: str, dtype: type) -> None:
    act = parse_activation(specification)
    X = np.array([[-1000, -1, 0, 1, 1000]], dtype=dtype)
    for result in (act(X), act.gradient(X)):
        assert result.dtype == dtype
        assert result.shape == X.shape
        assert np.isfinite(result).all()


def test_activation_values() -> None:
    X = np.array([-2.0, 0.0, 3.0])
    np.testing.assert_array_equal(parse_activation("ReLU")(X), [0, 0, 3])
    np.testing.assert_array_equal(parse_activation("LeakyReLU(0.5)")(X), [-1, 0, 3])
    np.testing.assert_array_equal(parse_activation("AllReLU(0.5)")(X), [-1, 0, 3])
    np.testing.assert_allclose(parse_activation("Sigmoid")(X), [0.119203, 0.5, 0.952574], rtol=1e-5)
    assert repr(parse_activation("LeakyReLU(0.5)")) == "LeakyReLU(alpha=0.5)"
    np.testing.assert_allclose(parse_activation("SReLU(0.5, -1, 0.25, 2)")(X), [-1.5, 0, 2.25])
    np.testing.assert_allclose(parse_activation("ELU(2)")(X), [2 * (np.exp(-2) - 1), 0, 3])
    np.testing.assert_allclose(parse_activation("GELU")(X), [-0.04550026, 0, 2.9959503], rtol=1e-6)
    np.testing.assert_allclose(parse_activation("SiLU")(X), [-0.23840584, 0, 2.85772238], rtol=1e-6)
    np.testing.assert_allclose(parse_activation("Softplus")(X), [0.12692801, 0.69314718, 3.04858735], rtol=1e-6)


SOFTMAX = {
    "softmax": (sf.SoftmaxFunction(), sf.softmax),
    "stable_softmax": (sf.StableSoftmaxFunction(), sf.stable_softmax),
    "log_softmax": (sf.LogSoftmaxFunction(), sf.log_softmax),
    "stable_log_softmax": (sf.StableLogSoftmaxFunction(), sf.stable_log_softmax),
}


@pytest.mark.parametrize("name", SOFTMAX)
def test_softmax_jacobian(name: str) -> None:
    function, plain = SOFTMAX[name]
    row = POINTS[:1]
    np.testing.assert_array_equal(function(row), plain(row))
    # Row j of the Jacobian has the derivatives of output j.
    expected = np.vstack([differences(lambda X, j=j: plain(X)[0, j], row) for j in range(row.shape[1])])
    np.testing.assert_allclose(function.jacobian(row), expected, rtol=1e-5, atol=1e-8)


def test_softmax_rows_sum_to_one_for_extreme_inputs() -> None:
    X = np.array([[1000, -1000, 0], [1, 2, 3]], dtype=np.float32)
    Y = sf.stable_softmax(X)
    assert Y.dtype == np.float32
    np.testing.assert_allclose(Y.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(sf.stable_log_softmax(X)[0], [0, -2000, -1000])


def test_jacobian_needs_one_row() -> None:
    with pytest.raises(ValueError, match=r"one row.*\(4, 5\)"):
        sf.softmax_jacobian(POINTS)


# Valid outputs for every loss: logarithms are defined, and rows sum to 1.
PROBABILITIES = sf.softmax(POINTS)


@pytest.mark.parametrize("name", LOSSES.components)
def test_loss_gradient(name: str) -> None:
    loss = parse_loss_function(name)
    assert_gradient(loss.gradient(PROBABILITIES, TARGETS), lambda Y: float(loss(Y, TARGETS)), PROBABILITIES)
    assert repr(loss) == name


@pytest.mark.parametrize("name", LOSSES.components)
def test_loss_keeps_the_dtype(name: str) -> None:
    loss = parse_loss_function(name)
    for dtype in (np.float32, np.float64):
        Y, T = PROBABILITIES.astype(dtype), TARGETS.astype(dtype)
        assert loss(Y, T).dtype == dtype
        assert loss.gradient(Y, T).dtype == dtype


@pytest.mark.parametrize("name", ["SquaredError", "SoftmaxCrossEntropy", "LogisticCrossEntropy"])
def test_losses_of_extreme_logits_are_finite(name: str) -> None:
    loss = parse_loss_function(name)
    Y = np.array([[1000, -1000, 0.5]], dtype=np.float32)
    for T in np.eye(3, dtype=np.float32):
        assert np.isfinite(loss(Y, T[None]))
        assert np.isfinite(loss.gradient(Y, T[None])).all()


@pytest.mark.parametrize("name", ["CrossEntropy", "NegativeLogLikelihood"])
def test_losses_of_probabilities_are_finite_where_the_target_is_likely(name: str) -> None:
    loss = parse_loss_function(name)
    Y = sf.stable_softmax(np.array([[1000, -1000, 0.5]], dtype=np.float32))
    T = np.array([[1, 0, 0]], dtype=np.float32)
    assert loss(Y, T) == 0
    assert np.isfinite(loss.gradient(Y, T)).all()


VECTOR_FORMS = [
    "squared_error",
    "cross_entropy",
    "softmax_cross_entropy",
    "stable_softmax_cross_entropy",
    "logistic_cross_entropy",
    "negative_log_likelihood",
]


@pytest.mark.parametrize("name", VECTOR_FORMS)
@pytest.mark.parametrize("row", [False, True])
def test_forms_for_vectors_and_matrices_agree(name: str, row: bool) -> None:
    """A vector may also be a matrix with one row, as in nerva-numpy."""
    y, t = (PROBABILITIES[:1], TARGETS[:1]) if row else (PROBABILITIES[0], TARGETS[0])
    capital = name[0].upper() + name[1:]
    value, gradient = getattr(lf, f"{name}_loss"), getattr(lf, f"{name}_loss_gradient")
    assert float(np.squeeze(value(y, t))) == pytest.approx(
        getattr(lf, f"{capital}_loss")(PROBABILITIES[:1], TARGETS[:1])
    )
    expected = getattr(lf, f"{capital}_loss_gradient")(PROBABILITIES[:1], TARGETS[:1])
    assert gradient(y, t).shape == y.shape
    np.testing.assert_allclose(gradient(y, t), expected.reshape(y.shape))


def test_loss_values() -> None:
    Y, T = np.array([[1.0, 2.0]]), np.array([[0.0, 1.0]])
    assert lf.Squared_error_loss(Y, T) == 2
    assert lf.squared_error_loss(Y[0], T[0]) == 2
    np.testing.assert_allclose(lf.Stable_softmax_cross_entropy_loss(Y, T), np.log(1 + np.exp(-1)))


@pytest.mark.parametrize("name", [name for name in vars(lf) if name.endswith("_one_hot")])
def test_gradients_for_one_hot_targets(name: str) -> None:
    general = getattr(lf, name.removesuffix("_one_hot"))
    vector = name[0].islower()
    y, t = (POINTS[0], TARGETS[0]) if vector else (POINTS, TARGETS)
    np.testing.assert_allclose(getattr(lf, name)(y, t), general(y, t), atol=1e-12)
