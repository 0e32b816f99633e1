"""A sweep's runs, ranked: leaderboard, plots and a summary.

A configuration is what runs share that differ in the seed only. Configurations are ranked by validation accuracy,
the mean over seeds of each run's best epoch; test accuracy, at that same epoch, is only reported.
"""

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.predictions import COLOURS, figure
from nerva.utilities import whole_or_absent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Comparison:
    """A sweep's runs."""

    title: str  # the dataset and the experiment
    data: str  # the dataset's name for people
    runs: pd.DataFrame  # a row a run: see `load`
    note: str  # why these data were taken, if they were not asked for by name
    curves: pd.DataFrame  # a row a run and epoch: run_id, configuration and what metrics.csv has
    board: pd.DataFrame  # a row a configuration, the best first: see `leaderboard`


def load(folders: Sequence[RunFolder], title: str, note: str = "") -> Comparison:
    """Reads the runs of a sweep, and ranks them.

    Args:
        folders: the runs, all on the same data.
        title: the dataset and the experiment.
        note: why these data were taken, if they were not asked for by name.

    Raises:
        NervaError: if there are no runs, or one has not ended.
    """
    if not folders:
        raise NervaError(f"{title} has no runs to compare")
    rows, curves = [], []
    origins = [folder.read_provenance() for folder in folders]
    labels = _labels([origin["determined_by"] for origin in origins])
    for folder, origin, label in zip(folders, origins, labels, strict=True):
        summary = folder.read_summary()
        best = summary["best"] or dict.fromkeys(("epoch", "validation_accuracy", "test_accuracy"), math.nan)
        rows.append(
            {
                "configuration": label,
                "seed": origin["determined_by"]["seed"],
                "run_id": folder.run_id,
                "configuration_id": origin["configuration_id"],
                "status": summary["status"],
                "best_epoch": best["epoch"],
                "validation_accuracy": best["validation_accuracy"],
                "test_accuracy": best["test_accuracy"],
                "training_seconds": summary["training_seconds"],
                "seconds_per_epoch": summary["seconds_per_epoch"],
                "peak_memory_mb": summary["peak_memory_mb"],
                "reason": summary["reason"],
            }
        )
        curves.append(pd.DataFrame(folder.read_metrics()).assign(run_id=folder.run_id, configuration=label))
    runs = pd.DataFrame(rows)
    board = leaderboard(runs)
    runs = runs.assign(rank=runs["configuration_id"].map(board.set_index("configuration_id")["rank"]))
    data = origins[0]["data"]["title"]
    return Comparison(title, data, runs, note, pd.concat(curves), board)


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a configuration, the best first: means and standard deviations over the seeds of its runs.

    A failed run counts as 0 in the ranking: the mean of the others, which is shown, would flatter a configuration.
    """
    finished = runs.assign(ok=runs["status"] == "finished")
    figures = finished.where(finished["ok"])[["validation_accuracy", "test_accuracy", "training_seconds"]]
    groups = pd.concat([finished[["configuration", "configuration_id", "ok"]], figures], axis="columns").groupby(
        ["configuration", "configuration_id"], sort=False
    )
    board = groups.agg(
        seeds=("ok", "size"),
        failed=("ok", lambda ok: int((~ok).sum())),
        validation_accuracy=("validation_accuracy", "mean"),
        validation_accuracy_std=("validation_accuracy", "std"),
        test_accuracy=("test_accuracy", "mean"),
        test_accuracy_std=("test_accuracy", "std"),
        training_seconds=("training_seconds", "mean"),
    )
    board = board.reset_index()
    board = (
        board.assign(counted=board["validation_accuracy"] * (1 - board["failed"] / board["seeds"]))
        .sort_values(["counted", "validation_accuracy_std"], ascending=[False, True], kind="stable")
        .drop(columns="counted")
    )
    board.insert(0, "rank", range(1, len(board) + 1))
    return board.reset_index(drop=True)


def _labels(determined_by: Sequence[dict[str, Any]]) -> list[str]:
    """What tells the configurations of a sweep apart: the parts in which they differ, seeds aside."""

    def parts(canonical: dict[str, Any]) -> dict[str, str]:
        named = {key: canonical[key] for key in ("optimizer", "learning_rate", "loss")}
        named |= {key: f"{key} {_short(canonical[key])}" for key in ("sizes", "weights")}
        named |= {key: f"{key} {value}" for key, value in canonical["train"].items()}
        named |= {"validation": f"validation {canonical['data']['validation']}"}
        return named | {"numerics": f"{canonical['numerics']} numerics"}

    described = [parts(canonical) for canonical in determined_by]
    for named, layers in zip(
        described, short_layers([canonical["layers"] for canonical in determined_by]), strict=True
    ):
        named["layers"] = f"layers {layers}"
    differing = [key for key in described[0] if len({parts[key] for parts in described}) > 1]
    # A sweep over seeds only has one configuration, which is known by its network.
    shown = differing or ["sizes", "optimizer", "learning_rate"]
    return [", ".join(parts[key] for key in shown) for parts in described]


def short_layers(networks: Sequence[Sequence[str]]) -> list[str]:
    """The layers of networks, such as `3×ReLU-Linear`; with their arguments if networks differ in these."""
    texts = [
        "-".join(f"{n}×{layer}" if n > 1 else layer for layer, same in groupby(layers) for n in [len(list(same))])
        for layers in networks
    ]
    names = [re.sub(r"\([^()]*\)", "", text) for text in texts]
    return names if len(set(names)) == len(set(texts)) else texts


def _short(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def write(comparison: Comparison, folder: Path, ui: str = "") -> list[Path]:
    """Writes leaderboard.csv, the plots as PNG and SVG, and summary.txt; returns what was written."""
    written = [folder / "leaderboard.csv"]
    with whole_or_absent(written[0]) as temporary:
        _table(comparison).to_csv(temporary, index=False)
    for name, picture in (("learning_curves", _learning_curves(comparison)), ("leaderboard", _ranking(comparison))):
        for suffix in ("png", "svg"):
            written.append(folder / f"{name}.{suffix}")
            with whole_or_absent(written[-1]) as temporary:
                # Without a date, the same runs give the same file.
                picture.savefig(temporary, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    written.append(folder / "summary.txt")
    with whole_or_absent(written[-1]) as temporary:
        temporary.write_text(summary(comparison, folder, ui))
    return written


def _table(comparison: Comparison) -> pd.DataFrame:
    """The leaderboard with a row a configuration, and below each, one a run."""
    rows: list[dict[Any, Any]] = []
    for configuration in comparison.board.to_dict("records"):
        rows.append({"row": "configuration"} | configuration)
        runs = comparison.runs[comparison.runs["configuration"] == configuration["configuration"]]
        rows += [{"row": "run"} | run for run in runs.to_dict("records")]
    table = pd.DataFrame(rows).astype({"seeds": "Int64", "failed": "Int64", "seed": "Int64", "best_epoch": "Int64"})
    first = ["row", "rank", "configuration", "seeds", "seed", "status", "failed"]
    return table[[*first, *(column for column in table.columns if column not in first)]]


def summary(comparison: Comparison, folder: Path, ui: str = "") -> str:
    """A few lines for the terminal: the best configuration, where the results lie, how to see more in `ui`."""
    runs, board = comparison.runs, comparison.board
    failed = runs[runs["status"] == "failed"]
    best = board.iloc[0]
    ranked = len(failed) < len(runs)
    counts = f"{plural(len(runs), 'run')} of {plural(len(board), 'configuration')}"
    lines = [f"{comparison.title}: {counts} on {comparison.data}"]
    if comparison.note:
        lines.append(f"  data         {comparison.note}")
    if ranked:
        lines += [
            f"  best         {best['configuration']}",
            f"  validation   {_accuracy(best, 'validation')}",
            f"  test         {_accuracy(best, 'test')}",
        ]
    else:
        lines.append("  best         none: all runs failed")
    lines += [
        f"  failed       {run['configuration']}, seed {run['seed']}: {run['reason']}"
        for run in failed.to_dict("records")
    ]
    lines.append(f"  results      {folder}/: report.html, leaderboard.csv, learning_curves.png")
    if ui:
        lines.append(f"  MLflow UI    {ui}")
    return "\n".join(lines) + "\n"


def _accuracy(row: Any, part: str) -> str:
    mean, std = row[f"{part}_accuracy"], row[f"{part}_accuracy_std"]
    seeds = row["seeds"] - row["failed"]
    return f"{mean:.2%}" + (f" ± {std:.2%} (standard deviation over {seeds} seeds)" if seeds > 1 else " (one seed)")


def plural(count: int, noun: str) -> str:
    """A count with its noun, such as `1 run` or `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# More lines than these can't be told apart; the others are drawn in grey.
_HIGHLIGHTED = len(COLOURS)


def _learning_curves(comparison: Comparison) -> "Figure":
    """The loss and the validation accuracy of each configuration: the mean over seeds, and the range as a band."""
    from matplotlib.ticker import MaxNLocator

    picture, axes = figure(11, 4.8, 2)
    picture.suptitle(f"{comparison.title}: learning curves on {comparison.data}")
    for ax, column, label in zip(
        axes, ("train_loss", "validation_accuracy"), ("training loss", "validation accuracy"), strict=True
    ):
        # The best are drawn last, over the others.
        for row in reversed(comparison.board.to_dict("records")):
            top = row["rank"] <= _HIGHLIGHTED
            curves = comparison.curves[comparison.curves["configuration"] == row["configuration"]]
            band = curves.groupby("epoch")[column].agg(["mean", "min", "max"])
            colour = COLOURS[row["rank"] - 1] if top else "#BBBBBB"
            name = textwrap.fill(f"{row['rank']}. {row['configuration']}", 60) if top else None
            ax.plot(band.index, band["mean"], color=colour, label=name, marker="o", markersize=3)
            ax.fill_between(band.index, band["min"], band["max"], color=colour, alpha=0.15, linewidth=0)
        ax.set(xlabel="epoch", ylabel=label)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_yscale("log")
    handles, names = axes[1].get_legend_handles_labels()
    if len(comparison.board) > _HIGHLIGHTED:
        names[0] += f" (ranks {_HIGHLIGHTED + 1} to {len(comparison.board)} in grey)"
    picture.legend(handles[::-1], names[::-1], loc="outside lower center", ncols=2, fontsize="small")
    return picture


def _ranking(comparison: Comparison) -> "Figure":
    """Validation and test accuracy of each configuration, the best on top; a small mark is one run."""
    board = comparison.board
    labels = [
        textwrap.fill(
            row["configuration"] + (f" ({row['failed']} of {row['seeds']} failed)" if row["failed"] else ""), 45
        )
        for row in board.to_dict("records")
    ]
    lines = 1 + max(label.count("\n") for label in labels)
    picture, (ax,) = figure(9, 1.6 + len(board) * max(0.42, 0.2 * lines), 1)
    picture.suptitle(f"{comparison.title}: accuracy on {comparison.data}, at the best epoch by validation")
    for offset, part, colour, marker in ((-0.12, "validation", COLOURS[0], "o"), (0.12, "test", COLOURS[1], "D")):
        column = f"{part}_accuracy"
        for row in board.to_dict("records"):
            same = comparison.runs["configuration"] == row["configuration"]
            runs = comparison.runs[same & (comparison.runs["status"] == "finished")]
            ax.scatter(runs[column], [row["rank"] + offset] * len(runs), color=colour, marker=marker, s=12, alpha=0.5)
        ax.scatter(board[column], board["rank"] + offset, color=colour, marker=marker, s=55, label=f"{part}, mean")
    if board["validation_accuracy"].isna().all():
        ax.text(0.5, 0.5, "all runs failed", transform=ax.transAxes, ha="center")
        ax.set(xlim=(0, 1), ylim=(0.5, len(board) + 0.5))
    ax.set_yticks(board["rank"], labels)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(lambda x, _: f"{x:.1%}")
    ax.set_xlabel("accuracy")
    picture.legend(loc="outside lower center", ncols=2, fontsize="small")
    return picture
