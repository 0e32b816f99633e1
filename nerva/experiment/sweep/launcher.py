"""The launcher: trains the points of a plan, and logs their runs to MLflow.

Python, `nerva train` and the pipeline's jobs call `launch_all`. If Hydra launches the jobs itself, it calls the
launcher as its task function. A launcher can be pickled, so that Hydra can send it to other processes.
"""

import errno
import logging
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tqdm import tqdm

from nerva.errors import DamagedRunsError, NervaError, PrunedError, RunFailedError
from nerva.experiment.identity.identify import identify
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.records.sweep_record import record_sweep
from nerva.experiment.report.text import plural
from nerva.experiment.run.run import Children, run
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.run.train import Watch
from nerva.experiment.sweep.plan import Point
from nerva.experiment.tracking import track
from nerva.experiment.tracking.follower import Follower, followed, not_logged

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger("nerva.run")

_SECONDS_BETWEEN_LOGS = 10.0


class Launcher:
    """Trains points, and logs their runs. If the store refuses, it is not asked again before `finish`."""

    def __init__(self, points: Sequence[Point] = (), deferred: bool = False) -> None:
        """
        Args:
            points: the points that Hydra's jobs are known to be, so that they are not validated again.
            deferred: whether `nerva track` logs the runs later. A run that takes longer than some seconds is still
                shown in MLflow while it trains.
        """
        self.deferred = deferred
        self.error: Exception | None = None  # of a Hydra job outside a multirun
        self._points = {_key(point.asked): point for point in points}
        self._waiting: list[Point] = []  # their runs have ended, and are not logged yet
        self._refused = False  # by the store

    def launch(self, point: Point) -> RunRecord:
        """Train the run of a point, unless it already exists, and log it to MLflow.

        Returns:
            The result of the run.

        Raises:
            NervaError: if the run can't be trained.
            Interrupted: if a signal ends it; it has then been logged as interrupted. A notebook that is interrupted
                raises a KeyboardInterrupt instead.
        """
        try:
            return self.train(point)
        finally:
            self.log()

    def launch_job(self, point: Point) -> None:
        """Train the run of a point.

        Raises:
            RunFailedError: if the run diverges. Other errors are those of `launch`.
        """
        record = self.launch(point)
        if record.failed:
            raise RunFailedError(f"run {record.run_id} failed: {record.reason} (see {point.folder.path})")

    def launch_all(self, points: Sequence[Point]) -> None:
        """Train the runs of points one after another. A run that fails does not end the others.

        Raises:
            NervaError: if runs could not be trained. (If there is one point only, its error is raised as it is.)
            RunFailedError: if runs diverged, and all others were trained.
            OSError: if the disk is full; no other run could be written either.
            Interrupted: if a signal ends the process.
        """
        if len(points) == 1:
            self.launch_job(points[0])
            return
        not_trained, diverged = [], []
        logged = time.monotonic()
        try:
            for number, point in enumerate(points, 1):
                log.info("%d of %d: %s", number, len(points), private(" ".join(point.asked)))
                try:
                    record = self.train(point)
                    # Logging several runs at once costs less than one after another.
                    if time.monotonic() - logged > _SECONDS_BETWEEN_LOGS:
                        self.log()
                        logged = time.monotonic()
                except Exception as error:
                    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                        raise
                    not_trained.append(point.run_id)
                    if isinstance(error, NervaError | OSError):
                        print(f"nerva: run {point.run_id} could not be trained: {error}", file=sys.stderr)
                    else:
                        traceback.print_exc()
                else:
                    if record.failed:
                        diverged.append(point.run_id)
        finally:
            self.log()
        of_all = f"of {plural(len(points), 'run')}"
        if not_trained:
            raise NervaError(f"{len(not_trained)} {of_all} could not be trained: {', '.join(not_trained)}")
        if diverged:
            raise RunFailedError(f"{len(diverged)} {of_all} diverged: {', '.join(diverged)}")

    def finish(self) -> None:
        """Log the runs that the store refused, if it accepts them now."""
        if not self._refused:
            return
        try:
            _track(self._waiting)
        except DamagedRunsError as error:
            print(f"nerva: {error}", file=sys.stderr)
        except (NervaError, OSError):
            return  # it has been reported when the store refused the first time
        print("nerva: the store is available again, and all of these runs are logged now", file=sys.stderr)

    def train(self, point: Point, watch: Watch | None = None, children: Children | None = None) -> RunRecord:
        """Train the run of a point, unless it already exists. Then it waits for being logged by `log`.

        Args:
            point: the point.
            watch: is called after each epoch, and may end the run by a PrunedError; see `run`.
            children: if given, a child process among these trains the run.

        The result and the errors are those of `run`.
        """
        config = point.config
        overrides = [override for override in point.overrides if not override.startswith("sweep.")]
        follower = Follower()
        watched = config.tracking.enabled and not self._refused
        try:
            with followed(config, point.folder) if watched else nullcontext(follower) as follower:
                record = run(config, point.identity, overrides, watch=watch, children=children)
        except (Interrupted, KeyboardInterrupt, PrunedError):
            # If another process trains the run, this one has only waited for it.
            trained_here = point.folder.metrics.exists() and not point.folder.is_training()
            if watched and not follower.refused and trained_here:
                self._waiting.append(point)
            raise
        finally:
            self._refused = self._refused or (follower.refused and not self.deferred)
        if config.tracking.enabled and not self.deferred:
            self._waiting.append(point)
        return record

    def log(self) -> None:
        """Log the runs that are waiting. If the store refuses, that is said once, and they go on waiting."""
        if not self._waiting or self._refused:
            return
        try:
            _track(self._waiting)
        except DamagedRunsError as error:
            tqdm.write(f"nerva: {error}", file=sys.stderr)
        except (NervaError, OSError) as error:
            self._refused = True
            tqdm.write(not_logged(str(error)), file=sys.stderr)
            return
        self._waiting = []

    def __call__(self, cfg: "DictConfig") -> None:
        """Carry out a job of Hydra."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        try:
            logging.getLogger("nerva").setLevel(logging.INFO)
            overrides = list(HydraConfig.get().overrides.task)
            self.launch_job(self._points.get(_key(overrides)) or _unplanned(cfg, overrides))
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            self.error = error  # Hydra would print a message of its own


def _unplanned(cfg: "DictConfig", overrides: list[str]) -> Point:
    """The point of a job that is not in the plan, such as that of a sweeper with a strategy of its own."""
    from nerva.experiment.config.composition import Composer

    config, settled = Composer(settle=True).configuration(overrides, cfg)
    point = Point(config, identify(config), tuple(settled), tuple(overrides))
    record_sweep(config.results_dir, config.title, config.sweep, config.question, [point.run_id])
    return point


def _key(overrides: Sequence[str]) -> tuple[str, ...]:
    """What identifies a job: Hydra does not show its own overrides to a task."""
    return tuple(override for override in overrides if not override.lstrip("+~").startswith("hydra"))


def _track(points: Sequence[Point]) -> None:
    """Log the runs of points, those of each experiment in one call.

    Raises:
        NervaError: if the store refuses.
        DamagedRunsError: if folders are damaged, after the others have been logged.
    """
    experiments: dict[str, list[Point]] = {}
    for point in points:
        config = point.config
        experiments.setdefault(repr((config.title, config.results_dir, config.sweep, config.tracking)), []).append(
            point
        )
    problems = []
    for group in experiments.values():
        config = group[0].config
        try:
            track(
                [point.folder for point in group],
                config.title,
                config.tracking.uri,
                config.results_dir,
                config.sweep,
                config.question,
                trusted_imports={name for point in group for name in point.config.imports},
                models=config.tracking.models,
            )
        except DamagedRunsError as error:
            problems.append(str(error))
    if problems:
        raise DamagedRunsError("\n".join(problems))
