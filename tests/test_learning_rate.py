"""Learning-rate schedules: their values, their ranges, and the check for finite rates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva.errors import NervaError
from nerva.learning_rate import LEARNING_RATES, LearningRateScheduler, check_schedule, parse_learning_rate
from tests.test_properties import schedules

SCHEDULES = {
    "Constant(0.1)": [0.1, 0.1, 0.1, 0.1],
    "TimeBased(0.1, 0.5)": [0.1, 0.1 / 1.5, 0.1 / 2, 0.1 / 2.5],
    "StepBased(0.1,0.5,2)": [0.1, 0.05, 0.05, 0.025],
    "MultiStepLR(0.1;1,3;0.1)": [0.1, 0.01, 0.01, 0.001],
    "MultiStepLR(lr=0.1, milestones=[1, 3], gamma=0.1)": [0.1, 0.01, 0.01, 0.001],
    "Cosine(0.1, 2)": [0.1, 0.05, 0, 0],
    "Cosine(lr=0.1, epochs=3, final=0.04)": [0.1, 0.085, 0.055, 0.04],
    "WarmUp(Constant(0.1), 2)": [0.05, 0.1, 0.1, 0.1],
    "WarmUp(MultiStepLR(0.1;1,3;0.1), 4)": [0.025, 0.005, 0.0075, 0.001],
    "WarmUp(schedule=WarmUp(schedule=Constant(0.1), epochs=2), epochs=1)": [0.05, 0.1, 0.1, 0.1],
    "Exponential(0.1, 0.5)": [0.1, 0.1 * np.exp(-0.5), 0.1 * np.exp(-1), 0.1 * np.exp(-1.5)],
}


@pytest.mark.parametrize("text", SCHEDULES)
def test_schedules_are_functions_of_the_epoch(text: str) -> None:
    schedule = parse_learning_rate(text)
    for _ in range(2):  # in nerva-numpy, TimeBased decays with each call
        np.testing.assert_allclose([schedule(epoch) for epoch in range(4)], SCHEDULES[text])
    again = parse_learning_rate(str(schedule))
    assert [again(epoch) for epoch in range(4)] == [schedule(epoch) for epoch in range(4)]


def test_every_schedule_is_tested() -> None:
    assert {text.split("(")[0] for text in SCHEDULES} == set(LEARNING_RATES.components)


@pytest.mark.parametrize(
    "text",
    [
        "Constant(-0.1)",
        "Constant(0)",
        "Constant(nan)",
        "TimeBased(0.1, -1)",
        "StepBased(0.1, 0.5, 0)",
        "MultiStepLR(0.1;3,1;0.1)",
        "Cosine(0.1, 0)",
        "WarmUp(Constant(0.1), 0)",
        "WarmUp(Constant(-1), 3)",
    ],
)
def test_schedules_out_of_range(text: str) -> None:
    with pytest.raises(NervaError, match="should be"):
        parse_learning_rate(text)


@pytest.mark.parametrize(
    ("text", "first", "tenth"),
    [
        ("StepBased(0.1, 2, 0.0001)", math.inf, math.inf),
        ("StepBased(0.1, 2, 0.01)", 0.1 * 2.0**100, 0.1 * 2.0**1000),
        ("StepBased(0.1, 0.5, 1e-320)", 0, 0),
        ("StepBased(0.1, 1, 1e-320)", 0.1, 0.1),
        ("MultiStepLR(1e200;5,7;1e200)", 1e200, math.inf),
        ("Exponential(0.1, 1e308)", 0.1, 0),
        ("TimeBased(0.1, 1e308)", 0.1, 0),
        ("WarmUp(StepBased(0.1, 2, 0.0001), 5)", math.inf, math.inf),
    ],
)
def test_rates_that_overflow_are_infinite(text: str, first: float, tenth: float) -> None:
    schedule = parse_learning_rate(text)
    np.testing.assert_allclose([schedule(0), schedule(9)], [first, tenth])


class Counted(LearningRateScheduler):
    """A user-defined schedule that records at which epochs it is evaluated."""

    def __init__(self, rates: dict[int, object]) -> None:
        self.rates = rates
        self.epochs: list[int] = []

    def __call__(self, epoch: int) -> float:
        self.epochs.append(epoch)
        return self.rates.get(epoch, 0.1)  # type: ignore[return-value]

    def __repr__(self) -> str:
        return "Counted"


@pytest.mark.parametrize("epochs", [1, 2, 100, 101, 1000, 10**6, 10**30])
def test_a_check_takes_constant_time(epochs: int) -> None:
    schedule = Counted({})
    check_schedule(schedule, epochs)
    assert len(schedule.epochs) <= 100
    assert schedule.epochs == sorted(set(schedule.epochs))
    assert (schedule.epochs[0], schedule.epochs[-1]) == (0, epochs - 1)
    assert len(schedule.epochs) >= min(epochs, 50)


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (math.nan, "Counted is nan at epoch 7; a learning rate should be a finite number"),
        (-math.inf, "Counted is -inf at epoch 7"),
        (10**400, "Counted is inf at epoch 7"),
        ("fast", "Counted gives no learning rate at epoch 7: could not convert"),
        ([], "Counted gives no learning rate at epoch 7"),
    ],
)
def test_rates_that_are_not_finite_are_reported_with_their_epoch(rate: object, message: str) -> None:
    with pytest.raises(NervaError, match=message):
        check_schedule(Counted({7: rate}), 20)


@given(
    st.one_of(
        schedules,
        st.builds("StepBased(1e{},{},{})".format, st.integers(-300, 300), st.floats(0.5, 4), st.floats(0.01, 9)),
        st.builds("MultiStepLR(1e{};5,700;1e{})".format, st.integers(-300, 300), st.integers(-300, 300)),
        st.builds("WarmUp(StepBased(1e{},2,{}),{})".format, st.integers(-300, 300), st.floats(0.01, 9), st.just(9)),
        st.builds("Cosine(1.7e308, {}, {})".format, st.integers(1, 2000), st.sampled_from(["0", "1.7e308"])),
    ),
    st.integers(1, 1500),
)
def test_a_check_finds_what_going_through_all_epochs_finds(text: str, epochs: int) -> None:
    schedule = parse_learning_rate(text)
    finite = all(math.isfinite(schedule(epoch)) for epoch in range(epochs))
    try:
        check_schedule(schedule, epochs)
    except NervaError:
        assert not finite
    else:
        assert finite


@pytest.mark.parametrize("text", ["StepBased(0.1, 2, 0.001)", "MultiStepLR(1e300;999999;1e300)"])
def test_a_rate_that_overflows_late_is_found(text: str) -> None:
    with pytest.raises(NervaError, match="is inf at epoch"):
        check_schedule(parse_learning_rate(text), 10**6)


@pytest.mark.parametrize(
    "text", [f"Cosine(0.1, 1{'0' * 400})", f"WarmUp(Constant(0.1), 1{'0' * 400})", "Constant(1e400)"]
)
def test_numbers_that_are_too_large_are_refused(text: str) -> None:
    with pytest.raises(NervaError, match="should be greater than 0 and finite"):
        parse_learning_rate(text)
