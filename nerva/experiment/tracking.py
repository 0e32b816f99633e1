"""Runs in MLflow: a view of their folders, which can be made again. The only module that imports mlflow.

(But for `served_model`, which MLflow runs by itself.)
"""

import inspect
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

# Nothing is sent anywhere but to the store that the configuration names. MLflow reads this when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
# A server that is away is told soon: what is not logged now is logged later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types import Schema, TensorSpec
from sqlalchemy.exc import SQLAlchemyError

from nerva.errors import NervaError
from nerva.experiment import PACKAGE, analysis
from nerva.experiment.config import Config, Sweep, flat, specification
from nerva.experiment.folder import RunFolder
from nerva.experiment.privacy import private
from nerva.utilities import import_here

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What of a configuration says nothing about a run.
_NOT_PARAMETERS = ("data.files", "data.mirrors", "data.candidates")

# As much as MLflow takes at once.
_METRICS_AT_ONCE, _PARAMETERS_AT_ONCE = 1000, 100
_LONGEST = 6000  # characters of a value

# Columns of metrics.csv, by what they are called in MLflow. Its charts are grouped by what stands before the slash.
_METRICS = {
    **{f"{part}_loss": f"{part}/loss" for part in ("train", "validation", "test")},
    **{f"{part}_accuracy": f"{part}/accuracy" for part in ("train", "validation", "test")},
    "learning_rate": "train/learning_rate",
    "seconds": "time/seconds_per_epoch",
}

_FINISHED, _FAILED, _KILLED, _RUNNING = (
    RunStatus.to_string(status)
    for status in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED, RunStatus.RUNNING)
)


def track(
    folders: Sequence[RunFolder],
    title: str,
    uri: str,
    results_dir: str | Path,
    sweep: Sweep | None = None,
    question: str = "",
    live: bool = False,
) -> int:
    """Logs runs to an experiment of MLflow; those that are in it as they are in their folders stay.

    Args:
        folders: the runs. One that has not ended was killed, and is logged so until it is.
        title: the experiment's name; it is made if it isn't there.
        uri: the store, such as `sqlite:///results/mlflow.db`, which is made if it isn't there.
        results_dir: artifacts of a database's experiments go to `mlartifacts` in this folder.
        sweep: what the runs are points of.
        question: what the experiment asks.
        live: whether runs that have not ended are being trained.

    Returns:
        How many were logged.

    Raises:
        NervaError: if a folder is damaged, or the store refuses.
    """
    results_dir = Path(results_dir)
    results_dir.mkdir(parents=True, exist_ok=True)
    # One process at a time: processes that make the tables of a fresh database together spoil it, and two that
    # look for the same run before either has logged it would log it twice.
    with FileLock(results_dir / ".mlflow.lock"), _errors(uri):
        _make_database(uri)
        store = _Store(MlflowClient(tracking_uri=uri), title, uri, results_dir, sweep or Sweep(), question)
        return store.track(folders, live)


