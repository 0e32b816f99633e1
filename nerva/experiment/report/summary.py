"""The summary of a comparison: a few lines of text."""

from pathlib import Path
from typing import Any

from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.text import plural


def summary(comparison: Comparison, folder: Path, ui: str = "") -> str:
    """What was compared, which configuration is best, what failed, and where the results are.

    Args:
        comparison: the sweep.
        folder: the folder of the results.
        ui: how to open the MLflow UI, if the runs are logged.
    """
    runs, board = comparison.runs, comparison.board
    best = board.iloc[0]
    counts = f"{plural(len(runs), 'run')} of {plural(len(board), 'configuration')}"
    lines = [f"{comparison.title}: {counts} on {comparison.data}"]
    if comparison.note:
        lines.append(f"  data         {comparison.note}")
    if len(comparison.finished):
        lines += [
            f"  best         {best['configuration']}",
            f"  validation   {_accuracy(best, 'validation')}",
            f"  test         {_accuracy(best, 'test')}",
        ]
    else:
        lines.append("  best         none: all runs failed")
    lines += [
        f"  failed       {run['configuration']}, seed {run['seed']}: {run['reason']}"
        for run in runs[runs["status"] == "failed"].to_dict("records")
    ]
    lines += [f"  left out     {run.run_id}: {run.reason}" for run in comparison.damaged]
    lines.append(f"  results      {folder}/: report.html, leaderboard.csv, learning_curves.png")
    if ui:
        lines.append(f"  MLflow UI    {ui}")
    return "\n".join(lines) + "\n"


def _accuracy(row: Any, part: str) -> str:
    mean, std = row[f"{part}_accuracy"], row[f"{part}_accuracy_std"]
    seeds = row["seeds"] - row["failed"]
    return f"{mean:.2%}" + (f" ± {std:.2%} (standard deviation over {seeds} seeds)" if seeds > 1 else " (one seed)")
