"""Ranking the configurations of a sweep.

Runs that differ only in the seed share a configuration. Configurations are ranked by validation accuracy: the
mean, over seeds, of the best epoch of each run. The test accuracy at the same epoch is only reported.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.curves import LearningCurves, learning_curves
from nerva.experiment.report.labels import configuration_labels
from nerva.experiment.report.loading import DamagedRun, LoadedRun, load_runs
from nerva.experiment.report.text import cut, plural


@dataclass(frozen=True)
class Comparison:
    """The ranked runs of a sweep."""

    title: str  # the dataset and the experiment
    data: str  # the title of the dataset
    note: str  # why this dataset was chosen, if it was not named
    runs: pd.DataFrame  # one row per run; see `load`
    board: pd.DataFrame  # one row per configuration, the best first; see `leaderboard`
    curves: list[LearningCurves] = field(default_factory=list)
    loaded: list[LoadedRun] = field(default_factory=list)  # the records of each run, in the order of `runs`
    damaged: list[DamagedRun] = field(default_factory=list)  # these take no part

    @property
    def finished(self) -> pd.DataFrame:
        """The runs that did not fail."""
        return self.runs[self.runs["status"] == "finished"]

    @property
    def champion(self) -> int | None:
        """The position of the best single run by validation accuracy; None if all runs failed."""
        accuracies = self.runs["validation_accuracy"].fillna(-1).to_numpy()  # those of failed runs are nan
        return None if self.finished.empty else int(accuracies.argmax())

    def require_whole(self) -> None:
        """Raise a NervaError that lists the damaged runs, if there are any."""
        if self.damaged:
            count = f"{len(self.damaged)} of {plural(len(self.damaged) + len(self.runs), 'run')}"
            raise NervaError(f"{count} of {self.title} left out:{_listed(self.damaged)}")


def load(folders: Sequence[RunFolder], title: str, note: str = "") -> Comparison:
    """Load the runs of a sweep, and rank them. Damaged runs are left out, and listed in the result.

    Args:
        folders: the runs, all on the same data.
        title: the dataset and the experiment.
        note: why this dataset was chosen, if it was not named.

    Raises:
        NervaError: if there are no runs, or all are damaged.
    """
    if not folders:
        raise NervaError(f"{title} has no runs to compare")
    loaded, damaged = load_runs(folders)
    if not loaded:
        raise NervaError(f"{title} has no runs to compare, because none can be used:{_listed(damaged)}")
    rows = []
    metrics: list[dict[str, Any]] = []
    labels = configuration_labels([run.provenance for run in loaded])
    for run, label in zip(loaded, labels, strict=True):
        record, best = run.record, run.record.best
        rows.append(
            {
                "configuration": label,
                "seed": run.config.seed,
                "run_id": run.folder.run_id,
                "configuration_id": run.provenance.configuration_id,
                "status": record.status,
                "best_epoch": best.epoch if best else math.nan,
                "validation_accuracy": best.validation_accuracy if best else math.nan,
                "test_accuracy": best.test_accuracy if best else math.nan,
                "training_seconds": record.training_seconds,
                "seconds_per_epoch": record.seconds_per_epoch,
                "peak_memory_mb": record.peak_memory_mb,
                "reason": cut(record.reason or "", 1000),
            }
        )
        metrics += [row | {"configuration_id": run.provenance.configuration_id} for row in run.metrics]
    runs = pd.DataFrame(rows)
    board = leaderboard(runs)
    runs["rank"] = runs["configuration_id"].map(board.set_index("configuration_id")["rank"])
    curves = learning_curves(pd.DataFrame(metrics), board)
    return Comparison(title, cut(loaded[0].provenance.data.title, 200), note, runs, board, curves, loaded, damaged)


def leaderboard(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration, the best first: means and standard deviations over the finished runs.

    In the ranking, a failed run counts as 0. The mean of the others, which is shown, would flatter a configuration.
    """
    finished = runs["status"] == "finished"
    metrics = ["validation_accuracy", "test_accuracy", "training_seconds"]
    board = (
        runs.assign(finished=finished, **{name: runs[name].where(finished) for name in metrics})
        .groupby("configuration_id", sort=False)
        .agg(
            configuration=("configuration", "first"),
            seeds=("finished", "size"),
            failed=("finished", lambda finished: int((~finished).sum())),
            validation_accuracy=("validation_accuracy", "mean"),
            validation_accuracy_std=("validation_accuracy", "std"),
            test_accuracy=("test_accuracy", "mean"),
            test_accuracy_std=("test_accuracy", "std"),
            training_seconds=("training_seconds", "mean"),
        )
        .reset_index()
    )
    counted = board["validation_accuracy"] * (1 - board["failed"] / board["seeds"])
    board = (
        board.assign(counted=counted)
        .sort_values(["counted", "validation_accuracy_std"], ascending=[False, True], kind="stable", ignore_index=True)
        .drop(columns="counted")
    )
    board.insert(0, "rank", range(1, len(board) + 1))
    return board


def _listed(damaged: Sequence[DamagedRun]) -> str:
    return "".join(f"\n  {run.run_id}: {run.reason}" for run in damaged)
