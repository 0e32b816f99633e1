"""The tables of a comparison, for files and for the terminal.

`ranking` and `statistics` compute the columns of the leaderboard. This module selects them, and `report.html.j2` shows
them in the report.
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from nerva.errors import NervaError
from nerva.experiment.config.metrics import number, percent
from nerva.experiment.report.factors import find_key, ordered, swept_values
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.statistics import compare_to_best
from nerva.experiment.report.text import printable
from nerva.utilities import whole_or_absent

_FORMATS = (".csv", ".json", ".md", ".tex")
# How many rows of a table a terminal shows.
MOST_LINES = 50
_ONE_PAGE = 40  # rows; a longer table in LaTeX goes on on the next page


def leaderboard_table(comparison: Comparison, compared: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per configuration, with the interval and the difference to the best.

    Args:
        comparison: the sweep.
        compared: the result of `compare_to_best`, if it was computed before.
    """
    table = compare_to_best(comparison) if compared is None else compared
    metric = comparison.metric
    return table[
        [
            "rank", "configuration", "seeds", "failed", metric.name, f"{metric.name}_std", "low", "high",
            "difference", metric.test, f"{metric.test}_std", "training_seconds",
        ]
    ]  # fmt: skip


def leaderboard_with_runs(comparison: Comparison, compared: pd.DataFrame | None = None) -> pd.DataFrame:
    """The leaderboard, with the runs of each configuration below it. The column `row` tells which a row is."""
    configurations = leaderboard_table(comparison, compared).assign(row="configuration")
    runs = comparison.runs.assign(row="run")
    table = pd.concat([configurations, runs], ignore_index=True)
    table = table.sort_values(["rank", "row"], kind="stable", ignore_index=True)
    table = table.astype({"seeds": "Int64", "failed": "Int64", "seed": "Int64", "best_epoch": "Int64"})
    first = ["row", "rank", "configuration", "seeds", "seed", "status", "failed"]
    return table[[*first, *(column for column in table.columns if column not in first)]]


def value_table(comparison: Comparison, key: str) -> pd.DataFrame:
    """One row per value of a key that was swept, over all runs that have the value, the best run first.

    Args:
        comparison: the sweep.
        key: the key, such as `optimizer`, or a part of its name.

    Raises:
        NervaError: if no such key was swept, or more than one.
    """
    factors = swept_values([run.config for run in comparison.loaded])
    name, metric = find_key(factors, key), comparison.metric
    runs = comparison.runs.assign(value=factors[name])
    table = runs.groupby("value", sort=False).agg(
        runs=("status", "size"),
        failed=("status", lambda status: int((status == "failed").sum())),
        **{
            f"mean_{metric.name}": (metric.name, "mean"),
            "std_over_runs": (metric.name, "std"),
            f"best_{metric.name}": (metric.name, "max" if metric.maximize else "min"),
        },
    )
    table = table.reindex(ordered(factors[name])).rename_axis(name).reset_index()
    best = f"best_{metric.name}"
    return table.sort_values(best, ascending=not metric.maximize, kind="stable", ignore_index=True)


def comparison_table(comparison: Comparison, key: str | None) -> pd.DataFrame:
    """The leaderboard; with a key, the table of its values.

    Raises:
        NervaError: if no such key was swept, or more than one.
    """
    return leaderboard_table(comparison) if key is None else value_table(comparison, key)


def check_format(path: Path) -> None:
    """Raise a NervaError if `write_table` can't write such a file."""
    if path.suffix.lower() not in _FORMATS:
        raise NervaError(f"--output should end in {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}, not {path}")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as a .csv or .json file with all digits, or as a .md or .tex file for people."""
    with whole_or_absent(path) as temporary:
        suffix = path.suffix.lower()
        if suffix == ".csv":
            # A record may have half of a character, which no file can hold.
            table.to_csv(temporary, index=False, errors="replace")
        elif suffix == ".json":
            rows = table.astype(object).where(table.notna(), None).to_dict("records")
            temporary.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        else:
            text = markdown(table) if suffix == ".md" else latex(table)
            temporary.write_text(text, encoding="utf-8", errors="replace")


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, with the columns of the terminal. Nothing in a value is markup."""
    cells = _cells(table)
    rules = ["---:" if name in _numeric(cells) else ":---" for name in cells]
    rows = [[*map(_escaped_markdown, row)] for row in ([*cells], *cells.to_numpy().tolist())]
    return "".join(f"| {' | '.join(row)} |\n" for row in (rows[0], rules, *rows[1:]))


def latex(table: pd.DataFrame) -> str:
    """A table in LaTeX, with the columns of the terminal. Nothing in a value is a command."""
    cells = _cells(table)
    long = len(cells) > _ONE_PAGE
    # Columns of text wrap if they are too long for a page.
    wide = {name for name in cells if cells[name].map(len).max() > 60}
    alignment = ["r" if name in _numeric(cells) else r"p{0.4\linewidth}" if name in wide else "l" for name in cells]
    style = cells.rename(columns=_escaped_latex).style.format(_escaped_latex).hide(axis="index")
    text = style.to_latex(hrules=True, column_format="".join(alignment), environment="longtable" if long else None)
    packages = "booktabs and longtable" if long else "booktabs"
    return f"% The document needs {packages}.\n{text}"


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the terminal as texts, each on one line."""
    shown, formats = _shown(table)
    return pd.DataFrame(
        {
            str(name): ["–" if pd.isna(x) else " ".join(printable(formats.get(name, str)(x)).split()) for x in values]
            for name, values in shown.items()
        }
    )


def _numeric(cells: pd.DataFrame) -> set[str]:
    """The columns of numbers, which are aligned at the right."""
    return {str(name) for name, column in cells.items() if all(map(re.compile(r"[-–±\d.,% e+]+").fullmatch, column))}


def _escaped_markdown(text: str) -> str:
    # Of the characters that mean something in CommonMark, in its tables, or in GitHub's formulas, those inside a line.
    return re.sub(r"([\\`*_\[\]<>|~$&])", r"\\\1", text)


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}", "–": "--", "…": r"\ldots{}", **{c: rf"\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def _escaped_latex(text: object) -> str:
    # pandas' own escapes leave "<" and ">", which the default fonts show as other characters.
    return "".join(_LATEX.get(character, character) for character in str(text))


def format_table(table: pd.DataFrame) -> str:
    """A table as text for the terminal, as narrow as possible."""
    columns, formats = _shown(table)
    return str(columns.to_string(index=False, na_rep="–", formatters=formats))


def _shown(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[Any, Callable[[Any], str]]]:
    """The columns of a table for people, and how to write the numbers in some of them."""
    columns = dict(table.items())
    text = percent if any("accuracy" in str(name) for name in table) else number
    if "configuration" in table:
        columns = {name: table[name] for name in ("rank", "configuration")}
        for deviation in table:
            if (name := str(deviation).removesuffix("_std")) != deviation:
                pairs = zip(table[name], table[deviation], strict=True)
                texts = [text(mean) + ("" if math.isnan(std) else f" ± {text(std)}") for mean, std in pairs]
                columns[name.partition("_")[0]] = pd.Series(texts, index=table.index)
        columns["seeds"] = table["seeds"].astype(str).where(
            table["failed"] == 0, table["failed"].astype(str) + " of " + table["seeds"].astype(str) + " failed"
        )  # fmt: skip
        columns["compared to the best"] = table["difference"]
    of_metrics = re.compile("(mean|best)_.*|std_over_runs")
    formats: dict[Any, Callable[[Any], str]] = {name: text for name in map(str, columns) if of_metrics.fullmatch(name)}
    return pd.DataFrame(columns), formats
