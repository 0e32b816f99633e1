"""Logging one run: what `decision` decides is done here."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.report.predictions import Analyst
from nerva.experiment.tracking import entities
from nerva.experiment.tracking.contents import RunContents, read_contents
from nerva.experiment.tracking.decision import (
    Action,
    Epoch,
    MlflowState,
    Status,
    decide,
    end_time,
    is_up_to_date,
)
from nerva.experiment.tracking.model import save_model
from nerva.experiment.tracking.pictures import draw_pictures
from nerva.experiment.tracking.sweep_parents import SweepParents

# The most that MLflow accepts in one request.
_METRICS_AT_ONCE, _PARAMETERS_AT_ONCE = 1000, 100

NOT_LOGGED = "Not logged: "  # the beginning of the description of a run whose folder is damaged


class RunLogger:
    """Logs runs to one experiment."""

    def __init__(self, client: MlflowClient, experiment_id: str, sweeps: SweepParents, analyst: Analyst) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._sweeps = sweeps
        self._analyst = analyst

    def log(self, folder: RunFolder, run: Run | None, training: bool) -> bool:
        """Bring MLflow up to date with the folder of a run.

        Args:
            folder: the folder, which has metrics.
            run: the run in MLflow; None if it does not exist.
            training: whether the run, if it has not ended, is being trained.

        Returns:
            Whether there was anything to do.

        Raises:
            NervaError: if the folder is damaged.
        """
        record = folder.read_record() if folder.record.exists() else None
        logged = _logged(run) if run else None
        if is_up_to_date(record, logged):
            return False
        contents = read_contents(folder)
        if run and logged:
            logged = replace(logged, epochs=self._epochs(run))
        decision = decide(contents.record, contents.epochs, training, logged)
        if decision.action == Action.SKIP:
            return False
        former_parent = run.data.tags.get("mlflow.parentRunId") if run else None
        if run and decision.action == Action.REPLACE:
            self._client.delete_run(run.info.run_id)
        if run is None or decision.action in (Action.CREATE, Action.REPLACE):
            run = self._create(folder, contents, former_parent)
        run_id = run.info.run_id
        if not _inputs_logged(run):
            self._log_inputs(run_id, contents)
        if run.info.status != Status.RUNNING:
            self._client.update_run(run_id, Status.RUNNING.value)
        # MLflow keeps only one of two equal metrics.
        rows = [row for row in contents.rows if row["epoch"] > decision.after]
        self._log_metrics(run_id, entities.epoch_metrics(rows, contents.config))
        if decision.status == Status.RUNNING:
            return bool(rows)
        self._log_files(run_id, folder)
        if contents.record is None:
            self._client.set_terminated(run_id, decision.status.value, end_time=round(time.time() * 1000))
            return True
        self._log_result(run, folder, contents, contents.record)
        end = entities.milliseconds(contents.record.ended)
        self._client.set_terminated(run_id, decision.status.value, end_time=end)
        return True

    def _create(self, folder: RunFolder, contents: RunContents, former_parent: str | None) -> Run:
        """Create a run in MLflow. One that replaces another keeps its place in the sweeps."""
        return self._client.create_run(
            self._experiment_id,
            start_time=round(contents.rows[0]["time"] * 1000),
            run_name=entities.run_name(contents.config),
            tags=entities.tags(contents.provenance) | self._sweeps.tags(folder.run_id, former_parent),
        )

    def _log_inputs(self, run_id: str, contents: RunContents) -> None:
        """Log the parameters and then the datasets, so that a run that has datasets has all parameters."""
        parameters = entities.parameters(contents.config)
        for start in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self._client.log_batch(run_id, params=parameters[start : start + _PARAMETERS_AT_ONCE])
        self._client.log_inputs(run_id, entities.datasets(contents.config, contents.provenance))

    def _log_metrics(self, run_id: str, metrics: Sequence[Metric]) -> None:
        for start in range(0, len(metrics), _METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])

    def _log_files(self, run_id: str, folder: RunFolder) -> None:
        """Log the files of a run, without its checkpoint, and without links: they may lead out of the folder."""
        for path in sorted(folder.path.glob("[!.]*")):
            if path != folder.checkpoint and not path.is_symlink():
                self._client.log_artifact(run_id, str(path))

    def _log_result(self, run: Run, folder: RunFolder, contents: RunContents, record: RunRecord) -> None:
        """Log what only a run that has ended has. The tag nerva.ended is the last: a run that has it has the rest."""
        run_id = run.info.run_id
        self._log_metrics(run_id, entities.best_metrics(record))
        with tempfile.TemporaryDirectory(prefix="nerva-model-") as temporary:
            save_model(folder, contents.config, Path(temporary) / "model")
            self._client.log_artifacts(run_id, str(Path(temporary) / "model"), "model")
        with tempfile.TemporaryDirectory(prefix="nerva-pictures-") as temporary:
            for name, picture in draw_pictures(folder, self._analyst).items():
                picture.savefig(Path(temporary) / f"{name}.png", dpi=90)
            self._client.log_artifacts(run_id, temporary, "pictures")
        if record.reason:
            self._client.set_tag(run_id, "mlflow.note.content", entities.short(f"Failed: {record.reason}"))
        elif run.data.tags.get("mlflow.note.content", "").startswith(NOT_LOGGED):
            self._client.delete_tag(run_id, "mlflow.note.content")
        self._client.set_tag(run_id, "nerva.weights", entities.short(record.weights[folder.weights.name]))
        self._client.set_tag(run_id, "nerva.ended", end_time(record))

    def _epochs(self, run: Run) -> frozenset[Epoch]:
        if "train/loss" not in run.data.metrics:
            return frozenset()
        history = self._client.get_metric_history(run.info.run_id, "train/loss")
        return frozenset((metric.step, metric.timestamp) for metric in history)


def _logged(run: Run) -> MlflowState:
    """What MLflow has of a run, except for the epochs, which need another request."""
    return MlflowState(run.info.status, run.data.tags.get("nerva.ended", ""), _inputs_logged(run))


def _inputs_logged(run: Run) -> bool:
    """Whether the parameters and the datasets of a run have been logged."""
    return bool(run.inputs and run.inputs.dataset_inputs)


def mark_not_logged(client: MlflowClient, run: Run, problem: str) -> None:
    """Say in MLflow why the logging of a run can't be completed, and end the run there."""
    client.set_tag(run.info.run_id, "mlflow.note.content", entities.short(f"{NOT_LOGGED}{problem}"))
    client.set_terminated(run.info.run_id, Status.KILLED.value)
