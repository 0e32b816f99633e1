"""Runs that a killed process has left RUNNING in MLflow."""

import re
from collections.abc import Callable, Set
from pathlib import Path

from filelock import Timeout
from mlflow import MlflowClient
from mlflow.entities import Run

from nerva.data.locks import locked
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.tracking.decision import Status
from nerva.experiment.tracking.store import search_runs


def end_stale_runs(
    client: MlflowClient,
    experiment_id: str,
    results_dir: Path,
    except_for: Set[str],
    log: Callable[[RunFolder, Run], object],
) -> None:
    """End the runs that are RUNNING in MLflow, but that no process is training.

    Runs that have no lock among the results are left alone, because they may be trained on another machine.

    Args:
        client: the store.
        experiment_id: the experiment.
        results_dir: the folder of all results.
        except_for: nerva's ids of runs that have just been looked at.
        log: logs a run from its folder, and so ends it.
    """
    for run in search_runs(client, [experiment_id], f"attributes.status = '{Status.RUNNING.value}'"):
        run_id = run.data.tags.get("nerva.run_id", "")
        # The id names a folder, so that a store must not choose it freely.
        if run_id in except_for or not re.fullmatch("[0-9a-f]{12}", run_id):
            continue
        folder = RunFolder.of(results_dir, run_id)
        if not folder.lock.exists():
            continue
        try:
            with locked(folder.lock, timeout=0):
                if folder.metrics.exists():
                    log(folder, run)
                else:
                    client.set_terminated(run.info.run_id, Status.KILLED.value)
        except Timeout:  # the run is being trained
            continue
