"""What of a leaderboard is a difference, and what may be noise."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from nerva.experiment.report.ranking import Comparison, plural

# Below this probability of being chance alone, a difference is called one.
CHANCE = 0.05


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% confidence interval of a mean accuracy, by Student's t; nan where the values have no spread."""
    n, deviation = len(values), _deviation(values)
    if not deviation > 0:
        return math.nan, math.nan
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return max(0.0, mean - half), min(1.0, mean + half)


def chances(best: Sequence[float], others: Sequence[Sequence[float]]) -> list[float]:
    """How likely equally good configurations differ from the best of them as much as each of these does.

    Games and Howell's test, which is Welch's t-test for two. The best of many is ahead by luck, too, so that the more
    there are, the larger a difference has to be.

    Args:
        best: the accuracies of the configuration that did best, a value a seed.
        others: those of the configurations that it is compared with.

    Returns:
        The p-value of each; nan if that can't be told: of one value, or where the seeds of both agree to the last
        image, as accuracies are steps of one image.
    """
    n, mean, deviation = np.array([(len(x), np.mean(x) if x else math.nan, _deviation(x)) for x in (best, *others)]).T
    squares = deviation**2 / n  # of the standard errors
    both = squares[0] + squares[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        df = both**2 / (squares[0] ** 2 / (n[0] - 1) + squares[1:] ** 2 / (n[1:] - 1))
        distance = np.abs(mean[0] - mean[1:]) / np.sqrt(both / 2)
    p = np.full(len(others), math.nan)
    told = both > 0
    if told.any():
        p[told] = stats.studentized_range.sf(distance[told], np.count_nonzero(told) + 1, df[told])
    return [float(x) for x in p]


def _deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample; nan if it has less than two values."""
    if len(values) < 2:
        return math.nan
    # The mean of equal numbers may be another number.
    return 0.0 if min(values) == max(values) else float(np.std(values, ddof=1))


def judged(comparison: Comparison) -> list[dict[Any, Any]]:
    """The leaderboard's rows, each with its interval, and with what can be said of its difference to the best."""
    rows = comparison.board.to_dict("records")
    accuracies = [_accuracies(comparison, row) for row in rows]
    best = accuracies[0]
    for row, values, p in zip(rows, accuracies, [math.nan, *chances(best, accuracies[1:])], strict=True):
        row["low"], row["high"] = interval(values)
        if not values:
            row["difference"] = "failed"
        elif row["rank"] == 1:
            row["difference"] = "the best"
        elif np.mean(values) > np.mean(best):
            row["difference"] = f"higher, but {row['failed']} of {row['seeds']} runs failed"
        elif math.isnan(p):
            few = min(len(best), len(values)) < 2
            row["difference"] = "can't be told: " + ("too few seeds" if few else "no spread over seeds")
        else:
            row["difference"] = f"{'worse' if p < CHANCE else 'may be noise'} ({_probability(p)})"
    return rows


def _probability(p: float) -> str:
    # Nobody knows the distribution's tails better than that.
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _accuracies(comparison: Comparison, row: Any) -> list[float]:
    """The validation accuracies of a configuration's finished runs."""
    runs = comparison.runs
    same = (runs["configuration_id"] == row["configuration_id"]) & (runs["status"] == "finished")
    return [float(x) for x in runs[same]["validation_accuracy"]]


def verdict(judged: Sequence[dict[Any, Any]]) -> str:
    """What the rows of a leaderboard say, in a sentence or two."""
    best, *others = judged
    if best["difference"] == "failed":
        return "All runs failed; the reasons are below."
    text = f"{best['configuration']} is best, with" if others else f"{best['configuration']} has"
    text += f" a validation accuracy of {best['validation_accuracy']:.2%}"
    if not math.isnan(best["low"]):
        text += f" (95% interval {best['low']:.2%} to {best['high']:.2%}, {best['seeds'] - best['failed']} seeds)"
    text += f" and a test accuracy of {best['test_accuracy']:.2%}."
    kinds = ["failed", "higher", "can't be told", "may be noise", "worse"]
    failed, higher, unknown, noise, worse = (
        sum(row["difference"].startswith(kind) for row in others) for kind in kinds
    )
    if unknown and not noise and not worse:
        text += " With these seeds, it can't be told what is a difference and what is noise."
    elif unknown or noise:
        if noise:
            which = "the other" if len(others) == 1 else f"{noise} of the {len(others)} others"
            text += f" The difference to {which} may be noise."
        if unknown:
            text += f" With so few seeds, or none that differ, {unknown} of the {len(others)} others can't be judged."
            text += " The rest are worse by more than noise explains." if worse else ""
    elif worse:
        those = "The rest" if higher else "All others that finished" if failed else "All others"
        text += f" {those} are worse by more than noise explains."
    if higher:
        text += f" {plural(higher, 'configuration')} would be higher, if runs had not failed: each counts as 0."
    if failed:
        text += f" {plural(failed, 'configuration')} failed with every seed."
    return text
