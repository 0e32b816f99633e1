"""Runs in MLflow: a view of their folders, which can be made again. The only module that imports mlflow."""

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

# Nothing is sent anywhere but to the store that the configuration names. MLflow reads this when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunStatus
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from nerva.errors import NervaError
from nerva.experiment.config import flat, specification
from nerva.experiment.folder import RunFolder

# What of a configuration says nothing about a run.
_NOT_PARAMETERS = ("data.files", "data.mirrors", "data.candidates")

# As many metrics as MLflow takes at once.
_BATCH = 1000


def track(folders: Sequence[RunFolder], experiment: str, uri: str, results_dir: str | Path) -> int:
    """Logs runs to an experiment of MLflow; those that are in it already, as they are in their folders, stay.

    Args:
        folders: the runs. One that has not ended was killed, and is logged so until it is.
        experiment: the experiment's name; it is made if it isn't there.
        uri: the store, such as `sqlite:///results/mlflow.db`, which is made if it isn't there.
        results_dir: artifacts of a database's experiments go to `mlartifacts` in this folder.

    Returns:
        How many were logged.

    Raises:
        NervaError: if a folder is damaged, or the store refuses.
    """
    Path(results_dir).mkdir(parents=True, exist_ok=True)
    # One process at a time: processes that make the tables of a fresh database together spoil it, and two that
    # look for the same run before either has logged it would log it twice.
    with FileLock(Path(results_dir) / ".mlflow.lock"), _errors(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, experiment, uri, Path(results_dir))
        logged = _logged(client, experiment_id)
        return sum(_log(client, experiment_id, experiment, folder, logged.get(folder.run_id)) for folder in folders)


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
    there = f"there is no run {run} in MLflow at {uri}"
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise NervaError(there)
    with _errors(uri):
        client = MlflowClient(tracking_uri=uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        asked = f"attributes.run_id = '{run}'" if len(run) == 32 else f"tags.`nerva.run_id` = '{run}'"
        found = next(_search(client, experiments, asked), None)
        if found is None:
            raise NervaError(there)
        folder = RunFolder(destination / found.data.tags["nerva.run_id"])
        folder.path.mkdir()
        client.download_artifacts(found.info.run_id, "", str(folder.path))
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
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return set()
    with _errors(uri):
        client = MlflowClient(tracking_uri=uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return {run.data.tags.get("nerva.run_id", "") for run in _search(client, experiments)}


def _unbounded(value: float) -> float:
    """A number that MLflow has: it takes the largest number for infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


@contextmanager
def _errors(uri: str) -> Iterator[None]:
    """Turns a store's errors into ours, and keeps what MLflow says of making its tables to itself."""
    noisy = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.WARNING)
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise NervaError(f"MLflow's store at {uri}: {str(error).splitlines()[0]}") from error
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def _experiment(client: MlflowClient, name: str, uri: str, results_dir: Path) -> str:
    """The id of an experiment."""
    found = client.get_experiment_by_name(name)
    if found is None:
        # A server knows where its artifacts go. A database would put them into the working directory.
        local = uri.startswith("sqlite:")
        location = (results_dir / "mlartifacts" / name).absolute().as_uri() if local else None
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        raise NervaError(
            f"the experiment {name} was deleted in MLflow at {uri}; restore it there (mlflow experiments restore "
            f"--experiment-id {found.experiment_id}), or give this one another experiment_name"
        )
    return str(found.experiment_id)


def _logged(client: MlflowClient, experiment_id: str) -> dict[str, Run]:
    """The runs that an experiment has, by nerva's ids."""
    runs: dict[str, Run] = {}
    for run in _search(client, [experiment_id]):
        runs.setdefault(run.data.tags.get("nerva.run_id", ""), run)
    return runs


def _search(client: MlflowClient, experiment_ids: list[str], filter_string: str = "") -> Iterator[Run]:
    """The runs of experiments, however many there are."""
    token = None
    while True:
        page = client.search_runs(experiment_ids, filter_string, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _log(client: MlflowClient, experiment_id: str, experiment: str, folder: RunFolder, logged: Run | None) -> bool:
    """Brings MLflow's run up to date with a folder; returns whether there was something to do."""
    ended = folder.summary.exists()
    summary: dict[str, Any] = folder.read_summary() if ended else {}
    if logged and logged.data.tags.get("nerva.ended"):
        if logged.data.tags["nerva.ended"] == summary.get("ended"):
            return False
        client.delete_run(logged.info.run_id)  # it was made again since
        logged = None
    rows = folder.read_metrics()
    # What is logged twice, MLflow keeps once.
    run_id = logged.info.run_id if logged else _create(client, experiment_id, experiment, folder, rows[0]["time"])
    client.update_run(run_id, RunStatus.to_string(RunStatus.RUNNING))
    metrics = _metrics(rows, summary)
    parameters = [Param(key, str(value)) for key, value in _parameters(folder.read_config()).items()]
    client.log_batch(run_id, metrics=metrics[: _BATCH - len(parameters)], params=parameters)
    for start in range(_BATCH - len(parameters), len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
    for path in sorted(folder.path.glob("[!.]*")):
        if path != folder.checkpoint:
            client.log_artifact(run_id, str(path))
    # Last, so that a run which has ended is whole.
    if ended:
        if summary["reason"]:
            client.set_tag(run_id, "mlflow.note.content", f"Failed: {summary['reason']}")
        client.set_tag(run_id, "nerva.weights", summary["weights"][folder.weights.name])
        client.set_tag(run_id, "nerva.ended", summary["ended"])
    statuses = {"finished": RunStatus.FINISHED, "failed": RunStatus.FAILED}
    status = statuses[summary["status"]] if ended else RunStatus.KILLED
    end = _milliseconds(summary["ended"]) if ended else round(time.time() * 1000)
    client.set_terminated(run_id, RunStatus.to_string(status), end_time=end)
    return True


def _create(client: MlflowClient, experiment_id: str, experiment: str, folder: RunFolder, started: float) -> str:
    """Makes a run in MLflow; returns its id there."""
    provenance = folder.read_provenance()
    tags = {
        "nerva.run_id": folder.run_id,
        "nerva.configuration_id": provenance["configuration_id"],
        "nerva.sweep": experiment,
        "nerva.overrides": " ".join(provenance["overrides"]),
        "nerva.data.name": provenance["data"]["name"],
        "nerva.data.sha256": provenance["data"]["sha256"],
        "nerva.code": provenance["code"]["fingerprint"],
        "nerva.dirty": provenance["code"]["dirty"],
        **{f"nerva.environment.{key}": value for key, value in provenance["environment"].items()},
        "mlflow.source.name": "nerva",
        "mlflow.source.git.commit": provenance["code"]["git_commit"],
    }
    run = client.create_run(
        experiment_id,
        start_time=round(started * 1000),
        run_name=_name(folder.read_config()),
        tags={key: str(value) for key, value in tags.items() if value is not None},
    )
    return str(run.info.run_id)


# Columns of metrics.csv, by what they are called in MLflow. Its charts are grouped by what stands before the slash.
_METRICS = {
    f"{part}_{figure}": f"{part}/{figure}"
    for part in ("train", "validation", "test")
    for figure in ("loss", "accuracy")
} | {"learning_rate": "train/learning_rate", "seconds": "time/seconds"}


def _metrics(rows: list[dict[str, float]], summary: dict[str, Any]) -> list[Metric]:
    """A run's metrics, with the epoch as step."""
    metrics = [
        Metric(name, row[column], round(row["time"] * 1000), int(row["epoch"]))
        for row in rows
        for column, name in _METRICS.items()
    ]
    # One figure a run, all at step 0: MLflow draws those as bars, side by side.
    best = summary.get("best") or {}
    return metrics + [Metric(f"best/{key}", value, _milliseconds(summary["ended"]), 0) for key, value in best.items()]


def _parameters(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration's parameters, by their dotted names."""
    return {name: value for name, value in flat(config).items() if not name.startswith(_NOT_PARAMETERS)}


def _name(config: dict[str, Any]) -> str:
    """What tells a run from its neighbours in a list, which shows the first words only."""
    schedule = config["learning_rate"]
    rate = f"lr={schedule['lr']}" if schedule["name"] == "Constant" else specification(schedule)
    return f"{rate} seed={config['seed']} {specification(config['optimizer'])}"


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
