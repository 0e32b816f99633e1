"""Runs in MLflow: a view of their folders, which can be made again. The only module that imports mlflow."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

# Nothing is sent anywhere but to the store that the configuration names. MLflow reads this when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from nerva.errors import NervaError
from nerva.experiment.config import specification
from nerva.experiment.folder import RunFolder

# What of a configuration says nothing about a run.
_NOT_PARAMETERS = (
    "experiment_name",
    "data.note",
    "tracking",
    "results_dir",
    "data.files",
    "data.mirrors",
    "data.candidates",
)

# As many metrics as MLflow takes at once.
_BATCH = 1000


def track(folders: Sequence[RunFolder], experiment: str, uri: str, results_dir: str | Path) -> int:
    """Logs runs that have ended to an experiment of MLflow; those that are in it already stay as they are.

    Args:
        folders: the runs.
        experiment: the experiment's name; it is made if it isn't there.
        uri: the store, such as `sqlite:///results/mlflow.db`, which is made if it isn't there.
        results_dir: artifacts of a database's experiments go to `mlartifacts` in this folder.

    Returns:
        How many were logged.

    Raises:
        NervaError: if a run has not ended, or the store refuses.
    """
    Path(results_dir).mkdir(parents=True, exist_ok=True)
    # One process at a time: processes that make the tables of a fresh database together spoil it, and two that
    # look for the same run before either has logged it would log it twice.
    with FileLock(Path(results_dir) / ".mlflow.lock"), _errors(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment_id = _experiment(client, experiment, uri, Path(results_dir))
        logged = _logged(client, experiment_id)
        missing = [folder for folder in folders if folder.run_id not in logged]
        for folder in missing:
            _log(client, experiment_id, experiment, folder)
        return len(missing)


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


def _logged(client: MlflowClient, experiment_id: str) -> set[str]:
    """The ids of the runs that an experiment has. What a process left half-logged is removed."""
    ids, token = set(), None
    while True:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        for run in page:
            if run.info.status == RunStatus.to_string(RunStatus.RUNNING):
                client.delete_run(run.info.run_id)
            else:
                ids.add(run.data.tags.get("nerva.run_id", ""))
        token = page.token
        if not token:
            return ids


def _log(client: MlflowClient, experiment_id: str, experiment: str, folder: RunFolder) -> None:
    summary, config = folder.read_summary(), folder.read_config()
    tags = {
        "nerva.run_id": folder.run_id,
        "nerva.configuration_id": summary["configuration_id"],
        "nerva.sweep": experiment,
        "nerva.data.name": summary["data"]["name"],
        "nerva.data.sha256": summary["data"]["sha256"],
        "nerva.code": summary["code"],
        "mlflow.source.name": "nerva",
        "mlflow.source.git.commit": summary["git_commit"],
    }
    if summary["reason"]:
        tags["mlflow.note.content"] = f"Failed: {summary['reason']}"
    run = client.create_run(
        experiment_id,
        start_time=_milliseconds(summary["started"]),
        run_name=_name(config),
        tags={key: value for key, value in tags.items() if value is not None},
    )
    metrics = _metrics(folder, summary)
    parameters = [Param(key, str(value)) for key, value in flat(config).items()]
    client.log_batch(run.info.run_id, metrics=metrics[: _BATCH - len(parameters)], params=parameters)
    for start in range(_BATCH - len(parameters), len(metrics), _BATCH):
        client.log_batch(run.info.run_id, metrics=metrics[start : start + _BATCH])
    for path in (folder.config, folder.summary, folder.metrics, folder.weights, folder.best, folder.log):
        client.log_artifact(run.info.run_id, str(path))
    # Last, so that a run which is not RUNNING is whole.
    status = {"finished": RunStatus.FINISHED, "failed": RunStatus.FAILED}[summary["status"]]
    client.set_terminated(run.info.run_id, RunStatus.to_string(status), end_time=_milliseconds(summary["ended"]))


def _metrics(folder: RunFolder, summary: dict[str, Any]) -> list[Metric]:
    """A run's metrics, with the epoch as step. MLflow's charts are grouped by what stands before the slash."""
    names = {
        f"{part}_{figure}": f"{part}/{figure}"
        for part in ("train", "validation", "test")
        for figure in ("loss", "accuracy")
    } | {"learning_rate": "train/learning_rate", "seconds": "time/seconds"}
    metrics = [
        Metric(name, row[column], round(row["time"] * 1000), int(row["epoch"]))
        for row in folder.read_metrics()
        for column, name in names.items()
    ]
    # One figure a run, all at step 0: MLflow draws those as bars, side by side.
    ended = _milliseconds(summary["ended"])
    return metrics + [Metric(f"best/{key}", value, ended, 0) for key, value in (summary["best"] or {}).items()]


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration's parameters, by their dotted names."""
    parameters: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in _NOT_PARAMETERS:
            continue
        parameters.update(flat(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return parameters


def _name(config: dict[str, Any]) -> str:
    """What tells a run from its neighbours in a list, which shows the first words only."""
    schedule = config["learning_rate"]
    rate = f"lr={schedule['lr']}" if schedule["name"] == "Constant" else specification(schedule)
    return f"{rate} seed={config['seed']} {specification(config['optimizer'])}"


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
