"""Confidence intervals, p-values, and the verdict."""

import math

import numpy as np
import pytest
from scipy import stats

from nerva.experiment.config.metrics import ACCURACY
from nerva.experiment.report.statistics import (
    MOST_TESTED,
    SIGNIFICANCE,
    compare_to_best,
    interval,
    p_values,
    verdict,
)
from tests.experiment.report.examples import NAN, example_comparison


def test_intervals() -> None:
    low, high = interval([0.90, 0.92, 0.94])
    # Student's t with 2 degrees of freedom: 4.303 standard errors.
    assert (low, high) == (pytest.approx(0.92 - 4.3027 * 0.02 / 3**0.5, abs=1e-5), pytest.approx(0.96968, abs=1e-4))


def test_an_interval_ends_at_1() -> None:
    assert interval([0.5, 0.99])[1] == 1.0


# 280 of 300 images, three times: their mean is not exactly 280/300.
@pytest.mark.parametrize("values", [[], [0.9], [0.9, 0.9], [280 / 300] * 3])
def test_values_without_spread_have_no_interval(values) -> None:
    assert all(map(math.isnan, interval(values)))


def games_howell(best: list[float], others: list[list[float]]) -> list[float]:
    """The p-values by the formulas of Games and Howell (1976)."""
    result = []
    for values in others:
        a, b = np.var(best, ddof=1) / len(best), np.var(values, ddof=1) / len(values)
        df = (a + b) ** 2 / (a**2 / (len(best) - 1) + b**2 / (len(values) - 1))
        q = abs(np.mean(best) - np.mean(values)) / math.sqrt((a + b) / 2)
        result.append(float(stats.studentized_range.sf(q, len(others) + 1, df)))
    return result


def test_p_values() -> None:
    generator = np.random.default_rng(1)
    best, *others = ([*generator.normal(0.9, 0.01 * i, 2 + i)] for i in range(1, 6))
    assert p_values(best, others) == pytest.approx(games_howell(best, others), rel=1e-8)
    # SciPy tests all pairs.
    pairs = stats.tukey_hsd(best, *others, equal_var=False).pvalue[0, 1:]
    assert p_values(best, others) == pytest.approx(pairs, rel=1e-8)
    # With one of the two without spread.
    constant = [[0.8, 0.8], [280 / 300] * 3]
    assert p_values(best, constant) == pytest.approx(games_howell(best, constant), rel=1e-8)


def test_those_that_are_not_tested_count_for_the_others() -> None:
    """Otherwise the best of many would seem to be ahead by more than luck."""
    generator = np.random.default_rng(3)
    best, *others = ([*generator.normal(0.9 - 0.001 * i, 0.01, 4)] for i in range(6))
    tested = p_values(best, others, most=2)
    assert tested[:2] == p_values(best, others)[:2]
    assert np.isnan(tested[2:]).all()


def test_many_configurations() -> None:
    accuracies = {f"c{i:02}": [0.9 - i / 100, 0.901 - i / 100, 0.899 - i / 100] for i in range(MOST_TESTED + 3)}
    compared = compare_to_best(example_comparison(**accuracies))
    assert list(compared["outcome"][-2:]) == ["untested", "untested"]
    assert compared["difference"].iloc[-1] == "not tested"
    assert not {"untested", "unknown"} & {*compared["outcome"][: MOST_TESTED + 1]}
    assert f"Only the {MOST_TESTED} configurations that follow the best were tested." in verdict(compared, ACCURACY)


def test_two_configurations_are_compared_by_welchs_test() -> None:
    best, other = [0.91, 0.92, 0.95], [0.90, 0.91, 0.92, 0.9]
    assert p_values(best, [other])[0] == pytest.approx(stats.ttest_ind(best, other, equal_var=False).pvalue)


