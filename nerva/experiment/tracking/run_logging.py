"""Logging one run: what `decision` decides is done here."""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

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
_METRICS_AT_ONCE, _PARAMETERS_AT_ONCE = 900, 100

_MODEL = "nerva.model"  # the tag of a run whose model has been logged
NOT_LOGGED = "Not logged: "  # the beginning of the description of a run whose folder is damaged


class RunLogger:
    """Logs runs to one experiment."""

    def __init__(
        self, client: MlflowClient, experiment_id: str, sweeps: SweepParents, analyst: Analyst, every_model: bool
    ) -> None:
        """
        Args:
            client: the store.
            experiment_id: the experiment.
            sweeps: the sweeps to which the runs belong.
            analyst: predicts what networks answer, for pictures.
            every_model: whether each run that has ended gets its model and pictures.
        """
        self._client = client
        self._experiment_id = experiment_id
        self._sweeps = sweeps
        self._analyst = analyst
        self._every_model = every_model

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
        if run.info.status != Status.RUNNING:
            self._client.update_run(run_id, Status.RUNNING.value)
        # MLflow keeps only one of two equal metrics.
        rows = [row for row in contents.rows if row["epoch"] > decision.after]
        metrics = entities.epoch_metrics(rows, contents.config)
        if contents.record:
            metrics += entities.best_metrics(contents.record)
        if _inputs_logged(run):
            self._log_batches(run_id, metrics, [])
        else:
            self._log_batches(run_id, metrics, entities.parameters(contents.config))
            # After the parameters, so that a run that has datasets has all parameters.
            self._client.log_inputs(run_id, entities.datasets(contents.config, contents.provenance))
        if decision.status == Status.RUNNING:
            return bool(rows)
        self._log_files(run_id, folder)
        if contents.record is None:
            self._client.set_terminated(run_id, decision.status.value, end_time=round(time.time() * 1000))
            return True
        self._log_result(run, folder, contents.record)
        end = entities.milliseconds(contents.record.ended)
        self._client.set_terminated(run_id, decision.status.value, end_time=end)
        return True

    def has_model(self, run: Run) -> bool:
        """Whether the model of a run has been logged."""
        return _MODEL in run.data.tags or bool(self._client.list_artifacts(run.info.run_id, "model"))

    def log_model(self, run_id: str, folder: RunFolder) -> None:
        """Log the network of a run as a model, and its pictures.

        Raises:
            NervaError: if the folder is damaged.
        """
        with tempfile.TemporaryDirectory(prefix="nerva-model-") as temporary:
            save_model(folder, folder.read_config(), Path(temporary) / "model")
            for name, picture in draw_pictures(folder, self._analyst).items():
                (Path(temporary) / "pictures").mkdir(exist_ok=True)
                picture.savefig(Path(temporary) / "pictures" / f"{name}.png", dpi=90)
            self._client.log_artifacts(run_id, temporary)
        self._client.set_tag(run_id, _MODEL, "logged")

    def _create(self, folder: RunFolder, contents: RunContents, former_parent: str | None) -> Run:
        """Create a run in MLflow. One that replaces another keeps its place in the sweeps."""
        return self._client.create_run(
            self._experiment_id,
            start_time=round(contents.rows[0]["time"] * 1000),
            run_name=entities.run_name(contents.config),
            tags=entities.tags(contents.provenance) | self._sweeps.tags(folder.run_id, former_parent),
        )

    def _log_batches(self, run_id: str, metrics: list[Metric], parameters: list[Param]) -> None:
        """Log metrics and parameters in as few requests as possible."""
        while metrics or parameters:
            self._client.log_batch(run_id, metrics=metrics[:_METRICS_AT_ONCE], params=parameters[:_PARAMETERS_AT_ONCE])
            metrics, parameters = metrics[_METRICS_AT_ONCE:], parameters[_PARAMETERS_AT_ONCE:]

    def _log_files(self, run_id: str, folder: RunFolder) -> None:
        """Log the files of a run, without its checkpoint, and without links: they may lead out of the folder."""
        for path in sorted(folder.path.glob("[!.]*")):
            if path != folder.checkpoint and not path.is_symlink():
                self._client.log_artifact(run_id, str(path))

    def _log_result(self, run: Run, folder: RunFolder, record: RunRecord) -> None:
        """Log what only a run that has ended has. The tag nerva.ended is the last: a run that has it has the rest."""
        run_id = run.info.run_id
        if self._every_model:
            self.log_model(run_id, folder)
        if record.reason:
            self._client.set_tag(run_id, "mlflow.note.content", entities.short(f"Failed: {record.reason}"))
        elif run.data.tags.get("mlflow.note.content", "").startswith(NOT_LOGGED):
            self._client.delete_tag(run_id, "mlflow.note.content")
        weights = entities.short(record.weights[folder.weights.name])
        self._client.log_batch(run_id, tags=[RunTag("nerva.weights", weights), RunTag("nerva.ended", end_time(record))])

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
