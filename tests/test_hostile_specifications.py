"""Damaged and hostile specifications: each gives a component or a NervaError, in a short time."""

import random
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from nerva.activation_functions import ACTIVATIONS, parse_activation
from nerva.errors import NervaError
from nerva.layers import LAYERS, has_weights, layer_registry, parse_layer
from nerva.learning_rate import LEARNING_RATES, check_schedule, parse_learning_rate
from nerva.loss_functions import LOSSES, parse_loss_function
from nerva.matrix_operations import zeros
from nerva.optimizers import OPTIMIZERS, parse_optimizer
from nerva.specifications import Registry
from nerva.utilities import MAX_DEPTH, MAX_LENGTH, parse_function_call
from nerva.weight_initializers import INITIALIZERS, parse_weight_initializer

GOOD = {
    "layer": ["Linear", "Softmax", "BatchNormalization(momentum=0.1)", "Dropout(p=0.5)", "SReLU(tr=2)"],
    "activation": ["SReLU(al=0, tl=0, ar=0, tr=1)", "ELU(alpha=0.7)", "AllReLU(0.2)", "GELU"],
    "optimizer": [
        "Momentum(mu=0.9)",
        "Adam(beta1=0.8, beta2=0.9, epsilon=0.001)",
        "RMSProp(0.9, 1e-8)",
        "WeightDecay(ClipNorm(Nesterov(0.9), 0.5), 0.0001)",
        "AdamW(decay=0.1)",
    ],
    "learning rate": [
        "TimeBased(lr=0.1, decay=0.5)",
        "StepBased(0.1,0.5,10)",
        "MultiStepLR(0.1;1,3,5;0.1)",
        "MultiStepLR(lr=0.1, milestones=[1, 3], gamma=0.1)",
        "WarmUp(WarmUp(Cosine(0.1, 20, 0.01), 5), 3)",
        "Exponential(0.1, 0.5)",
    ],
    "loss": ["SoftmaxCrossEntropy", "SquaredError", "NegativeLogLikelihood()"],
    "weights": ["Uniform(a=-1, b=1)", "Normal(0, 0.1)", "XavierNormal", "Zero"],
}


def layer(text: str) -> None:
    layer_registry(text)
    has_weights(text)
    parse_layer(text, 2, 3, np.random.default_rng(0))


def schedule(text: str) -> None:
    check_schedule(parse_learning_rate(text), 10**6)


def weights(text: str) -> None:
    parse_weight_initializer(text)(zeros(3, 2), rng=np.random.default_rng(0))


def optimizer(text: str) -> None:
    parse_optimizer(text)(zeros(2), zeros(2))


PARSERS: dict[str, tuple[Callable[[str], object], Registry]] = {
    "layer": (layer, LAYERS),
    "activation": (parse_activation, ACTIVATIONS),
    "optimizer": (optimizer, OPTIMIZERS),
    "learning rate": (schedule, LEARNING_RATES),
    "loss": (parse_loss_function, LOSSES),
    "weights": (weights, INITIALIZERS),
}


def parse(kind: str, text: str) -> str:
    """Parse a text in all ways. Only a NervaError may be raised; its message is returned."""
    parser, registry = PARSERS[kind]
    messages = []
    for way in (parse_function_call, registry.canonical, registry.modules, parser):
        try:
            way(text)
        except NervaError as error:
            messages.append(str(error))
    assert all(len(message) < 1500 for message in messages)
    return "\n".join(messages)


PIECES = [*"()[],;= \t\n\0.-+_x9", "((", "))", "nan", "inf", "-inf", "1e400", "1e-400", "1e300", "-1e38", "9" * 400]
PIECES += ["9" * 5000, "0x10", "1_000", "true", "None", "lr=", "mu=", "ß", "١", "∞", "\ud800", "Adam", "Constant(0.1)"]
PIECES += ["self", "x=", "Dx=", "D=", "rng=", "W=", "__init__", "%s", "{}"]


def mutations(kind: str, count: int) -> Iterator[str]:
    """Good specifications with changed, lost, repeated and additional parts."""
    rng = random.Random(kind)
    everything = [text for texts in GOOD.values() for text in texts]
    for _ in range(count):
        text = rng.choice(GOOD[kind] if rng.random() < 0.8 else everything)
        for _ in range(rng.choice([1, 1, 2, 3, 8])):
            at = rng.randrange(len(text) + 1)
            to = min(len(text), at + rng.choice([0, 1, 1, 3, 10]))
            other = rng.choice([rng.choice(PIECES), text[at:to] * 2, rng.choice(everything), ""])
            text = text[:at] + other + text[to:]
        yield text


