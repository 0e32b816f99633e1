"""The importance of what was swept."""

from itertools import product

import numpy as np
import pytest

from nerva.experiment.report.importance import REST, Importance, explained, importance
from tests.experiment.report.examples import NAN


def shares(found: Importance) -> dict[str, float]:
    return {share.factor: share.share for share in found.shares} | {REST: found.rest}


def test_a_balanced_sweep() -> None:
    """Two factors with two values and two seeds. The sums of squares are 8, 2 and, for the seeds, 2."""
    a, b, seed = zip(*product([0, 1], [0, 1], [1, 2]), strict=True)
    y = [2.0 * i + j + k for i, j, k in zip(a, b, seed, strict=True)]
    found = explained({"seed": [*seed], "b": [*b], "a": [*a]}, y)
    assert shares(found) == pytest.approx({"a": 8 / 12, "b": 2 / 12, REST: 2 / 12})
    assert [share.factor for share in found.shares] == ["a", "b"]  # the largest first
    assert [share.values for share in found.shares] == [2, 2]
    assert found.notes == []


def test_an_interaction_counts_for_the_rest() -> None:
    found = explained({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]}, [0.0, 1.0, 1.0, 0.0])
    assert shares(found) == pytest.approx({"a": 0, "b": 0, REST: 1})


def test_a_factor_with_three_values() -> None:
    """The means are 1, 2 and 6 around 3; within the values, the deviations are ±1."""
    found = explained({"a": ["x", "x", "y", "y", "z", "z"]}, [0.0, 2.0, 1.0, 3.0, 5.0, 7.0])
    assert shares(found) == pytest.approx({"a": 28 / 34, REST: 6 / 34})


def test_values_that_are_not_combined_evenly() -> None:
    """The factors explain everything together, and each of them explains a part that the other explains as well."""
    found = explained({"a": [0, 0, 1, 1, 1], "b": [0, 0, 0, 1, 1]}, [0.0, 0.0, 1.0, 2.0, 2.0])
    assert found.rest == pytest.approx(0)
    assert sum(share.share for share in found.shares) > 1
    assert any("overlap, and need not add up to 100%" in note for note in found.notes)


def test_failed_runs_take_no_part_and_are_mentioned() -> None:
    found = explained({"a": [0, 0, 1, 1, 2], "seed": [1, 2, 1, 2, 1]}, [1.0, 2.0, 3.0, 4.0, NAN])
    assert shares(found) == pytest.approx({"a": 4 / 5, REST: 1 / 5})
    assert found.shares[0].values == 2
    assert found.notes == [
        "1 failed run took no part, so a factor that makes runs fail is more important than its share says."
    ]


@pytest.mark.parametrize(
    ("factors", "accuracies", "note"),
    [
        ({}, [0.9, 0.8], "Nothing but the seed differs"),
        ({"seed": [1, 2]}, [0.9, 0.8], "Nothing but the seed differs"),
        ({"a": [1]}, [0.9], "needs two finished runs, and there is 1."),
        ({"a": [1, 2]}, [NAN, NAN], "needs two finished runs, and there are none."),
        ({"a": [1, 1, 2, 2]}, [0.9] * 4, "the same value of the metric, so there is no variance"),
        ({"a": [1, 2, 3]}, [0.9, 0.8, 0.7], "Each value of a has one run"),
        ({"a": [1, 1, 2]}, [0.9, 0.8, NAN], "a single value of a, whose share is therefore unknown"),
    ],
)
def test_without_a_share_the_reason_is_given(factors, accuracies, note) -> None:
    found = explained(factors, accuracies)
    assert found.shares == []
    assert any(note in text for text in found.notes)
    assert found.table().empty
    assert list(found.table()) == ["factor", "values", "share", "by_chance"]


def test_the_share_by_chance_is_the_mean_over_random_assignments() -> None:
    generator = np.random.default_rng(1)
    values, y = [*range(5)] * 3, generator.normal(size=15)
    found = [explained({"a": values}, generator.permutation(y).tolist()).shares[0] for _ in range(2000)]
    assert found[0].by_chance == pytest.approx(4 / 14)
    assert np.mean([share.share for share in found]) == pytest.approx(4 / 14, abs=0.02)


def test_the_importance_in_a_sweep(comparison) -> None:
    """The means of the learning rates are those of the leaderboard."""
    found = importance(comparison)
    y = comparison.finished["validation_accuracy"]
    means = comparison.board["validation_accuracy"].dropna()
    assert found.shares[0].factor == "learning_rate.lr"
    assert found.shares[0].share == pytest.approx(3 * ((means - y.mean()) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    assert found.table()["share"].sum() == pytest.approx(1)
    assert list(found.table()["factor"]) == ["learning_rate.lr", REST]