def _make_database(uri: str) -> None:
    """Makes a fresh SQLite database under another name first: one that is half made can't be used, nor repaired."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for unfinished in path.parent.glob(f".{path.name}.*.tmp*"):
        unfinished.unlink()
    # MLflow keeps the stores that it has opened: another name each time.
    temporary = path.with_name(f".{path.name}.{time.time_ns()}.tmp")
    MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()
    temporary.replace(path)


class _Store:
    """An experiment of MLflow, and what it has."""

    def __init__(
        self, client: MlflowClient, title: str, uri: str, results_dir: Path, sweep: Sweep, question: str
    ) -> None:
        self.client = client
        self.title = title
        self.results_dir = results_dir
        self.sweep = sweep
        self.question = question
        self.experiment_id = self._experiment(uri)
        self.runs: dict[str, Run] = {}  # by nerva's ids
        self.sweeps: dict[str, Run] = {}
        for run in search(client, [self.experiment_id]):
            tags = run.data.tags
            if "nerva.run_id" in tags:
                self.runs.setdefault(tags["nerva.run_id"], run)
            elif "nerva.sweep.id" in tags:
                self.sweeps.setdefault(tags["nerva.sweep.id"], run)
        self.analyst = analysis.Analyst(results_dir / "data")

    def track(self, folders: Sequence[RunFolder], live: bool) -> int:
        """Logs runs, and brings their sweep and the champion up to date; returns how many were logged."""
        logged = sum([self._log(folder, live) for folder in folders])
        self._heal(folders)
        if logged or not folders:
            if self.sweep.id:
                self._close_sweep()
            self._crown()
        return logged

    def _experiment(self, uri: str) -> str:
        """The id of the experiment."""
        found = self.client.get_experiment_by_name(self.title)
        if found is None:
            # A server knows where its artifacts go. A database would put them into the working directory.
            local = uri.startswith("sqlite:")
            location = (self.results_dir / "mlartifacts" / self.title).absolute().as_uri() if local else None
            experiment_id = str(self.client.create_experiment(self.title, artifact_location=location))
        elif found.lifecycle_stage == "deleted":
            raise NervaError(
                f"the experiment {self.title} was deleted in MLflow at {private(uri)}; restore it there (mlflow "
                f"experiments restore --experiment-id {found.experiment_id}), or give this one another experiment_name"
            )
        else:
            experiment_id = str(found.experiment_id)
        if self.question and (found is None or found.tags.get("mlflow.note.content") != self.question):
            self.client.set_experiment_tag(experiment_id, "mlflow.note.content", self.question)
        return experiment_id

    def _log(self, folder: RunFolder, live: bool) -> bool:
        """Brings MLflow's run up to date with a folder; returns whether there was something to do."""
        if not folder.metrics.exists():
            return False
        logged = self.runs.get(folder.run_id)
        ended = folder.summary.exists()
        summary: dict[str, Any] = folder.read_summary() if ended else {}
        if logged and logged.data.tags.get("nerva.ended"):
            if logged.data.tags["nerva.ended"] == summary.get("ended"):
                return False
            self.client.delete_run(logged.info.run_id)  # it was made again since
            logged = None
        rows = folder.read_metrics()
        last = self._last_epoch(logged, rows)
        if logged and last is None:
            self.client.delete_run(logged.info.run_id)  # it was begun anew since
            logged = None
        last = -1 if last is None else last
        run_id = logged.info.run_id if logged else self._create(folder, rows[0]["time"])
        if not logged or logged.info.status != _RUNNING:
            self.client.update_run(run_id, _RUNNING)
        # What is logged twice, MLflow keeps once. But of a run that is watched, only what is new is sent.
        new = [row for row in rows if not live or row["epoch"] > last]
        self._batches(run_id, _metrics(new, folder, summary))
        if not ended and live:
            return bool(new)
        for path in sorted(folder.path.glob("[!.]*")):
            if path != folder.checkpoint:
                self.client.log_artifact(run_id, str(path))
        # Last, so that a run which has ended is whole.
        if ended:
            self._describe(run_id, folder)
            if summary["reason"]:
                self.client.set_tag(run_id, "mlflow.note.content", f"Failed: {summary['reason']}")
            self.client.set_tag(run_id, "nerva.weights", summary["weights"][folder.weights.name])
            self.client.set_tag(run_id, "nerva.ended", summary["ended"])
        status = {"finished": _FINISHED, "failed": _FAILED}[summary["status"]] if ended else _KILLED
        end = _milliseconds(summary["ended"]) if ended else round(time.time() * 1000)
        self.client.set_terminated(run_id, status, end_time=end)
        return True

    def _last_epoch(self, logged: Run | None, rows: list[dict[str, float]]) -> float | None:
        """The last epoch that MLflow has of a run, -1 if none; None if its epochs are not those of the folder."""
        if logged is None or "train/loss" not in logged.data.metrics:
            return -1
        history = self.client.get_metric_history(logged.info.run_id, "train/loss")
        made = {(int(row["epoch"]), round(row["time"] * 1000)) for row in rows}
        if any((metric.step, metric.timestamp) not in made for metric in history):
            return None
        return max(metric.step for metric in history)

    def _create(self, folder: RunFolder, started: float) -> str:
        """Makes a run in MLflow, with all that is known before it has ended; returns its id there."""
        origin, config, described = folder.read_provenance(), folder.load_config(), folder.read_config()
        tags = {
            "nerva.run_id": folder.run_id,
            "nerva.configuration_id": origin["configuration_id"],
            "nerva.overrides": _short(" ".join(origin["overrides"])),
            "nerva.data.name": origin["data"]["name"],
            "nerva.data.sha256": origin["data"]["sha256"],
            "nerva.code": origin["code"]["fingerprint"],
            "nerva.dirty": origin["code"]["dirty"],
            **{f"nerva.environment.{key}": value for key, value in origin["environment"].items()},
            "mlflow.source.name": "nerva",
            "mlflow.source.git.commit": origin["code"]["git_commit"],
            "mlflow.user": "",  # nothing of who ran it
        }
        if self.sweep.id:
            tags["mlflow.parentRunId"] = self._parent(started)
        run = self.client.create_run(
            self.experiment_id,
            start_time=round(started * 1000),
            run_name=_name(described),
            tags={key: str(value) for key, value in tags.items() if value is not None},
        )
        run_id = str(run.info.run_id)
        values = {name: _short(str(value)) for name, value in _parameters(described).items()}
        parameters = [Param(name, value) for name, value in values.items()]
        for start in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self.client.log_batch(run_id, params=parameters[start : start + _PARAMETERS_AT_ONCE])
        self.client.log_inputs(run_id, _datasets(config, origin))
        return run_id

    def _batches(self, run_id: str, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), _METRICS_AT_ONCE):
            self.client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])

    def _describe(self, run_id: str, folder: RunFolder) -> None:
        """Logs a run's network as a model, and the pictures that tell what it does."""
        config = folder.load_config()
        with tempfile.TemporaryDirectory(prefix="nerva-model-") as temporary:
            _save_model(folder, config, Path(temporary) / "model")
            self.client.log_artifacts(run_id, str(Path(temporary) / "model"), "model")
        pictures: dict[str, Figure | None] = {
            "learning_curves": analysis.learning_curves(folder),
            "first_layer": analysis.first_layer(folder),
        }
        analysed = self.analyst.analyse(folder)
        if analysed is not None and np.isfinite(analysed.Y).all():
            pictures["confusion_matrix"] = analysis.confusion(analysed)
            pictures["worst_images"] = analysis.worst_images(analysed)
        with tempfile.TemporaryDirectory(prefix="nerva-pictures-") as temporary:
            for name, picture in pictures.items():
                if picture is not None:
                    picture.savefig(Path(temporary) / f"{name}.png", dpi=90)
            self.client.log_artifacts(run_id, temporary, "pictures")

    def _parent(self, started: float) -> str:
        """MLflow's run for the sweep, whose points are its children."""
        if self.sweep.id not in self.sweeps:
            tags = {"nerva.sweep.id": self.sweep.id, "mlflow.source.name": "nerva", "mlflow.user": ""}
            self.sweeps[self.sweep.id] = self.client.create_run(
                self.experiment_id, start_time=round(started * 1000), run_name=self.sweep.name or self.title, tags=tags
            )
        return str(self.sweeps[self.sweep.id].info.run_id)

    def _close_sweep(self) -> None:
        """Ends the sweep's own run if none of its points is being trained, with what came of it."""
        parent = self.sweeps.get(self.sweep.id)
        if parent is None:
            return
        run_id = parent.info.run_id
        children = list(search(self.client, [self.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"))
        states = [child.info.status for child in children]
        best = max(children, key=_accuracy, default=None)
        lines = [self.question, f"{len(children)} runs, of which {states.count(_FAILED)} failed"]
        if best is not None and _accuracy(best) > 0:
            lines.append(f"best: {best.info.run_name}, validation accuracy {_accuracy(best):.2%}")
        self.client.set_tag(run_id, "mlflow.note.content", "  \n".join(line for line in lines if line))
        if self.sweep.name and parent.info.run_name != self.sweep.name:
            self.client.update_run(run_id, name=self.sweep.name)
        if _RUNNING in states:
            self.client.update_run(run_id, _RUNNING)
            return
        ends = [child.info.end_time for child in children if child.info.end_time]
        status = _KILLED if _KILLED in states else _FINISHED
        self.client.set_terminated(run_id, status, end_time=max(ends, default=None))

    def _heal(self, folders: Sequence[RunFolder]) -> None:
        """Ends what a process that was killed has left running."""
        tracked = {folder.run_id for folder in folders}
        for nerva_id, run in self.runs.items():
            if run.info.status != _RUNNING or nerva_id in tracked:
                continue
            folder = RunFolder.of(self.results_dir, nerva_id)
            if not folder.lock.exists():
                continue  # it is trained elsewhere, or was
            try:
                with FileLock(folder.lock, timeout=0):
                    self._log(folder, live=False)
            except Timeout:
                continue  # it is being trained

    def _crown(self) -> None:
        """Lets the alias `champion` name the best run by validation accuracy, if that is better than the one before."""
        runs = self.client.search_runs(
            [self.experiment_id],
            "attributes.status = 'FINISHED' and metrics.`best/validation_accuracy` > 0",
            order_by=["metrics.`best/validation_accuracy` DESC", "attributes.start_time ASC"],
            max_results=1,
        )
        if not runs:
            return
        best, name = runs[0], self.title
        found = [model for model in self.client.search_registered_models(f"name = '{name}'") if model.name == name]
        if not found:
            self.client.create_registered_model(
                name, description=f"The best network of the experiment {name}, by validation accuracy."
            )
        reason = f"Validation accuracy {_accuracy(best):.4%}"
        if found and "champion" in found[0].aliases:
            before = self.client.get_model_version_by_alias(name, "champion")
            accuracy = float(before.tags["validation_accuracy"])
            if _accuracy(best) <= accuracy:
                return
            reason += f", better than the {accuracy:.4%} of version {before.version}"
        else:
            reason += ": the first champion"
        champion = self.client.create_model_version(
            name,
            source=f"{best.info.artifact_uri}/model",
            run_id=best.info.run_id,
            tags={"validation_accuracy": repr(_accuracy(best)), "nerva.run_id": best.data.tags["nerva.run_id"]},
            description=f"{reason}. {best.info.run_name}, run {best.data.tags['nerva.run_id']}.",
        )
        self.client.set_registered_model_alias(name, "champion", champion.version)


def recorded(run: str, uri: str, destination: Path) -> tuple[RunFolder, dict[str, list[tuple[int, float]]]]:
    """What MLflow has of a run.

    Args:
        run: its id, nerva's or MLflow's.
        uri: the store.
        destination: where to put the files of the run's folder.

    Returns:
        The folder; and of each figure that metrics.csv has too, epochs with values.

    Raises:
        NervaError: if the store does not have the run, or refuses.
    """
    there = f"there is no run {run} in MLflow at {private(uri)}"
    if not _exists(uri):
        raise NervaError(there)
    with _errors(uri):
        client = MlflowClient(tracking_uri=uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        asked = f"attributes.run_id = '{run}'" if len(run) == 32 else f"tags.`nerva.run_id` = '{run}'"
        found = next(search(client, experiments, asked), None)
        if found is None or "nerva.run_id" not in found.data.tags:
            raise NervaError(there)
        folder = RunFolder(destination / found.data.tags["nerva.run_id"])
        folder.path.mkdir()
        for artifact in client.list_artifacts(found.info.run_id):
            if not artifact.is_dir:
                client.download_artifacts(found.info.run_id, artifact.path, str(folder.path))
        history = {
            column: sorted((m.step, _unbounded(m.value)) for m in client.get_metric_history(found.info.run_id, name))
            for column, name in _METRICS.items()
            if column != "seconds"
        }
    return folder, history


def tracked(uri: str) -> set[str]:
    """The ids, nerva's, of the runs that a store has.

    Raises:
        NervaError: if the store refuses.
    """
    if not _exists(uri):
        return set()
    with _errors(uri):
        client = MlflowClient(tracking_uri=uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return {run.data.tags.get("nerva.run_id", "") for run in search(client, experiments)}


def search(client: MlflowClient, experiment_ids: list[str], filter_string: str = "") -> Iterator[Run]:
    """The runs of experiments, however many there are."""
    token = None
    while True:
        page = client.search_runs(experiment_ids, filter_string, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _exists(uri: str) -> bool:
    """Whether a store may be there: asking for a database that isn't would make it."""
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def _unbounded(value: float) -> float:
    """A number that MLflow has: it takes the largest number for infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    """Turns a store's errors into ours, and keeps what MLflow says of making its tables to itself."""
    noisy = [logging.getLogger(name) for name in ("alembic", "mlflow", "urllib3")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.ERROR)
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NervaError(f"MLflow's store at {private(uri)}: {first}") from error
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def _metrics(rows: list[dict[str, float]], folder: RunFolder, summary: dict[str, Any]) -> list[Metric]:
    """A run's metrics, with the epoch as step."""
    metrics = [
        Metric(name, row[column], round(row["time"] * 1000), int(row["epoch"]))
        for row in rows
        for column, name in _METRICS.items()
    ]
    data = folder.load_config().data
    images = data.train - data.validation
    metrics += [
        Metric("time/images_per_second", images / row["seconds"], round(row["time"] * 1000), int(row["epoch"]))
        for row in rows
        if row["seconds"] > 0
    ]
    # One figure a run, all at step 0: MLflow draws those as bars, side by side.
    best = summary.get("best") or {}
    return metrics + [Metric(f"best/{key}", value, _milliseconds(summary["ended"]), 0) for key, value in best.items()]


def _datasets(config: Config, origin: dict[str, Any]) -> list[DatasetInput]:
    """The three parts of a run's data, each known by the checksum of them all."""
    data, features = config.data, config.data.features
    sha256 = origin["data"]["sha256"]
    parts = {"train": data.train - data.validation, "validation": data.validation, "test": data.test}
    schema = {
        "mlflow_tensorspec": {
            "features": Schema([TensorSpec(np.dtype(np.float32), (-1, features), "features")]).to_json(),
            "targets": Schema([TensorSpec(np.dtype(np.int64), (-1,), "targets")]).to_json(),
        }
    }
    source = json.dumps({"sha256": sha256, "title": data.title, "source": origin["data"]["source"]})
    return [
        DatasetInput(
            Dataset(
                name=f"{data.name} ({part})",
                digest=sha256[:36],  # the longest that MLflow takes
                source_type="nerva",
                source=source,
                schema=json.dumps(schema),
                profile=json.dumps({"num_rows": rows, "features_shape": [rows, features], "targets_shape": [rows]}),
            ),
            [InputTag("mlflow.data.context", part)],
        )
        for part, rows in parts.items()
    ]


def _save_model(folder: RunFolder, config: Config, path: Path) -> None:
    """Writes a run's network as a model of MLflow's, with the engine that computes it."""
    X = TensorSpec(np.dtype(np.float32), (-1, config.data.features))
    Y = TensorSpec(np.dtype(np.float32), (-1, config.data.classes))
    # MLflow asks for types that the signature tells it, whatever the filters of warnings are.
    with tempfile.TemporaryDirectory(prefix="nerva-engine-") as temporary, warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        engine = Path(temporary) / "nerva"
        engine.mkdir()
        for file in PACKAGE.glob("*.py"):
            shutil.copy(file, engine)
        own = [str(inspect.getsourcefile(import_here(name))) for name in config.imports]
        save_model(
            path,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"weights": str(folder.best)},
            code_paths=[str(engine), *own],
            model_config={"imports": list(config.imports)},
            signature=ModelSignature(Schema([X]), Schema([Y])),
            input_example=np.zeros((2, config.data.features), np.float32),
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "scipy")],
        )
    # MLflow notes where it found the files, which is nobody's business.
    description = path / "MLmodel"
    content = yaml.safe_load(description.read_text())
    function = content["flavors"]["python_function"]
    function["model_code_path"] = "served_model.py"
    for artifact in function["artifacts"].values():
        artifact["uri"] = artifact["path"]
    description.write_text(yaml.safe_dump(content))


def _parameters(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration's parameters, by their dotted names."""
    return {name: value for name, value in flat(config).items() if not name.startswith(_NOT_PARAMETERS)}


def _short(value: str) -> str:
    """A value, cut if MLflow would, but so that it can be seen."""
    note = f"… ({len(value)} characters: config.yaml has them all)"
    return value if len(value) <= _LONGEST else value[: _LONGEST - len(note)] + note


def _name(config: dict[str, Any]) -> str:
    """What tells a run from its neighbours in a list, which shows the first words only."""
    schedule = config["learning_rate"]
    rate = f"lr={schedule['lr']}" if schedule["name"] == "Constant" else specification(schedule)
    return f"{rate} seed={config['seed']} {specification(config['optimizer'])}"[:250]


def _accuracy(run: Run) -> float:
    """A run's best validation accuracy; 0 if it has none."""
    return float(run.data.metrics.get("best/validation_accuracy", 0))


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
