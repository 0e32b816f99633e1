"""Ranking the configurations of a sweep.

Runs that differ only in the seed share a configuration. Configurations are ranked by the metric of their runs, such as
the validation accuracy: the mean, over seeds, of the best epoch of each run. The same quantity of the test set at that
epoch is only reported.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nerva.errors import NervaError
from nerva.experiment.config.metrics import Metric, metric_of
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
    metric: Metric  # by which the runs are compared
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
        """The position of the best single run; None if all runs failed."""
        values = self.runs[self.metric.name].where(self.runs["status"] == "finished").to_numpy()
        return None if self.finished.empty else int(np.nanargmax(values if self.metric.maximize else -values))

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
        NervaError: if there are no runs, all are damaged, or they are not compared by the same metric.
    """
    if not folders:
        raise NervaError(f"{title} has no runs to compare")
    loaded, damaged = load_runs(folders)
    if not loaded:
        raise NervaError(f"{title} has no runs to compare, because none can be used:{_listed(damaged)}")
    compared_by = {metric_of(run.config) for run in loaded}
    if len(compared_by) > 1:
        names = " and ".join(sorted(metric.name for metric in compared_by))
        raise NervaError(f"the runs of {title} can't be compared, because their train.metric differs: {names}")
    (metric,) = compared_by
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
                metric.name: record.value(f"best.{metric.name}"),
                metric.test: record.value(f"best.{metric.test}"),
                "training_seconds": record.training_seconds,
                "seconds_per_epoch": record.seconds_per_epoch,
                "peak_memory_mb": record.peak_memory_mb,
                "reason": cut(record.reason or "", 1000),
            }
        )
        metrics += [row | {"configuration_id": run.provenance.configuration_id} for row in run.metrics]
    runs = pd.DataFrame(rows)
    board = leaderboard(runs, metric)
    runs["rank"] = runs["configuration_id"].map(board.set_index("configuration_id")["rank"])
    curves = learning_curves(pd.DataFrame(metrics), board, metric)
    data = cut(loaded[0].provenance.data.title, 200)
    return Comparison(title, data, note, metric, runs, board, curves, loaded, damaged)


def leaderboard(runs: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """One row per configuration, the best first: means and standard deviations over the finished runs.

    The mean of the finished runs, which is shown, would flatter a configuration with failed runs. In the ranking, a
    failed run has an accuracy of 0. If the metric has no lowest value, configurations with failed runs are ranked after
    the others.
    """
    finished = runs["status"] == "finished"
    metrics = [metric.name, metric.test, "training_seconds"]
    board = (
        runs.assign(finished=finished, **{name: runs[name].where(finished) for name in metrics})
        .groupby("configuration_id", sort=False)
        .agg(
            configuration=("configuration", "first"),
            seeds=("finished", "size"),
            failed=("finished", lambda finished: int((~finished).sum())),
            **{
                f"{name}{suffix}": (name, function)
                for name in (metric.name, metric.test)
                for suffix, function in (("", "mean"), ("_std", "std"))
            },
            training_seconds=("training_seconds", "mean"),
        )
        .reset_index()
    )
    failed = board["failed"] / board["seeds"]
    counted = board[metric.name] * (1 - failed if metric.is_fraction else 1)
    board = (
        board.assign(counted=counted, incomplete=0.0 if metric.is_fraction else failed)
        .sort_values(
            ["incomplete", "counted", f"{metric.name}_std"],
            ascending=[True, not metric.maximize, True],
            kind="stable",
            ignore_index=True,
        )
        .drop(columns=["counted", "incomplete"])
    )
    board.insert(0, "rank", range(1, len(board) + 1))
    return board


def _listed(damaged: Sequence[DamagedRun]) -> str:
    return "".join(f"\n  {run.run_id}: {run.reason}" for run in damaged)
