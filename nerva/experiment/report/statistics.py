"""Confidence intervals, and tests of whether a difference between configurations may be noise."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nerva.experiment.config.metrics import Metric
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.text import plural

# A difference with a p-value below this is called one.
SIGNIFICANCE = 0.05
# How many configurations are compared with the best. A p-value takes some hundredths of a second.
MOST_TESTED = 19

Range = tuple[float, float]


def interval(values: Sequence[float], bounds: Range = (0.0, 1.0)) -> Range:
    """The 95% confidence interval of a mean, by Student's t-distribution; nan if the values have no spread.

    Args:
        values: the values, one per seed.
        bounds: the smallest and the largest possible value; by default, those of an accuracy.
    """
    if not _has_spread(values):
        return math.nan, math.nan
    from scipy.special import stdtrit  # the import of scipy.stats takes a second, and many sweeps have one seed

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = float(stdtrit(len(values) - 1, 0.975)) * error
    return max(bounds[0], mean - half), min(bounds[1], mean + half)


def p_values(best: Sequence[float], others: Sequence[Sequence[float]], most: int = MOST_TESTED) -> list[float]:
    """The probability that equally good configurations differ from the best of them as much as each of these does.

    This is the Games–Howell test; for two configurations it is Welch's t-test. The best of many is ahead by luck, too:
    the more configurations there are, the larger a difference has to be.

    Args:
        best: the values of the best configuration, one per seed, such as accuracies.
        others: the values of the configurations that are compared with it.
        most: how many of the others are tested: the first ones. The rest count for the number of configurations.

    Returns:
        The p-value of each of the others. It is nan if it was not tested, if one of the two has a single value, or if
        neither has any spread: accuracies are multiples of one sample, so that seeds that agree on it say little of how
        others would differ.
    """
    testable = [
        min(len(best), len(values)) > 1 and (_has_spread(best) or _has_spread(values)) for values in others
    ]  # fmt: skip
    result = np.full(len(others), math.nan)
    tested = [index for index, included in enumerate(testable[:most]) if included]
    if tested:
        from scipy.stats import studentized_range

        # scipy.stats.tukey_hsd(equal_var=False) tests all pairs: half a million for a thousand configurations.
        error = np.array([np.var(others[index], ddof=1) / len(others[index]) for index in tested])
        n = np.array([len(others[index]) for index in tested])
        of_best = np.var(best, ddof=1) / len(best)
        degrees = (of_best + error) ** 2 / (of_best**2 / (len(best) - 1) + error**2 / (n - 1))
        difference = np.abs(np.mean(best) - np.array([np.mean(others[index]) for index in tested]))
        q = difference / np.sqrt((of_best + error) / 2)
        result[tested] = studentized_range.sf(q, 1 + sum(testable), degrees)
    return [float(p) for p in result]


def compare_to_best(comparison: Comparison) -> pd.DataFrame:
    """The leaderboard, with the confidence interval of each configuration and its difference to the best.

    Returns:
        The leaderboard with the columns low and high (of the interval), outcome (best, worse, noise, unknown, untested,
        better or failed) and difference (the outcome in words).
    """
    metric = comparison.metric
    finished = comparison.finished.groupby("configuration_id")[metric.name]
    values = [
        finished.get_group(identifier).tolist() if identifier in finished.groups else []
        for identifier in comparison.board["configuration_id"]
    ]
    best = values[0]
    p = [math.nan, *p_values(best, values[1:])]
    outcomes = [
        _outcome(row, own, best, p_value, metric)
        for row, own, p_value in zip(comparison.board.to_dict("records"), values, p, strict=True)
    ]
    intervals = [interval(own, metric.bounds) for own in values]
    return comparison.board.assign(
        low=[low for low, _ in intervals],
        high=[high for _, high in intervals],
        outcome=[outcome for outcome, _ in outcomes],
        difference=[difference for _, difference in outcomes],
    )


def verdict(compared: pd.DataFrame, metric: Metric) -> str:
    """The result of `compare_to_best` in a few sentences."""
    best, others = compared.iloc[0], compared.iloc[1:]
    if best["outcome"] == "failed":
        return "All runs failed. The reasons are listed below."
    text = f"{best['configuration']} is best, with" if len(others) else f"{best['configuration']} has"
    text += f" a {metric.label} of {metric.text(best[metric.name])}"
    if not math.isnan(best["low"]):
        seeds = best["seeds"] - best["failed"]
        text += f" (95% confidence interval {metric.text(best['low'])} to {metric.text(best['high'])}, {seeds} seeds)"
    text += f" and a test {metric.quantity_label} of {metric.text(best[metric.test])}."
    noise, unknown, worse, better, failed, untested = (
        int((others["outcome"] == outcome).sum())
        for outcome in ("noise", "unknown", "worse", "better", "failed", "untested")
    )
    if unknown and not noise and not worse:
        text += " These seeds are too few, or too similar, to tell a difference from noise."
    else:
        if noise:
            which = "the other configuration" if len(others) == 1 else f"{noise} of the {len(others)} others"
            text += f" The difference to {which} may be noise."
        if unknown:
            text += f" {unknown} of the {len(others)} others can't be tested: too few seeds, or no spread over seeds."
        if worse:
            which = "The rest" if noise or unknown or better else "All others"
            which = "All that were tested" if untested and which == "All others" else which
            which += " that finished" if failed and which == "All others" else ""
            text += f" {which} are worse by more than noise explains." if len(others) > 1 else ""
            text += " The other configuration is worse by more than noise explains." if len(others) == 1 else ""
    if better:
        text += f" {plural(better, 'configuration')} would rank higher without failed runs."
    if untested:
        text += f" Only the {MOST_TESTED} configurations that follow the best were tested."
    if failed:
        text += f" {plural(failed, 'configuration')} failed with every seed."
    return text


def _outcome(
    row: dict[Any, Any], values: Sequence[float], best: Sequence[float], p: float, metric: Metric
) -> tuple[str, str]:
    if not values:
        return "failed", "failed"
    if row["rank"] == 1:
        return "best", "the best"
    if metric.is_better(float(np.mean(values)), float(np.mean(best))):
        return "better", f"better, but {row['failed']} of {row['seeds']} runs failed"
    if min(len(best), len(values)) < 2:
        return "unknown", "unknown: too few seeds"
    if row["rank"] > 1 + MOST_TESTED:
        return "untested", "not tested"
    if math.isnan(p):
        return "unknown", "unknown: no spread over seeds"
    # The tails of the real distribution are not known better than that.
    probability = f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
    return ("worse", f"worse ({probability})") if p < SIGNIFICANCE else ("noise", f"may be noise ({probability})")


def _has_spread(values: Sequence[float]) -> bool:
    # Not the variance: the mean of equal numbers may be another number.
    return len(values) > 1 and min(values) < max(values)
