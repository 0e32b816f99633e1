"""Bringing an experiment in MLflow up to date with run folders: runs, sweeps, stale runs and the champion."""

import re
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from tqdm import tqdm

from nerva.errors import DamagedRunsError, NervaError
from nerva.experiment.config.metrics import ACCURACY, Metric, metric_of
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import SweepRecord, read_sweeps
from nerva.experiment.report.predictions import Analyst
from nerva.experiment.tracking.champion import best_runs, promote_champion
from nerva.experiment.tracking.decision import Status
from nerva.experiment.tracking.experiments import find_experiment
from nerva.experiment.tracking.run_logging import RunLogger, mark_not_logged
from nerva.experiment.tracking.stale_runs import end_stale_runs
from nerva.experiment.tracking.store import connect, locked, reason, search_runs, store_errors
from nerva.experiment.tracking.sweep_parents import SWEEP_ID, SweepParents

_TITLE = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,250}"  # it names a folder


def synchronize(
    folders: Sequence[RunFolder],
    title: str,
    uri: str,
    results_dir: str | Path,
    sweep: Sweep | None,
    question: str,
    live: bool,
    trusted_imports: Set[str],
    models: str,
) -> int:
    """Log runs to an experiment of MLflow; see `track`."""
    results_dir, sweep = Path(results_dir), sweep or Sweep()
    # The record of a sweep may come from a stranger.
    if not re.fullmatch(_TITLE, title):
        raise NervaError(f'"{title[:80]}" is not the title of an experiment, which names a folder')
    if sweep.id and not re.fullmatch(SWEEP_ID, sweep.id):
        raise NervaError(f'sweep.id should be up to 64 letters, digits, "_" and "-", not "{sweep.id[:80]}"')
    results_dir.mkdir(parents=True, exist_ok=True)
    with locked(uri, results_dir), store_errors(uri):
        client = connect(uri)
        experiment_id = find_experiment(client, title, question, uri, results_dir)
        records = {sweep.id: SweepRecord(title, question, sweep)}
        # Only the sweeps of these runs: a run is synchronized every second while it trains.
        records |= {record.sweep.id: record for record in read_sweeps(results_dir, folders) if record.title == title}
        begun = [folder for folder in folders if folder.metrics.exists()]
        metric = _compared_by(begun)
        sweeps = SweepParents(client, experiment_id, title, sweep, records.values(), metric, results_dir)
        analyst = Analyst(results_dir / "data", frozenset(trusted_imports))
        every = models == "all" or (models == "best" and not sweep.id)
        logger = RunLogger(client, experiment_id, sweeps, analyst, every)
        experiment = _Experiment(client, experiment_id, logger)
        if begun:
            sweeps.current_parent()
        known = experiment.known_runs(folders)
        logged = 0
        # In a terminal (None), a progress bar shows what may take long.
        for folder in tqdm(begun, f"logging {title}", unit="run", leave=False, disable=None if begun[1:] else True):
            run = known.get(folder.run_id)
            if run:
                sweeps.adopt(run)
            # Another process may train a run that this one only waited for.
            training = live or (not folder.record.exists() and folder.is_training())
            logged += experiment.log(folder, run, training)
        if logged or not live:
            seen = {folder.run_id for folder in begun}
            end_stale_runs(client, experiment_id, results_dir, seen, experiment.log_killed)
            sweeps.update()
            with_model = experiment.log_models(best_runs(client, experiment_id, metric), models, results_dir)
            if with_model:
                promote_champion(client, with_model[0], title, metric)
    if experiment.problems:
        raise DamagedRunsError("\n".join(experiment.problems))
    return logged


def _compared_by(folders: Sequence[RunFolder]) -> Metric:
    """The metric by which runs are compared: that of the first whose configuration can be read."""
    for folder in folders:
        with suppress(NervaError):  # the logging of the run reports the damage
            return metric_of(folder.read_config())
    return ACCURACY


class _Experiment:
    """The runs of an experiment. Problems with single runs are collected, so that the others are logged."""

    def __init__(self, client: MlflowClient, experiment_id: str, logger: RunLogger) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self._logger = logger
        self.problems: list[str] = []

    def known_runs(self, folders: Sequence[RunFolder]) -> dict[str, Run]:
        """The runs that MLflow has, by nerva's ids. If there is only one folder, the others are not asked for."""
        one = len(folders) == 1 and re.fullmatch(r"\w+", folders[0].run_id)
        known: dict[str, Run] = {}
        for run in self._search(f"tags.`nerva.run_id` = '{folders[0].run_id}'" if one else ""):
            known.setdefault(run.data.tags.get("nerva.run_id", ""), run)
        return known

    def log(self, folder: RunFolder, run: Run | None, training: bool) -> bool:
        """Log a run, or note what is wrong with its folder; returns whether there was anything to log."""
        try:
            return self._logger.log(folder, run, training)
        except NervaError as error:
            problem = str(error)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            problem = f"MLflow does not accept the records in {folder.path} ({reason(error)}); {folder.repair_hint}"
        problem = " ".join(problem.splitlines())
        self.problems.append(problem)
        for run in self._search(f"attributes.status = '{Status.RUNNING.value}'"):
            if run.data.tags.get("nerva.run_id") == folder.run_id:
                mark_not_logged(self._client, run, private(problem))
        return False

    def log_killed(self, folder: RunFolder, run: Run) -> None:
        """Log a run that is not being trained any more."""
        self.log(folder, run, training=False)

    def log_models(self, best: Sequence[Run], models: str, results_dir: Path) -> list[Run]:
        """Log the models of the best runs, unless they are logged or their folders are elsewhere.

        Args:
            best: the runs, the best one first.
            models: see `track`. With `none`, only the first run gets a model: it is the champion.
            results_dir: the folder of all results.

        Returns:
            The runs that have a model.
        """
        with_model = []
        for run in best:
            if self._logger.has_model(run) or self._log_model(run, results_dir):
                with_model.append(run)
                if models == "none":
                    break
        return with_model

    def _log_model(self, run: Run, results_dir: Path) -> bool:
        run_id = run.data.tags.get("nerva.run_id", "")
        folder = RunFolder.of(results_dir, run_id)
        if not re.fullmatch("[0-9a-f]{12}", run_id) or not folder.is_complete():
            return False
        try:
            self._logger.log_model(run.info.run_id, folder)
        except NervaError as error:
            self.problems.append(" ".join(str(error).splitlines()))
            return False
        return True

    def _search(self, filter_string: str) -> Iterator[Run]:
        return search_runs(self._client, [self._experiment_id], filter_string)
