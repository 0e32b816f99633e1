"""Jobs of Hydra: runs that Hydra's launchers train, in this process, in other processes or on other machines.

A launcher gets the overrides of each job. Where the job runs, Hydra composes the configuration from them and calls a
task with it. The tasks of this module can be pickled, so that any launcher can send them.
"""

import errno
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig
from tqdm import tqdm

from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.config.composition import VERSION_BASE, WHITELIST, Composer, initialized
from nerva.experiment.config.objective import objective_of
from nerva.experiment.config.schema import Sweep
from nerva.experiment.identity.identify import identify
from nerva.experiment.paths import conf_dir
from nerva.experiment.records.privacy import private, without_credentials
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import read_sweeps, record_sweep
from nerva.experiment.sweep.expansion import differences_from_grid
from nerva.experiment.sweep.launcher import Launcher, raise_if_any
from nerva.experiment.sweep.logged_sweeps import log_sweeps
from nerva.experiment.sweep.plan import Plan, Point, with_credentials
from nerva.experiment.sweep.planning import SweeperError
from nerva.experiment.tracking import create_database
from nerva.experiment.tracking.follower import not_logged


def launch_jobs(plan: Plan, overrides: Sequence[str], launcher: Launcher) -> None:
    """Let the launcher of Hydra that the configuration names train the points of a plan.

    This process logs the runs, when the jobs have ended: a database has one writer then.

    Args:
        plan: the plan of a sweep.
        overrides: those of the command, including Hydra's own.
        launcher: logs the runs.

    Raises:
        NervaError: if runs could not be trained, or the launcher gave up.
        RunFailedError: if runs diverged, and all others were trained.
        OSError: if the disk is full.
    """
    task = PointTask(plan.sweep, follow=launcher.prepare(plan.points))
    uri = plan.config.tracking.uri
    if without_credentials(uri) != uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri  # launchers write the overrides to files, which get no password
    not_trained: list[str] = []
    diverged: list[RunFolder] = []
    try:
        for point, result in _launched(plan.points, [without_credentials(o) for o in overrides], task):
            if isinstance(result, OSError) and result.errno == errno.ENOSPC:
                raise result
            if result is not None:
                not_trained.append(point.run_id)
                tqdm.write(f"nerva: run {point.run_id} could not be trained: {result}", file=sys.stderr)
            elif point.folder.read_record().failed:
                diverged.append(point.folder)
    finally:
        launcher.log([point for point in plan.points if point.folder.has_stopped()])
    raise_if_any(not_trained, diverged, len(plan.points))


def _launched(points: Sequence[Point], overrides: Sequence[str], task: "PointTask") -> list[tuple[Point, Any]]:
    """Each point with the result of its job. This is what Hydra's basic sweeper does after it has expanded a sweep."""
    results: list[tuple[Point, Any]] = []
    with initialized():
        application = GlobalHydra.instance().hydra
        assert application is not None
        config = application.compose_config("config", list(overrides), RunMode.MULTIRUN, with_log_configuration=True)
        callbacks = Callbacks(config)
        callbacks.on_multirun_start(config=config, config_name="config")
        context = HydraContext(config_loader=application.config_loader, callbacks=callbacks, **WHITELIST)
        hydra_launcher = Plugins.instance().instantiate_launcher(context, task, config)
        size = config.hydra.sweeper.max_batch_size or len(points)
        for start in range(0, len(points), size):
            batch = points[start : start + size]
            jobs = [[without_credentials(o) for o in point.asked if not is_hydra(o)] for point in batch]
            try:
                returned = hydra_launcher.launch(jobs, initial_job_idx=start)
            except (NervaError, HydraException):
                raise
            except Exception as error:  # each launcher has errors of its own: of a queue, of a worker that was killed
                reason = private((str(error).strip().splitlines() or [type(error).__name__])[-1])
                name = config.hydra.runtime.choices["hydra/launcher"]
                raise NervaError(
                    f"the launcher {name} ended early: {reason}; the same command trains the missing runs"
                ) from error
            results += zip(batch, [job.return_value for job in returned], strict=True)
        callbacks.on_multirun_end(config=config, config_name="config")
    return results


