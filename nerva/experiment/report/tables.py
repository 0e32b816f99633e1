"""The tables of a comparison, for files and for the terminal.

`ranking` and `statistics` compute the columns of the leaderboard. This module selects them, and `report.html.j2` shows
them in the report.
"""

import json
import math
from pathlib import Path

import pandas as pd

from nerva.errors import NervaError
from nerva.experiment.report.factors import find_key, ordered, swept_values
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.statistics import compare_to_best
from nerva.utilities import whole_or_absent


def leaderboard_table(comparison: Comparison) -> pd.DataFrame:
    """One row per configuration, with the interval and the difference to the best."""
    table = compare_to_best(comparison)
    return table[
        [
            "rank", "configuration", "seeds", "failed", "validation_accuracy", "validation_accuracy_std", "low", "high",
            "difference", "test_accuracy", "test_accuracy_std", "training_seconds",
        ]
    ]  # fmt: skip


def leaderboard_with_runs(comparison: Comparison) -> pd.DataFrame:
    """The leaderboard, with the runs of each configuration below it. The column `row` tells which a row is."""
    configurations = leaderboard_table(comparison).assign(row="configuration")
    runs = comparison.runs.assign(row="run")
    table = pd.concat([configurations, runs], ignore_index=True)
    table = table.sort_values(["rank", "row"], kind="stable", ignore_index=True)
    table = table.astype({"seeds": "Int64", "failed": "Int64", "seed": "Int64", "best_epoch": "Int64"})
    first = ["row", "rank", "configuration", "seeds", "seed", "status", "failed"]
    return table[[*first, *(column for column in table.columns if column not in first)]]


def value_table(comparison: Comparison, key: str) -> pd.DataFrame:
    """One row per value of a key that was swept, over all runs that have the value, the highest accuracy first.

    Args:
        comparison: the sweep.
        key: the key, such as `optimizer`, or a part of its name.

    Raises:
        NervaError: if no such key was swept, or more than one.
    """
    factors = swept_values([run.config for run in comparison.loaded])
    name = find_key(factors, key)
    runs = comparison.runs.assign(value=factors[name])
    table = runs.groupby("value", sort=False).agg(
        runs=("status", "size"),
        failed=("status", lambda status: int((status == "failed").sum())),
        mean_validation_accuracy=("validation_accuracy", "mean"),
        std_over_runs=("validation_accuracy", "std"),
        best_validation_accuracy=("validation_accuracy", "max"),
    )
    table = table.reindex(ordered(factors[name])).rename_axis(name).reset_index()
    return table.sort_values("best_validation_accuracy", ascending=False, kind="stable", ignore_index=True)


def comparison_table(comparison: Comparison, key: str | None) -> pd.DataFrame:
    """The leaderboard; with a key, the table of its values.

    Raises:
        NervaError: if no such key was swept, or more than one.
    """
    return leaderboard_table(comparison) if key is None else value_table(comparison, key)


def check_format(path: Path) -> None:
    """Raise a NervaError if `write_table` can't write such a file."""
    if path.suffix.lower() not in (".csv", ".json"):
        raise NervaError(f"--output should end in .csv or .json, not {path}")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as a .csv or .json file, with all digits."""
    with whole_or_absent(path) as temporary:
        if path.suffix.lower() == ".csv":
            table.to_csv(temporary, index=False)
        else:
            rows = table.astype(object).where(table.notna(), None).to_dict("records")
            temporary.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def format_table(table: pd.DataFrame) -> str:
    """A table as text for the terminal, as narrow as possible."""
    columns = dict(table.items())
    if "configuration" in table:
        columns = {name: table[name] for name in ("rank", "configuration")}
        for part in ("validation", "test"):
            means, deviations = table[f"{part}_accuracy"], table[f"{part}_accuracy_std"]
            columns[part] = pd.Series(
                [
                    _percent(mean) + ("" if math.isnan(std) else f" ± {std:.2%}")
                    for mean, std in zip(means, deviations, strict=True)
                ],
                index=table.index,
            )
        columns["seeds"] = table["seeds"].astype(str).where(
            table["failed"] == 0, table["failed"].astype(str) + " of " + table["seeds"].astype(str) + " failed"
        )  # fmt: skip
        columns["compared to the best"] = table["difference"]
    formats = {name: _percent for name in map(str, columns) if "accuracy" in name or name.startswith("std")}
    return str(pd.DataFrame(columns).to_string(index=False, na_rep="–", formatters=formats))


def _percent(fraction: float) -> str:
    return "–" if math.isnan(fraction) else f"{fraction:.2%}"
