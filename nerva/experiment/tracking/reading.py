"""What MLflow has of runs."""

import math
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.entities import Run

from nerva.errors import NervaError
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.tracking.entities import METRICS
from nerva.experiment.tracking.store import database, errors, exists, opened, search


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
    if not exists(uri):
        raise NervaError(there)
    with errors(uri):
        client = opened(uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        asked = f"attributes.run_id = '{run}'" if len(run) == 32 else f"tags.`nerva.run_id` = '{run}'"
        # It may stand in several experiments, not in all of which it was followed to its end.
        candidates = [run for run in search(client, experiments, asked) if "nerva.run_id" in run.data.tags]
        if not candidates:
            raise NervaError(there)
        found = max(candidates, key=lambda run: "nerva.ended" in run.data.tags)
        folder = RunFolder(destination / found.data.tags["nerva.run_id"])
        if moved := _moved(found, uri):
            shutil.copytree(moved, folder.path)
        else:
            folder.path.mkdir()
            for artifact in client.list_artifacts(found.info.run_id):
                if not artifact.is_dir:
                    client.download_artifacts(found.info.run_id, artifact.path, str(folder.path))
        if not folder.summary.exists():
            where = private(str(found.info.artifact_uri))
            raise NervaError(
                f"MLflow has not all files of the run {run}: it is {found.info.status}, and they are in {where}"
            )
        history = {
            column: sorted((m.step, _unbounded(m.value)) for m in client.get_metric_history(found.info.run_id, name))
            for column, name in METRICS.items()
            if column != "seconds"
        }
    return folder, history


def _moved(run: Run, uri: str) -> Path | None:
    """Where the files of a run are, if a database was moved together with them: MLflow knows where they were."""
    path, location = database(uri), str(run.info.artifact_uri)
    if path is None or not location.startswith("file:"):
        return None
    before = Path(url2pathname(urlsplit(location).path))
    if before.exists():
        return None
    # mlartifacts, the experiment, the run, artifacts
    now = path.parent.joinpath(*before.parts[-4:])
    return now if now.is_dir() else None


def tracked(uri: str) -> set[str]:
    """The ids, nerva's, of the runs that a store has.

    Raises:
        NervaError: if the store refuses.
    """
    if not exists(uri):
        return set()
    with errors(uri):
        client = opened(uri)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return {run.data.tags.get("nerva.run_id", "") for run in search(client, experiments)}


def _unbounded(value: float) -> float:
    """A number that MLflow has: it takes the largest number for infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value
