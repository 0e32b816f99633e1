"""Compatibility with nerva-numpy 1.0.0: its public names exist, and its networks train alike."""

import importlib
import inspect
import types

import numpy as np
import pytest
from sklearn.datasets import load_digits

reference = pytest.importorskip("nerva_numpy", reason="nerva-numpy, a dev extra, is not installed")

MODULES = [
    "activation_functions",
    "datasets",
    "layers",
    "learning_rate",
    "loss_functions",
    "matrix_operations",
    "multilayer_perceptron",
    "optimizers",
    "softmax_functions",
    "training",
    "utilities",
    "weight_initializers",
]

# Public names of the reference that are missing or have another signature, and why.
EXCEPTIONS: dict[str, str] = {}


def public(module: types.ModuleType) -> dict[str, object]:
    """The public names that a module defines itself."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and getattr(value, "__module__", module.__name__) == module.__name__
    }


def pairs() -> list[tuple[str, str]]:
    return [(m, name) for m in MODULES for name in public(importlib.import_module(f"nerva_numpy.{m}"))]


def accepts(ours: object, theirs: object) -> str:
    """Why a call that the reference accepts could fail; "" if none could."""
    try:
        ours_takes = list(inspect.signature(ours).parameters.values())
        theirs_takes = list(inspect.signature(theirs).parameters.values())
    except (TypeError, ValueError):
        return ""
    names = [parameter.name for parameter in ours_takes[: len(theirs_takes)]]
    if names != [parameter.name for parameter in theirs_takes]:
        return f"takes {names}, and the reference {[parameter.name for parameter in theirs_takes]}"
    for one, other in zip(ours_takes, theirs_takes, strict=False):
        if other.default is not other.empty and one.default is one.empty:
            return f"{one.name} has no default"
    return "".join(f"{p.name} has no default" for p in ours_takes[len(theirs_takes) :] if p.default is p.empty)


@pytest.mark.parametrize(("module", "name"), pairs())
def test_public_names(module: str, name: str) -> None:
    if f"{module}.{name}" in EXCEPTIONS:
        return
    theirs = getattr(importlib.import_module(f"nerva_numpy.{module}"), name)
    ours = getattr(importlib.import_module(f"nerva.{module}"), name, None)
    assert ours is not None, f"nerva.{module} has no {name}"
    assert callable(ours) == callable(theirs)
    if not isinstance(theirs, type):
        assert accepts(ours, theirs) == ""
        return
    # Classes: their constructor, their methods, and their place in the hierarchy.
    assert accepts(ours.__init__, theirs.__init__) == ""
    for method, function in inspect.getmembers(theirs, inspect.isfunction):
        if not method.startswith("_"):
            assert hasattr(ours, method), f"{name} has no {method}"
            assert accepts(getattr(ours, method), function) == "", method
    bases = {base.__name__ for base in theirs.__mro__} - {"object", name}
    assert bases <= {base.__name__ for base in ours.__mro__}


def test_there_are_names_to_compare() -> None:
    assert len(pairs()) > 120
    assert {module for module, _ in pairs()} == set(MODULES)


def test_the_exceptions_are_still_needed() -> None:
    assert set(EXCEPTIONS) <= {f"{module}.{name}" for module, name in pairs()}


def test_attributes_of_layers() -> None:
    from nerva_numpy.activation_functions import ReLUActivation as TheirReLU
    from nerva_numpy.activation_functions import SReLUActivation as TheirSReLU

    from nerva.activation_functions import ReLUActivation, SReLUActivation

    ours, theirs = importlib.import_module("nerva.layers"), importlib.import_module("nerva_numpy.layers")
    made = [
        [
            module.LinearLayer(2, 3),
            module.ActivationLayer(2, 3, relu()),
            module.SReLULayer(2, 3, srelu()),
            module.SoftmaxLayer(2, 3),
            module.LogSoftmaxLayer(2, 3),
            module.BatchNormalizationLayer(2),
        ]
        for module, relu, srelu in ((ours, ReLUActivation, SReLUActivation), (theirs, TheirReLU, TheirSReLU))
    ]
    for one, other in zip(*made, strict=True):
        assert set(vars(other)) <= set(vars(one)), type(one)
        for name, value in vars(other).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(one, name), value)
                assert getattr(one, name).dtype == value.dtype


def test_weights_go_both_ways_bit_for_bit(tmp_path, capsys) -> None:
    from nerva_numpy.multilayer_perceptron import parse_multilayer_perceptron as parse_theirs

    from nerva.multilayer_perceptron import parse_multilayer_perceptron

    arguments = (["ReLU", "BatchNormalization", "Softmax"], [3, 4, 2], ["GradientDescent"] * 3, ["XavierNormal"] * 2)
    ours, theirs = parse_multilayer_perceptron(*arguments), parse_theirs(*arguments)
    linear = [theirs.layers[0], theirs.layers[2]]
    ours.save_weights_and_bias(tmp_path / "ours.npz")
    theirs.load_weights_and_bias(str(tmp_path / "ours.npz"))
    for layer, other in zip(ours.linear_layers(), linear, strict=True):
        np.testing.assert_array_equal(layer.W, other.W)
    for layer in linear:
        layer.set_weights("HeNormal")
    theirs.save_weights_and_bias(str(tmp_path / "theirs.npz"))
    ours.load_weights_and_bias(tmp_path / "theirs.npz")
    for layer, other in zip(ours.linear_layers(), linear, strict=True):
        np.testing.assert_array_equal(layer.W, other.W)
        np.testing.assert_array_equal(layer.b, other.b)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("index", range(6))
def test_networks_train_alike(tmp_path, index: int) -> None:
    """On digits; tests/checks/compare_reference.py does the same on MNIST."""
    from tests.checks.compare_reference import NETWORKS, agree, train_both

    X, T = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    np.savez(tmp_path / "digits.npz", Xtrain=X[:1500], Ttrain=T[:1500], Xtest=X[1500:], Ttest=T[1500:])
    theirs, ours = train_both(NETWORKS[index], tmp_path / "digits.npz", epochs=3, batch_size=70)
    assert len(theirs) == len(ours) == 4
    assert theirs[-1][0] < theirs[0][0]
    for one, other in zip(theirs, ours, strict=True):
        assert agree(one, other), f"theirs {one}, ours {other}"


def test_the_networks_have_everything() -> None:
    from tests.checks.compare_reference import NETWORKS

    text = " ".join(map(str, NETWORKS))
    for name in ("SReLU", "BatchNormalization", "Softmax", "LogSoftmax", "Linear", "ReLU", "LeakyReLU", "AllReLU"):
        assert name in text
    for name in ("HyperbolicTangent", "Sigmoid", "GradientDescent", "Momentum", "Nesterov"):
        assert name in text
    for name in ("SquaredError", "CrossEntropy", "SoftmaxCrossEntropy", "LogisticCrossEntropy"):
        assert f"loss='{name}'" in text
    for name in ("NegativeLogLikelihood", "Constant", "TimeBased", "StepBased", "MultiStepLR", "Exponential"):
        assert name in text
