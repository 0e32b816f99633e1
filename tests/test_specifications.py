"""Specifications: accepted forms, and helpful messages for all others."""

import pytest

from nerva.activation_functions import ActivationFunction, parse_activation
from nerva.errors import NervaError
from nerva.layers import LAYERS
from nerva.learning_rate import LEARNING_RATES, parse_learning_rate
from nerva.optimizers import OPTIMIZERS, parse_optimizer
from nerva.specifications import Registry, Specification
from nerva.utilities import parse_function_call
from nerva.weight_initializers import INITIALIZERS

GOOD = {
    "ReLU": ("ReLU", {}, ()),
    " ReLU ( ) ": ("ReLU", {}, ()),
    "Momentum(0.9)": ("Momentum", {"": "0.9"}, ("0.9",)),
    "Momentum( mu = 0.9 )": ("Momentum", {"mu": "0.9"}, ()),
    "SReLU(al=0, tl=0, ar=0, tr=1)": ("SReLU", {"al": "0", "tl": "0", "ar": "0", "tr": "1"}, ()),
    "StepBased(0.1,0.5,10)": ("StepBased", {}, ("0.1", "0.5", "10")),
    "MultiStepLR(0.1;1,3,5;0.1)": ("MultiStepLR", {}, ("0.1", "1,3,5", "0.1")),
    "MultiStepLR(lr=0.1, milestones=[1, 3], gamma=0.1)": (
        "MultiStepLR",
        {"lr": "0.1", "milestones": "[1, 3]", "gamma": "0.1"},
        (),
    ),
    "Wrap(inner=Inner(a=1, b=2), n=3)": ("Wrap", {"inner": "Inner(a=1, b=2)", "n": "3"}, ()),
}


@pytest.mark.parametrize("text", GOOD)
def test_calls(text: str) -> None:
    call = parse_function_call(text)
    assert (call.name, call.arguments, call.values) == GOOD[text]


BAD = ["", "()", "Momentum(0.9", "Momentum(0.9))", "Momentum(0.9)x", "Momentum(mu=)", "Momentum(=1)", "Momentum(,)"]
BAD += ["Momentum(mu=1, mu=2)", "Momentum(mu=1, 2)", "Momentum(mu=1=2)", "Re LU", "ReLU)", "a(b)c(d)", "A(x=[1)"]


@pytest.mark.parametrize("text", BAD)
def test_malformed_calls_are_refused(text: str) -> None:
    with pytest.raises(NervaError):
        parse_function_call(text)


def test_arguments_by_name() -> None:
    call = parse_function_call("Momentum(0.9)")
    assert call.as_scalar("mu") == 0.9
    assert call.as_string("mu") == "0.9"
    call = parse_function_call("Momentum(mu=abc)")
    assert call.has_key("mu")
    with pytest.raises(NervaError, match='"mu" should be a number, not "abc"'):
        call.as_scalar("mu")
    with pytest.raises(NervaError, match='needs a value for "nu"'):
        call.as_scalar("nu")
    # In nerva-numpy a default of 0 counts as missing.
    assert call.as_scalar("nu", 0) == 0
    assert call.as_string("nu", "") == ""
    with pytest.raises(NervaError, match='needs a value for "nu"'):
        call.as_string("nu")


