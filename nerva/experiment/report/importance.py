"""The importance of what was swept: the share of the variance of the metric that each factor explains.

This is the analysis of variance (R. A. Fisher, Statistical Methods for Research Workers, 1925). The share of a factor
is eta squared: the sum of squares between the means of its values, divided by the total sum of squares (J. Cohen,
Eta-squared and partial eta-squared in fixed factor ANOVA designs, Educational and Psychological Measurement 33, 1973).
Only main effects are computed: an interaction of factors counts for the rest, as the seed does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from nerva.experiment.report.factors import swept_values
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.text import plural
from nerva.matrix_operations import Matrix

REST = "seeds and interactions"


@dataclass(frozen=True)
class Share:
    """The share of the variance that a factor explains."""

    factor: str
    values: int  # the number of different values
    share: float
    # A factor without any effect has a share, too, which grows with its number of values. This is the mean share over
    # all ways to assign the values of the metric to the runs at random.
    by_chance: float


@dataclass(frozen=True)
class Importance:
    """What explains the variance of the metric in the best epoch over the finished runs."""

    shares: list[Share] = field(default_factory=list)  # the largest first
    rest: float = 0.0  # the share that the main effects of all factors together leave unexplained
    notes: list[str] = field(default_factory=list)  # what a reader has to know about these numbers, in sentences

    def table(self) -> pd.DataFrame:
        """One row per factor, and one for the rest."""
        rows: list[tuple[str, int | None, float, float | None]] = [
            (x.factor, x.values, x.share, x.by_chance) for x in self.shares
        ]
        if rows:
            rows.append((REST, None, self.rest, None))
        return pd.DataFrame(rows, columns=["factor", "values", "share", "by_chance"]).astype({"values": "Int64"})


def importance(comparison: Comparison) -> Importance:
    """The importance of each key that was swept, except for the seed, which belongs to the rest."""
    factors = swept_values([run.config for run in comparison.loaded])
    measured = comparison.runs[comparison.metric.name].where(comparison.runs["status"] == "finished")
    return explained(factors, measured.tolist())


def explained(factors: dict[str, list[Any]], measured: Sequence[float]) -> Importance:
    """The share of the variance that each factor explains.

    Args:
        factors: the value of each run, by the name of the factor. A factor `seed` is left out.
        measured: the metric of each run; nan if it failed.
    """
    y: Matrix = np.asarray(measured, dtype=float)
    finished = np.isfinite(y)
    y = y[finished]
    N = len(y)
    # The number of its value, for each run and factor.
    codes = {name: pd.factorize(pd.Series(x, dtype=object)[finished])[0] for name, x in factors.items()}
    codes = {name: code for name, code in codes.items() if name != "seed"}
    if not codes:
        return Importance(
            notes=["Nothing but the seed differs between the runs, so there is no factor to explain them."]
        )
    if N < 2:
        return Importance(notes=[f"The importance needs two finished runs, and there {'is 1' if N else 'are none'}."])
    if y.min() == y.max():
        return Importance(
            notes=["All finished runs have the same value of the metric, so there is no variance to explain."]
        )
    notes = []
    if len(finished) > N:
        failed = plural(len(finished) - N, "failed run")
        notes.append(f"{failed} took no part, so a factor that makes runs fail is more important than its share says.")
    counts = {name: int(code.max()) + 1 for name, code in codes.items()}
    if single := [name for name, count in counts.items() if count == 1]:
        notes.append(f"The finished runs have a single value of {_listed(single)}, whose share is therefore unknown.")
    # Means of single runs explain everything, whatever the values do.
    if saturated := [name for name, count in counts.items() if count == N]:
        notes.append(
            f"Each value of {_listed(saturated)} has one run, so its share can't be told from that of the seed."
        )
    tested = {name: codes[name] for name in codes if name not in (*single, *saturated)}
    if not tested:
        return Importance(notes=notes)
    if not all(_balanced(a, b) for a, b in combinations(tested.values(), 2)):
        notes.append(
            "The values are not combined evenly, for example because runs are missing or failed. The shares of factors "
            "then overlap, and need not add up to 100%."
        )
    total = float(((y - y.mean()) ** 2).sum())
    shares = [
        Share(name, counts[name], _between(code, y) / total, (counts[name] - 1) / (N - 1))
        for name, code in tested.items()
    ]
    shares.sort(key=lambda share: -share.share)
    return Importance(shares, min(1.0, _unexplained(list(tested.values()), y) / total), notes)


def _between(code: Matrix, y: Matrix) -> float:
    """The sum of squares between the means of the values of a factor."""
    n = np.bincount(code)
    means = np.bincount(code, y) / n
    return float((n * (means - y.mean()) ** 2).sum())


def _unexplained(codes: Sequence[Matrix], y: Matrix) -> float:
    """The sum of squares that the sum of the main effects of all factors leaves, by least squares.

    If the values are combined evenly, this is the total without the sums of squares of the factors.
    """
    design = np.concatenate([np.eye(code.max() + 1)[code] for code in codes], axis=1)
    effects, *_ = np.linalg.lstsq(design, y - y.mean())
    return float(((y - y.mean() - design @ effects) ** 2).sum())


def _balanced(first: Matrix, second: Matrix) -> bool:
    """Whether the values of one factor are equally frequent among the runs with each value of the other."""
    together = np.zeros((first.max() + 1, second.max() + 1), dtype=int)
    np.add.at(together, (first, second), 1)
    expected = np.outer(together.sum(axis=1), together.sum(axis=0))
    return bool((together * len(first) == expected).all())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
