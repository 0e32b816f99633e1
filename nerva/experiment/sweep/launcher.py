"""The launcher: trains the points of a plan in this process, and logs their runs to MLflow.

Python, `nerva train` and the pipeline's jobs call `launch_all`. The jobs of Hydra's launchers call `launch`.
"""

import errno
import logging
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext

from tqdm import tqdm

from nerva.errors import DamagedRunsError, NervaError, PrunedError, RunFailedError
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.report.text import plural
from nerva.experiment.run.run import Children, run
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.run.train import Watch
from nerva.experiment.sweep.plan import Point
from nerva.experiment.tracking import create_database, track
from nerva.experiment.tracking.follower import Follower, followed, not_logged

log = logging.getLogger("nerva.run")

_SECONDS_BETWEEN_LOGS = 10.0


class Launcher:
    """Trains points, and logs their runs. If the store refuses, it is not asked again before `finish`."""

    def __init__(self, deferred: bool = False) -> None:
        """
        Args:
            deferred: whether another process logs the runs later. A run that takes longer than some seconds is still
                shown in MLflow while it trains.
        """
        self.deferred = deferred
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

    def launch_job(self, point: Point) -> RunRecord:
        """Train the run of a point, and return its result.

        Raises:
            RunFailedError: if the run diverges. Other errors are those of `launch`.
        """
        record = self.launch(point)
        if record.failed:
            raise_if_any([], [point.folder], 1)
        return record

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
        not_trained: list[str] = []
        diverged: list[RunFolder] = []
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
                        diverged.append(point.folder)
        finally:
            self.log()
        raise_if_any(not_trained, diverged, len(points))

    def prepare(self, points: Sequence[Point]) -> bool:
        """Create the databases for runs that several processes train; return whether the stores accept runs."""
        stores = {p.config.tracking.uri: p.config.results_dir for p in points if p.config.tracking.enabled}
        try:
            for uri, results_dir in stores.items():
                create_database(uri, results_dir)
        except (NervaError, OSError) as error:
            self._refused = True
            tqdm.write(not_logged(str(error)), file=sys.stderr)
        return not self._refused

    def finish(self) -> None:
        """Log the runs that the store refused, if it accepts them now."""
        if not self._refused:
            return
        try:
            _track(self._waiting)
        except DamagedRunsError as error:
            print(f"nerva: {error}", file=sys.stderr)
            return
        except (NervaError, OSError):
            return  # it has been reported when the store refused the first time
        print("nerva: the store accepts runs again; the runs that it refused are logged now", file=sys.stderr)

    def train(self, point: Point, watch: Watch | None = None, children: Children | None = None) -> RunRecord:
        """Train the run of a point, unless it already exists. `log` logs it later.

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

    def log(self, points: Sequence[Point] = ()) -> None:
        """Log the runs that are waiting, and those of points that other processes have trained.

        If the store refuses, the error is reported once, and the runs go on waiting.
        """
        self._waiting += [point for point in points if point.config.tracking.enabled]
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


def raise_if_any(not_trained: Sequence[str], diverged: Sequence[RunFolder], total: int) -> None:
    """Report the runs that failed.

    Args:
        not_trained: the ids of runs that could not be trained. The reasons have been printed.
        diverged: the folders of runs that ended as failed.
        total: the number of all runs.

    Raises:
        NervaError: if runs could not be trained.
        RunFailedError: if runs diverged, and all others were trained.
    """
    of_all = f"of {plural(total, 'run')}"
    if not_trained:
        raise NervaError(f"{len(not_trained)} {of_all} could not be trained: {', '.join(not_trained)}")
    if diverged and total == 1:
        (folder,) = diverged
        raise RunFailedError(f"run {folder.run_id} failed: {folder.read_record().reason} (see {folder.path})")
    if diverged:
        raise RunFailedError(f"{len(diverged)} {of_all} diverged: {', '.join(folder.run_id for folder in diverged)}")


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