def test_what_can_not_be_tested_takes_no_part() -> None:
    best, others = [0.91, 0.92, 0.95], [[0.90, 0.91], [0.8, 0.81, 0.83]]
    for untestable in ([], [0.9], [0.9, 0.9]):
        assert np.isnan(p_values([0.8, 0.8], [untestable])).all()
    assert p_values(best, [[], *others, [0.9]])[1:-1] == p_values(best, others)
    assert math.isnan(p_values([0.9], others)[0])
    assert not math.isnan(p_values([0.9, 0.91], [[0.8, 0.8]])[0])
    assert p_values(best, []) == []


def test_the_best_of_equal_configurations_is_rarely_found_better() -> None:
    generator = np.random.default_rng(2)
    found = found_by_t_test = 0
    for _ in range(20):
        *others, best = sorted(generator.normal(0.9, 0.01, (5, 3)).tolist(), key=np.mean)
        found += min(p_values(best, others)) < SIGNIFICANCE
        found_by_t_test += min(stats.ttest_ind(best, x, equal_var=False).pvalue for x in others) < SIGNIFICANCE
    # A t-test of each pair does not take into account that the best is ahead by luck.
    assert found <= 1 < 5 <= found_by_t_test


@pytest.mark.parametrize(
    ("accuracies", "differences", "said"),
    [
        ({"a": [0.9]}, ["the best"], "a has a validation accuracy of 90.00% and a test accuracy of 90.00%."),
        (
            {"a": [0.9], "b": [0.8]},
            ["the best", "unknown: too few seeds"],
            "These seeds are too few, or too similar, to tell a difference from noise.",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.1, 0.11, 0.12]},
            ["the best", "worse (p < 0.0001)"],
            "The other configuration is worse by more than noise explains.",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.1, 0.11, 0.12], "c": [0.1, 0.11, 0.11]},
            ["the best", "worse (p ", "worse (p "],
            "All others are worse by more than noise explains.",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.1, 0.11, 0.12], "c": [NAN, NAN, NAN]},
            ["the best", "worse (p ", "failed"],
            "All others that finished are worse by more than noise explains. 1 configuration failed with every seed.",
        ),
        (
            {"a": [0.9, 0.91], "b": [0.9, 0.905]},
            ["the best", "may be noise (p = "],
            "The difference to the other configuration may be noise.",
        ),
        (
            {"a": [0.9, 0.9], "b": [0.8, 0.8]},
            ["the best", "unknown: no spread over seeds"],
            "too similar",
        ),
        (
            {"a": [280 / 300] * 3, "b": [279 / 300] * 3},
            ["the best", "unknown: no spread over seeds"],
            "too similar",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.9, 0.91, 0.915], "c": [0.9], "d": [0.1, 0.11, 0.12]},
            ["the best", "may be noise", "unknown: too few seeds", "worse"],
            "The difference to 1 of the 3 others may be noise. 1 of the 3 others can't be tested: too few "
            "seeds, or no spread over seeds. The rest are worse by more than noise explains.",
        ),
        # A failed run counts as 0: 0.62 is well above chance, but behind 0.8.
        (
            {"a": [0.79, 0.8, 0.81], "b": [0.92, 0.93, NAN], "c": [0.1, 0.11, 0.12]},
            ["the best", "better, but 1 of 3 runs failed", "worse"],
            "The rest are worse by more than noise explains. 1 configuration would rank higher without failed runs",
        ),
        ({"a": [NAN, NAN]}, ["failed"], "All runs failed. The reasons are listed below."),
    ],
)
def test_differences_and_the_verdict(accuracies, differences, said) -> None:
    compared = compare_to_best(example_comparison(**accuracies))
    assert list(compared["configuration"]) == list(accuracies)
    for found, difference in zip(compared["difference"], differences, strict=True):
        assert found.startswith(difference)
    assert said in verdict(compared, ACCURACY)


def test_the_verdict_has_the_interval_of_the_best() -> None:
    said = verdict(compare_to_best(example_comparison(a=[0.90, 0.92, 0.94], b=[0.1])), ACCURACY)
    assert "a is best, with a validation accuracy of 92.00% (95% confidence interval 87.03% to 96.97%, 3 seeds)" in said
