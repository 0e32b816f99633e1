"""Training the trials of a round, and their results."""

import dataclasses
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from nerva.errors import PrunedError
from nerva.experiment.config.objective import objective_of
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.records.search_record import SearchRecord, Trial
from nerva.experiment.run.run import Children
from nerva.experiment.search.space import Space
from nerva.experiment.search.study import Judge
from nerva.experiment.sweep.launcher import Launcher
from nerva.experiment.sweep.plan import Point
from nerva.training import EpochRecord


class TrialRun:
    """A trial whose run is trained, or already exists."""

    def __init__(self, trial: Trial, point: Point, record: SearchRecord, space: Space) -> None:
        self.trial = trial
        self.point = point
        self._metric = record.metric
        self._judge = None if record.pruner == "none" else Judge(record, space, trial)
        self._metrics: list[float] = []
        self._result: RunRecord | PrunedError | None = None

    def train(self, launcher: Launcher, children: Children | None = None) -> None:
        """Train the run; the errors are those of `run`, without a PrunedError."""
        try:
            self._result = launcher.train(self.point, self._watch if self._judge else None, children)
        except PrunedError as error:
            self._result = error

    def result(self) -> Trial:
        """The trial with its result. The run has been trained, or was pruned."""
        if isinstance(self._result, PrunedError):
            return dataclasses.replace(self.trial, state="pruned", metrics=self._metrics, rungs=self._rungs())
        assert self._result is not None
        metrics = [row[self._metric] for row in self.point.folder.read_metrics()[1:]]
        objective = objective_of(self.point.config)
        value = self._result.value(objective.name)
        if not math.isfinite(value):
            reason = self._result.reason or f"the run has no finite {objective.name}"
            return dataclasses.replace(self.trial, state="failed", metrics=metrics, reason=reason)
        # The judge has not seen the epochs of a run that already existed. It notes the rungs of successive halving.
        for metric in metrics[len(self._metrics) :]:
            self._prunes(metric)
        return dataclasses.replace(self.trial, state="complete", value=value, metrics=metrics, rungs=self._rungs())

    def _watch(self, epoch: EpochRecord) -> None:
        """Prune the run, if the judge says so. After the last epoch, pruning would save no time."""
        prunes = self._prunes(getattr(epoch, self._metric))
        if prunes and epoch.epoch < self.point.config.train.epochs:
            raise PrunedError

    def _prunes(self, metric: float) -> bool:
        """Show the metric of the next epoch to the judge, and return its decision."""
        if self._judge is None:
            return False
        self._metrics.append(metric)
        return self._judge.prunes(len(self._metrics), metric)

    def _rungs(self) -> dict[str, float]:
        return self._judge.rungs if self._judge else {}


def train_together(runs: Sequence[TrialRun], launcher: Launcher) -> dict[int, BaseException]:
    """Train trials at the same time, each in a separate process.

    Returns:
        The errors of trials that could not be trained, by their numbers. The others have ended.

    Raises:
        Interrupted: if a signal ends this process. All children have then ended cleanly.
    """
    children = Children()
    with ThreadPoolExecutor(len(runs)) as pool:
        futures = {run.trial.number: pool.submit(run.train, launcher, children) for run in runs}
        try:
            wait(futures.values())
        except BaseException:
            children.interrupt()
            raise
    errors = {number: future.exception() for number, future in futures.items()}
    return {number: error for number, error in errors.items() if error is not None}
