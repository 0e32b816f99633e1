"""The summary of a comparison: a few lines of text."""

from pathlib import Path
from typing import Any

from nerva.experiment.config.metrics import Metric
from nerva.experiment.report.importance import REST, Importance
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.text import plural

# How many failed and damaged runs have a line each.
_MOST_LINES = 10


def summary(comparison: Comparison, folder: Path, ui: str = "", importance: Importance | None = None) -> str:
    """What was compared, which configuration is best, what failed, and where the results are.

    Args:
        comparison: the sweep.
        folder: the folder of the results.
        ui: how to open the MLflow UI, if the runs are logged.
        importance: the importance of what was swept.
    """
    runs, board = comparison.runs, comparison.board
    best, metric = board.iloc[0], comparison.metric
    counts = f"{plural(len(runs), 'run')} of {plural(len(board), 'configuration')}"
    lines = [f"{comparison.title}: {counts} on {comparison.data}"]
    if comparison.note:
        lines.append(f"  data         {comparison.note}")
    if len(comparison.finished):
        lines += [
            f"  best         {best['configuration']}",
            f"  validation   {_mean(best, metric.name, metric)}",
            f"  test         {_mean(best, metric.test, metric)}",
        ]
    else:
        lines.append("  best         none: all runs failed")
    if importance and importance.shares:
        shares = [*((x.factor, x.share) for x in importance.shares), (REST, importance.rest)]
        lines.append(f"  importance   {', '.join(f'{name} {share:.0%}' for name, share in shares)}")
    failed = runs[runs["status"] == "failed"].to_dict("records")
    lines += _some("failed", [f"{run['configuration']}, seed {run['seed']}: {run['reason']}" for run in failed])
    lines += _some("left out", [f"{run.run_id}: {run.reason}" for run in comparison.damaged])
    lines.append(f"  results      {folder}/: report.html, leaderboard.csv, learning_curves.png")
    if ui:
        lines.append(f"  MLflow UI    {ui}")
    return "\n".join(lines) + "\n"


def _some(word: str, described: list[str]) -> list[str]:
    """A line for each of the first runs, and one that counts the others."""
    shown = described[:_MOST_LINES]
    if len(described) > len(shown):
        shown.append(f"and {len(described) - len(shown)} more: see report.html and leaderboard.csv")
    return [f"  {word:<12} {text}" for text in shown]


def _mean(row: Any, name: str, metric: Metric) -> str:
    seeds = row["seeds"] - row["failed"]
    spread = f" ± {metric.text(row[f'{name}_std'])} (standard deviation over {seeds} seeds)"
    quantity = "" if metric.is_fraction else f"{metric.quantity_label} "
    return quantity + metric.text(row[name]) + (spread if seeds > 1 else " (one seed)")
