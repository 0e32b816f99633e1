"""Sweeps in MLflow: each is a run of its own, the parent of the runs that are its points."""

import math
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from nerva.experiment.config.metrics import Metric
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.search_record import SearchRecord, read_search, search_path
from nerva.experiment.records.sweep_record import SweepRecord
from nerva.experiment.tracking import entities
from nerva.experiment.tracking.decision import Status
from nerva.experiment.tracking.store import search_runs

SWEEP_ID = r"[0-9A-Za-z_-]{1,64}"  # it is part of names of files and of MLflow's filters
PRUNED = "nerva.pruned"  # the tag of a run that a search has given up


class SweepParents:
    """The parents of an experiment's sweeps.

    MLflow has one parent for a run. A run that belongs to several sweeps has that of the first, for as long as that
    exists; its tag nerva.sweeps names them all.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        title: str,
        current: Sweep,
        records: Iterable[SweepRecord],
        metric: Metric,
        results_dir: Path,
    ) -> None:
        """
        Args:
            client: the store.
            experiment_id: the experiment.
            title: its name.
            current: the sweep whose runs are being logged. Its id is "" if there is none.
            records: the records of the sweeps of the experiment, including the current one.
            metric: the metric by which runs are compared.
            results_dir: the folder of all results. It has the records of sweeps that are searches.
        """
        self._client = client
        self._experiment_id = experiment_id
        self._title = title
        self._current = current
        self._metric = metric
        self._records = {record.sweep.id: record for record in records}
        self._results_dir = results_dir
        self._searches = {
            sweep_id: search
            for sweep_id in self._records
            if sweep_id and (search := read_search(search_path(results_dir, title, sweep_id)))
        }
        self._parents: dict[str, Run] = {}  # by the ids of the sweeps
        for parent in search_runs(client, [experiment_id], "tags.`nerva.sweep.id` != ''"):
            if re.fullmatch(SWEEP_ID, sweep_id := parent.data.tags["nerva.sweep.id"]):
                self._parents.setdefault(sweep_id, parent)

    def tags(self, run_id: str, known_parent: str | None) -> dict[str, str]:
        """The tags by which a run belongs to its sweeps.

        Args:
            run_id: nerva's id of the run.
            known_parent: the id in MLflow of the parent that the run has or had.
        """
        tags = {}
        parent = known_parent if self._exists(known_parent) else self.current_parent()
        if parent:
            tags["mlflow.parentRunId"] = parent
        sweep_ids = {sweep_id for sweep_id, record in self._records.items() if run_id in record.runs}
        if named := sorted({*sweep_ids, self._current.id} - {""}):
            tags["nerva.sweeps"] = entities.short(" ".join(named))
        return tags | self._search_tags(run_id)

    def _search_tags(self, run_id: str) -> dict[str, str]:
        """The tags of a run that is a trial: its first number in a search, and whether it was pruned."""
        trials = [trial for search in self._searches.values() for trial in search.trials if trial.run_id == run_id]
        if not trials:
            return {}
        tags = {"nerva.trial": str(trials[0].number)}
        # Something else may have completed the run since.
        ended = RunFolder.of(self._results_dir, run_id).record.exists()
        if not ended and any(trial.state == "pruned" for trial in trials):
            tags[PRUNED] = "true"
        return tags

    def adopt(self, run: Run) -> None:
        """Let a run that has been logged before belong to the current sweep as well."""
        if not self._current.id:
            return
        tags = self.tags(run.data.tags["nerva.run_id"], run.data.tags.get("mlflow.parentRunId"))
        for key, value in tags.items():
            if run.data.tags.get(key) != value:
                self._client.set_tag(run.info.run_id, key, value)
        if PRUNED in run.data.tags and PRUNED not in tags:
            self._client.delete_tag(run.info.run_id, PRUNED)

    def current_parent(self) -> str | None:
        """The id in MLflow of the current sweep's parent, which is created if necessary; None if there is no sweep."""
        sweep = self._current
        if not sweep.id:
            return None
        if sweep.id not in self._parents:
            self._parents[sweep.id] = self._client.create_run(
                self._experiment_id,
                start_time=entities.milliseconds(datetime.fromisoformat(self._records[sweep.id].first)),
                run_name=self._name(sweep),
                tags={"nerva.sweep.id": sweep.id, "mlflow.source.name": "nerva", "mlflow.user": ""},
            )
        return str(self._parents[sweep.id].info.run_id)

    def update(self) -> None:
        """Describe the current sweep and those that are RUNNING, and end those of which no run is being trained."""
        for sweep_id, parent in self._parents.items():
            if sweep_id == self._current.id or parent.info.status == Status.RUNNING:
                self._update(sweep_id, parent)

    def _update(self, sweep_id: str, parent: Run) -> None:
        run_id = parent.info.run_id
        record = self._records.get(sweep_id, SweepRecord(self._title, sweep=Sweep(sweep_id)))
        points = [
            run
            for run in search_runs(self._client, [self._experiment_id], f"tags.`nerva.sweeps` LIKE '%{sweep_id}%'")
            if sweep_id in run.data.tags["nerva.sweeps"].split()
        ]
        search = self._searches.get(sweep_id)
        description = _description(record, points, run_id, self._metric, search)
        self._client.set_tag(run_id, "mlflow.note.content", description)
        if record.sweep.name and parent.info.run_name != self._name(record.sweep):
            self._client.update_run(run_id, name=self._name(record.sweep))
        # A pruned run was ended on purpose.
        statuses = {point.info.status for point in points if PRUNED not in point.data.tags}
        if Status.RUNNING in statuses:
            self._client.update_run(run_id, Status.RUNNING.value)
            return
        status = Status.KILLED if Status.KILLED in statuses else Status.FINISHED
        # All points may have ended before the sweep was asked for.
        ends = [parent.info.start_time, *(point.info.end_time for point in points if point.info.end_time)]
        self._client.set_terminated(run_id, status.value, end_time=max(ends))

    def _name(self, sweep: Sweep) -> str:
        return entities.short_name(sweep.name or self._title)

    def _exists(self, parent: str | None) -> bool:
        return parent in {run.info.run_id for run in self._parents.values()}


def _description(
    record: SweepRecord, points: list[Run], parent: str, metric: Metric, search: SearchRecord | None
) -> str:
    """The question of a sweep, and its results so far."""
    failed = sum(point.info.status == Status.FAILED for point in points)
    lines = [
        entities.short(record.question),
        f"{_count(len(points), 'run')}, of which {failed} failed",
    ]
    measured = [(value, run) for run in points if not math.isnan(value := entities.best_value(run, metric))]
    if measured:
        value, best = (max if metric.maximize else min)(measured, key=lambda pair: pair[0])
        lines.append(f"best: {best.info.run_name}, {metric.label} {metric.text(value)}")
    if search:
        lines.append(entities.short(f"a search by {search.sampler}: {search.counts}"))
        if search.best:
            lines.append(entities.short(f"best trial: {search.best.number}, {' '.join(search.best.overrides)}"))
    if elsewhere := sum(point.data.tags.get("mlflow.parentRunId") != parent for point in points):
        lines.append(f"{_count(elsewhere, 'run')} listed under other sweeps, to which they belong as well")
    return "  \n".join(line for line in lines if line)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
