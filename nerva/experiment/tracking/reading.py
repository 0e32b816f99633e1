"""Reading runs from a store: their ids, and their files and metrics."""

import math
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.entities import Run

from nerva.errors import NervaError
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.tracking.address import database_path, store_exists
from nerva.experiment.tracking.entities import METRICS
from nerva.experiment.tracking.store import connect, search_runs, store_errors

History = list[tuple[int, float]]  # epochs and values

_RUN_ID = "[0-9a-f]{12}"
_MLFLOW_ID = "[0-9a-f]{32}"


def download_run(run: str, uri: str, destination: Path) -> tuple[RunFolder, dict[str, History]]:
    """Download a run; see the function of the package."""
    missing = f"there is no run {run} in MLflow at {private(uri)}"
    if not store_exists(uri) or not re.fullmatch(f"{_RUN_ID}|{_MLFLOW_ID}", run):
        raise NervaError(missing)
    with store_errors(uri):
        client = connect(uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        condition = f"attributes.run_id = '{run}'" if len(run) == 32 else f"tags.`nerva.run_id` = '{run}'"
        # Several experiments may have the run, and not all of them completely. The id names a folder, so that a store
        # must not choose it freely.
        candidates = [
            found
            for found in search_runs(client, experiments, condition)
            if re.fullmatch(_RUN_ID, found.data.tags.get("nerva.run_id", ""))
        ]
        if not candidates:
            raise NervaError(missing)
        found = max(candidates, key=lambda run: "nerva.ended" in run.data.tags)
        folder = RunFolder(destination / found.data.tags["nerva.run_id"])
        if moved := _moved_artifacts(found, uri):
            shutil.copytree(moved, folder.path)
        else:
            folder.path.mkdir()
            for artifact in client.list_artifacts(found.info.run_id):
                if not artifact.is_dir and re.fullmatch(r"\w[\w.-]*", artifact.path):
                    client.download_artifacts(found.info.run_id, artifact.path, str(folder.path))
        if not folder.record.exists():
            where = private(str(found.info.artifact_uri))
            raise NervaError(
                f"MLflow does not have all files of the run {run}: its status is {found.info.status}, and its files "
                f"are in {where}"
            )
        columns = folder.read_metrics()[0]
        history = {
            column: sorted((m.step, _unlimited(m.value)) for m in client.get_metric_history(found.info.run_id, name))
            for column, name in METRICS.items()
            if column in columns and column != "seconds"
        }
    return folder, history


def logged_run_ids(uri: str) -> set[str]:
    """The ids of the runs that a store has; see the function of the package."""
    if not store_exists(uri):
        return set()
    with store_errors(uri):
        client = connect(uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return {run.data.tags.get("nerva.run_id", "") for run in search_runs(client, experiments)} - {""}


def _moved_artifacts(run: Run, uri: str) -> Path | None:
    """Where the files of a run are, if a database has been moved together with them: MLflow knows where they were."""
    path, location = database_path(uri), str(run.info.artifact_uri)
    if path is None or not location.startswith("file:"):
        return None
    before = Path(url2pathname(urlsplit(location).path))
    if before.exists() or ".." in before.parts:
        return None
    # mlartifacts, the experiment, the run, artifacts
    now = path.parent.joinpath(*before.parts[-4:])
    return now if now.is_dir() else None


def _unlimited(value: float) -> float:
    """A metric. MLflow stores the largest number in place of infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value
