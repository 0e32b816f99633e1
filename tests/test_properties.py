"""Properties that hold for all inputs, tested with hypothesis."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nerva.activation_functions import parse_activation
from nerva.datasets import DataLoader, from_one_hot, to_one_hot
from nerva.errors import NervaError
from nerva.layers import parse_layer
from nerva.learning_rate import parse_learning_rate
from nerva.matrix_operations import zeros
from nerva.optimizers import parse_optimizer
from nerva.softmax_functions import stable_log_softmax, stable_softmax
from nerva.utilities import parse_function_call

settings.register_profile("nerva", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("nerva")

positive = st.floats(1e-6, 1e3)
part = st.floats(0, 0.999)
real32 = st.floats(-100, 100, width=32)

activations = st.one_of(
    st.sampled_from(["ReLU", "HyperbolicTangent", "Sigmoid", "GELU", "SiLU", "Softplus"]),
    st.builds("{}(alpha={})".format, st.sampled_from(["LeakyReLU", "AllReLU", "ELU"]), real32),
    st.builds("SReLU(al={}, tl={}, ar={}, tr={})".format, real32, st.floats(-9, 0), real32, st.floats(0, 9)),
)
simple_optimizers = st.one_of(
    st.just("GradientDescent"),
    st.builds("{}({})".format, st.sampled_from(["Momentum", "Nesterov"]), part),
    st.builds("Adam(beta1={}, beta2={}, epsilon={})".format, part, part, positive),
    st.builds("AdamW(decay={})".format, positive),
    st.builds("RMSProp({}, {})".format, part, positive),
)
optimizers = st.one_of(
    simple_optimizers,
    st.builds("WeightDecay({}, {})".format, simple_optimizers, positive),
    st.builds("ClipNorm(optimizer={}, norm={})".format, simple_optimizers, positive),
)
epochs = st.integers(1, 50)
simple_schedules = st.one_of(
    st.builds("Constant({})".format, positive),
    st.builds("TimeBased(lr={}, decay={})".format, positive, positive),
    st.builds("StepBased({},{},{})".format, positive, part.filter(bool), positive),
    st.builds("Exponential({},{})".format, positive, part),
    st.builds("Cosine({}, {}, {})".format, positive, epochs, part),
    st.builds("MultiStepLR({};{},{};{})".format, positive, st.integers(0, 5), st.integers(6, 9), positive),
)
schedules = st.one_of(simple_schedules, st.builds("WarmUp({}, {})".format, simple_schedules, epochs))
layers = st.one_of(
    activations,
    st.sampled_from(["Linear", "Softmax", "LogSoftmax", "BatchNormalization"]),
    st.builds("Dropout({})".format, part),
    st.builds("BatchNormalization(momentum={})".format, part.filter(bool)),
)


@given(activations)
def test_activations_parse_what_they_print(text: str) -> None:
    act = parse_activation(text)
    again = parse_activation(str(act))
    assert str(again) == str(act)
    X = np.linspace(-3, 3, 13, dtype=np.float32)
    np.testing.assert_array_equal(again(X), act(X))


@given(layers)
def test_layers_parse_what_they_print(text: str) -> None:
    printed = str(parse_layer(text, 2, 3))
    assert str(parse_layer(printed, 2, 3)) == printed


@given(optimizers)
def test_optimizers_parse_what_they_print(text: str) -> None:
    printed = str(parse_optimizer(text)(zeros(2), zeros(2)))
    assert str(parse_optimizer(printed)(zeros(2), zeros(2))) == printed


@given(schedules)
def test_schedules_parse_what_they_print(text: str) -> None:
    schedule = parse_learning_rate(text)
    again = parse_learning_rate(str(schedule))
    assert str(again) == str(schedule)
    rates = [schedule(epoch) for epoch in range(12)]
    assert [again(epoch) for epoch in reversed(range(12))] == rates[::-1]
    assert all(rate >= 0 for rate in rates)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        call = parse_function_call(text)
    except NervaError:
        return
    assert call.name.strip() == call.name
    assert all(value == value.strip() for value in call.values)


matrices = arrays(
    np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1000, 1000, width=32)
)


@given(matrices)
def test_softmax_rows_sum_to_one(X: np.ndarray) -> None:
    Y = stable_softmax(X)
    assert Y.dtype == np.float32
    np.testing.assert_allclose(Y.sum(axis=1), 1, rtol=1e-5)
    assert ((Y >= 0) & (Y <= 1 + 1e-6)).all()
    assert np.isfinite(stable_log_softmax(X)).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_one_hot_and_back(labels: list[int]) -> None:
    Y = to_one_hot(np.array(labels), 10)
    assert from_one_hot(Y).tolist() == labels
    assert (Y.sum(axis=1) == 1).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_batches_of_an_epoch_are_a_permutation(samples: int, batch_size: int, seed: int) -> None:
    X = np.arange(samples, dtype=np.float32)[:, None]
    loader = DataLoader(X, np.arange(samples) % 3, min(batch_size, samples), 3, np.random.default_rng(seed))
    batches = list(loader)
    assert len(batches) == len(loader)
    assert sorted(np.vstack([x for x, _ in batches]).ravel()) == list(range(samples))
    for x, t in batches:
        assert (from_one_hot(t) == x.ravel() % 3).all()