def is_hydra(override: str) -> bool:
    """Whether an override is one of Hydra's own. Hydra gives these to each job itself."""
    return override.lstrip("+~").startswith(("hydra.", "hydra/", "hydra="))


@dataclass
class PointTask:
    """The task of a job that trains a point of a plan."""

    sweep: Sweep
    follow: bool  # whether MLflow shows the run while it trains, if it takes longer than some seconds

    def __call__(self, cfg: DictConfig) -> Exception | None:
        """Train the run of a job's configuration.

        Returns:
            The reason why the run could not be trained; None if it ended, also if it diverged.
        """
        try:
            point = _point(cfg, self.sweep)
            point.config.tracking.enabled &= self.follow
            Launcher(deferred=True).launch(point)
        except (NervaError, OSError) as error:
            return error
        return None


@dataclass
class RunTask:
    """The task of a job that is no point of a plan: of a sweeper that chooses points, or of a single run."""

    sweep: Sweep = field(default_factory=Sweep)
    deferred: bool = False  # whether another process logs the run
    error: Exception | None = None  # of a single run

    def __call__(self, cfg: DictConfig) -> float:
        """Train the run of a job's configuration, and record that it belongs to the sweep.

        Returns:
            The objective of the run.

        Raises:
            RunFailedError: if the run diverges. A sweeper decides whether that ends the sweep.
            NervaError: if the run can't be trained.
        """
        try:
            return self._objective(cfg)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            self.error = error  # Hydra would print a message of its own
            return math.nan

    def _objective(self, cfg: DictConfig) -> float:
        point = _point(cfg, self.sweep)
        if found := differences_from_grid(cfg):
            raise NervaError(
                f"{'; '.join(found)}: seeds, sweep.zip, sweep.where and sweep.grids need Hydra's basic sweeper, and "
                "a configuration in conf/"
            )
        config, launcher = point.config, Launcher(deferred=self.deferred)
        record_sweep(config.results_dir, config.title, config.sweep, config.question, [point.run_id])
        return launcher.launch_job(point).value(objective_of(config).name)


def run_hydra(task: RunTask) -> None:
    """Run Hydra's application, which reads `sys.argv`. It shows something, or calls the task once or for each job.

    Raises:
        NervaError: if a key or an option is unknown, or a value is wrong.
        RunFailedError: if a run diverges.
    """
    hydra.main(config_path=str(conf_dir()), config_name="config", **VERSION_BASE, **WHITELIST)(task)()
    if task.error:
        raise task.error


def run_sweeper(chosen: SweeperError) -> None:
    """Let a sweeper of Hydra choose points, and train them. The sweep is recorded while it runs.

    Raises:
        NervaError: if an override is wrong, a run can't be trained, or the sweeper gives up.
        RunFailedError: if runs diverged. The sweeper may have gone on without their objectives.
    """
    task = RunTask(chosen.sweep, deferred=chosen.parallel)
    config = chosen.config
    try:
        if chosen.parallel and config.tracking.enabled:
            _report_refusal(lambda: create_database(config.tracking.uri, config.results_dir))
        run_hydra(task)
    finally:
        records = [r for r in read_sweeps(config.results_dir, []) if r.sweep.id == chosen.sweep.id]
        if chosen.parallel and config.tracking.enabled:
            _report_refusal(lambda: log_sweeps(records, config, print))
    folders = [RunFolder.of(config.results_dir, run_id) for record in records for run_id in record.runs]
    diverged = [folder for folder in folders if folder.record.exists() and folder.read_record().failed]
    raise_if_any([], diverged, len(folders))


def _report_refusal(action: Callable[[], object]) -> None:
    try:
        action()
    except (NervaError, OSError) as error:
        tqdm.write(not_logged(str(error)), file=sys.stderr)


def _point(cfg: DictConfig, sweep: Sweep) -> Point:
    """The point of a job."""
    logging.getLogger("nerva").setLevel(logging.INFO)
    asked = list(HydraConfig.get().overrides.task)
    numerics.pin_for(tuple(asked))  # another process has inherited the variables of the one that launched it
    config, overrides = Composer(settle=True).configuration(asked, cfg)
    if not config.sweep.id:
        config.sweep = sweep
    config.tracking.uri = with_credentials(config.tracking.uri)
    return Point(config, identify(config), tuple(overrides), tuple(asked))