@pytest.mark.parametrize("kind", GOOD)
def test_good_specifications_are_accepted(kind: str) -> None:
    for text in GOOD[kind]:
        assert parse(kind, text) == ""


@pytest.mark.parametrize("kind", GOOD)
def test_random_damage(kind: str) -> None:
    messages = [parse(kind, text) for text in mutations(kind, 1500)]
    assert sum(map(bool, messages)) > 1000


NESTED = "is nested|are nested more than 20 deep"
LONG = rf"has \d+ characters; a specification may have {MAX_LENGTH}"
HOSTILE = {
    "1,000 optimizers": ("optimizer", "WeightDecay(" * 500 + "Adam" + ",0.1)" * 500, NESTED),
    "100,000 optimizers": ("optimizer", "WeightDecay(" * 100_000, LONG),
    "1,000 schedules": ("learning rate", "WarmUp(" * 1000 + "Constant(1)" + ",1)" * 1000, f"{NESTED}|{LONG}"),
    "brackets": ("learning rate", "Constant(" + "[" * 5000 + ")", NESTED),
    "brackets that close": ("learning rate", "Constant(" + ")" * 5000, "brackets do not match"),
    "589,000 characters": ("learning rate", "MultiStepLR(0.1;" + "1," * 294_500 + "1;0.1)", LONG),
    "many milestones": ("learning rate", "MultiStepLR(0.1;" + "1," * 4900 + "1;1.001)", ""),
    "many arguments": ("optimizer", "Momentum(" + "0," * 4900 + "0)", 'Momentum takes "mu"'),
    "many keys": ("optimizer", f"Momentum({','.join(f'a{i}=1' for i in range(1200))})", 'there is no "a0"'),
    "a key many times": ("optimizer", "Momentum(" + "mu=0," * 1900 + "mu=0)", '"mu" is given twice'),
    "many equals signs": ("optimizer", "Momentum(mu" + "=" * 9900 + ")", "should be a value or key=value"),
    "spaces": ("optimizer", "Momentum(0.9," + " " * 9900 + ")", "should be a value or key=value"),
    "spaces in a name": ("optimizer", "Momentum" + " " * 9900 + "x", "expected Name"),
    "brackets and spaces": ("optimizer", "Momentum(" + ") " * 4900 + "x", "expected Name"),
    "a long name": ("optimizer", "m" * 9900, "known: Momentum"),
    "a long number": ("learning rate", f"Constant({'9' * 9900})", "should be greater than 0 and finite, not inf"),
    "a long whole number": ("learning rate", f"Cosine(1, {'9' * 9900})", '"epochs" should be a whole number'),
    "many epochs": ("learning rate", f"Cosine(1, {'9' * 4000})", "epochs should be greater than 0 and finite"),
    "a milestone far away": ("learning rate", f"MultiStepLR(1; {'9' * 4000}; 2)", ""),
    "rates that overflow": ("learning rate", "StepBased(0.1,2,0.0001)", "is inf at epoch 0"),
    "numbers that are too large": ("weights", "Normal(-1e300, 1)", "too large for float32"),
    "large weights": ("weights", "Uniform(1e299, 1e300)", "too large for float32"),
    "an infinite slope": ("activation", "SReLU(al=1e300)", "too large for float32"),
    "a surrogate": ("loss", "\ud800", "could not parse"),
    "null characters": ("loss", "\0" * 100, "could not parse"),
    "nothing": ("loss", "", "could not parse"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_specifications(case: str) -> None:
    kind, text, reason = HOSTILE[case]
    message = parse(kind, text)
    assert bool(message) == bool(reason)
    assert re.search(reason, message)


def test_specifications_may_be_nested_to_a_limit() -> None:
    for wrap, inner, tail in (("WeightDecay(", "Adam()", ",0.1)"), ("ClipNorm(", "Momentum(0.9)", ",1)")):
        text = wrap * (MAX_DEPTH - 1) + inner + tail * (MAX_DEPTH - 1)
        built = parse_optimizer(text)(zeros(2), zeros(2))
        assert str(built).count(wrap) == MAX_DEPTH - 1
        assert OPTIMIZERS.canonical(str(built)) == OPTIMIZERS.canonical(text)
    text = "WarmUp(" * (MAX_DEPTH - 1) + "Constant(0.1)" + ",2)" * (MAX_DEPTH - 1)
    assert parse_learning_rate(text)(5) == 0.1