MISTAKES = {
    "Momentun(0.9)": 'unknown optimizer "Momentun"; known: Momentum',
    "Momentum": 'needs a value for "mu"',
    "Momentum(nu=1)": 'there is no "nu"; Momentum takes "mu"',
    "Momentum(abc)": '"mu" should be a number, not "abc"',
    "Momentum(1.5)": "0 to 1, not 1.5",
    "Momentum(0.9, 0.8)": 'Momentum takes "mu"',
    "GradientDescent(0.1)": "GradientDescent takes no arguments",
    "Adam(beta1=1)": "beta1 should be 0 or more and less than 1, not 1",
    "Adam(epsilon=0)": "epsilon should be greater than 0",
    "AdamW(decay=-1)": "decay should be 0 or more and finite, not -1",
    "RMSProp(rho=-0.1)": "rho should be 0 or more",
    "WeightDecay(Momentum(0.9))": 'needs a value for "decay"',
    "WeightDecay(Momentun(0.9), 0.1)": 'unknown optimizer "Momentun"; known: Momentum',
    "ClipNorm(Adam, 0)": "norm should be greater than 0",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_reported(text: str) -> None:
    with pytest.raises(NervaError) as raised:
        parse_optimizer(text)
    assert MISTAKES[text] in str(raised.value)


def test_an_argument_twice() -> None:
    with pytest.raises(NervaError, match=r"follows one|twice"):
        parse_learning_rate("TimeBased(0.1, lr=0.2)")


def test_a_user_defined_component() -> None:
    registry: Registry[ActivationFunction] = Registry("activation")

    @registry.register("Cube")
    class CubeActivation(ActivationFunction):
        def __init__(self, scale: float = 1.0) -> None:
            self.scale = scale

    assert registry.parse("Cube(2)").scale == 2
    assert registry.parse("Cube").scale == 1
    with pytest.raises(NervaError, match="taken"):
        registry.add("Cube", CubeActivation)


CANONICAL = {
    "Momentum(mu=0.9)": (OPTIMIZERS, ["Momentum(0.9)", "Momentum( mu=9e-1 )", "Momentum(.9)"]),
    "GradientDescent": (OPTIMIZERS, ["GradientDescent", "GradientDescent()"]),
    "WeightDecay(optimizer=Momentum(mu=0.9), decay=0.001)": (OPTIMIZERS, ["WeightDecay(Momentum(0.9), 1e-3)"]),
    "Normal(a=0.0, b=0.1)": (INITIALIZERS, ["Normal(0,0.1)", "Normal(a=0,b=0.1)", "Normal(0.0, 1e-1)"]),
    "HeNormal": (INITIALIZERS, ["HeNormal", "HeNormal( )"]),
    "MultiStepLR(lr=0.1, milestones=[1, 3, 5], gamma=0.1)": (LEARNING_RATES, ["MultiStepLR(0.1;1,3,5;0.1)"]),
    "BatchNormalization": (LAYERS, ["BatchNormalization", "BatchNormalization()"]),
    "BatchNormalization(momentum=0.5)": (LAYERS, ["BatchNormalization(0.5)"]),
}


@pytest.mark.parametrize("canonical", CANONICAL)
def test_one_form_for_each_meaning(canonical: str) -> None:
    registry, texts = CANONICAL[canonical]
    assert {registry.canonical(text) for text in [*texts, canonical]} == {canonical}


def test_the_default_of_a_nested_component() -> None:
    registry: Registry[object] = Registry("thing")

    def half(optimizer: Specification = Specification("Momentum(0.9)")) -> object:  # noqa: B008
        return optimizer

    def momentum(mu: float) -> float:
        return mu

    registry.add("Half", half)
    registry.add("Momentum", momentum)
    assert (
        registry.canonical("Half")
        == registry.canonical("Half(Momentum(mu=0.90))")
        == "Half(optimizer=Momentum(mu=0.9))"
    )
    assert registry.modules("Half") == {__name__}


def test_a_component_with_two_names() -> None:
    registry: Registry[object] = Registry("thing")
    registry.add("First", object)
    registry.add("Second", object)
    assert registry.canonical("Second") == "First"


def test_types_of_parameters() -> None:
    registry: Registry[object] = Registry("thing")

    class Plain:
        def __init__(self, a, b=0.5, n=2, name="x") -> None:
            self.values = (a, b, n, name)

    class Odd:
        def __init__(self, a: complex = 1j) -> None:
            pass

    registry.add("Plain", Plain)
    registry.add("Odd", Odd)
    assert registry.parse("Plain(3, n=4, name=y)").values == (3.0, 0.5, 4, "y")
    with pytest.raises(NervaError, match=r'"a" has the type .*complex.*, which cannot be read'):
        registry.parse("Odd(1)")


def test_errors_have_the_types_that_nerva_numpy_raises() -> None:
    with pytest.raises(RuntimeError):
        parse_activation("Relu")
    with pytest.raises(ValueError, match="known: ReLU"):
        parse_activation("Relu")
