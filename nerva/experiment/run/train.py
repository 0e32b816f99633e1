"""One run: trained, and written to its folder."""

import logging
import math
import platform
import re
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from threadpoolctl import threadpool_limits

from nerva.data import load_prepared, prepare
from nerva.datasets import checksum
from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.config.schema import Config
from nerva.experiment.identity import user_modules as modules
from nerva.experiment.identity.identify import code_parts, run_id
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder, metrics_row
from nerva.experiment.run.build import Training, build
from nerva.experiment.run.checkpoint import Checkpoint
from nerva.experiment.run.processes import run_elsewhere
from nerva.experiment.run.provenance import bits, patch, provenance
from nerva.experiment.run.signals import Interrupted
from nerva.training import EpochRecord, table_foot, table_head, table_row
from nerva.utilities import save_dict_to_npz

log = logging.getLogger("nerva.run")


def run(
    config: Config, overrides: Sequence[str], into: RunFolder | None = None, own_process: bool = False
) -> RunFolder:
    """Trains the run that a configuration describes, unless that is done already.

    A run that was interrupted goes on after its last epoch. A run that diverges ends as failed: that is what comes of
    its configuration, and trying again gives the same.

    Args:
        config: the configuration.
        overrides: how it was asked for; they are noted, and change nothing.
        into: the run's folder; by default, the one that its id gives it among the results.
        own_process: whether this process was made for the run.

    Returns:
        The run's folder.

    Raises:
        NervaError: if the configuration is not that of a run, its numerics can't hold here, or the data can't be had.
        Interrupted: if a signal ends it.
    """
    folder = into or RunFolder.of(config.results_dir, run_id(config))
    if _is_there(folder, config.force):
        return folder
    mode = numerics.settle(config.numerics.mode)
    numerics.demand(mode)
    if numerics.pinned() != mode or (config.imports and not own_process):
        # Bits are settled when NumPy is imported, and here it was imported for others. And a module of one's own may
        # have changed since it was imported here, on disk, or what it keeps in variables.
        run_elsewhere(config, overrides, folder.path, mode)
        return folder
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever comes second waits, and then finds the run done. The system frees the lock of a process that dies.
    with FileLock(folder.lock):
        if _is_there(folder, config.force):
            return folder
        prepare(config.data, config.data_dir)
        arrays, sha256 = load_prepared(config.data, config.data_dir)
        folder.path.mkdir(exist_ok=True)
        _forget_peak_memory()
        try:
            _make(config, overrides, folder, arrays, sha256)
        except Interrupted as interruption:
            interruption.folder = folder.path
            raise
    return folder


def _is_there(folder: RunFolder, force: bool) -> bool:
    """Whether the run is done, and is not to be made again; of a run that is done no checkpoint is left."""
    if not folder.is_whole():
        return False
    folder.checkpoint.unlink(missing_ok=True)
    if force:
        return False
    log.info("run %s is there already: %s", folder.run_id, folder.path)
    return True


def _make(config: Config, overrides: Sequence[str], folder: RunFolder, arrays: dict[str, Any], sha256: str) -> None:
    """Trains the run, and writes all of its folder."""
    folder.clear()
    origin = (
        provenance(config, overrides, sha256),
        code_parts(config.imports, not config.data.sha256),
        patch(),
        modules.texts(config.imports),
    )

    def describe() -> None:
        folder.write_config(config)
        folder.write_provenance(*origin)

    describe()
    with _logged_to(folder):
        summary = _train(config, arrays, folder)
    # Again: meanwhile another program that wanted the same run, such as Snakemake, may have cleared its files away.
    describe()
    folder.write_summary({"run_id": folder.run_id, **summary})
    folder.checkpoint.unlink(missing_ok=True)


def _train(config: Config, arrays: dict[str, Any], folder: RunFolder) -> dict[str, Any]:
    """Trains and writes metrics and weights; returns what came of it."""
    data, t = config.data, build(config, arrays)
    progress, unusable = _Progress(t, folder, config), ""
    try:
        progress.load()
    except NervaError as error:
        unusable = f"this run was interrupted, but restarts from scratch, because its checkpoint can't be used: {error}"
        t = build(config, arrays)
        progress = _Progress(t, folder, config)
    if not t.records:
        folder.metrics.unlink(missing_ok=True)  # of an attempt that is not gone on with
    log.info("run %s of %s", folder.run_id, config.title)
    log.info(
        "%s: %d samples for training, %d for validation, %d for testing",
        data.title, data.train - data.validation, data.validation, data.test,
    )  # fmt: skip
    for note in (data.note, config.numerics.note or numerics.note(config.numerics.mode), unusable):
        if note:
            log.info("%s", private(note))
    for line in table_head(validation=True):
        log.info(line)
    for record in t.records:
        log.info(table_row(record))
    if t.records:
        log.info("going on after epoch %d, where this was interrupted", t.records[-1].epoch)
    # One thread: with more, sums are made in another order, and bits depend on the number of cores. What
    # overflows is told by the figures of the epoch, once.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            for record in t.epochs(config.train.epochs):
                progress.save()
                log.info(table_row(record))
        except (Interrupted, KeyboardInterrupt):
            then = "goes on from there" if progress.saved else "restarts from scratch"
            log.info("interrupted after %s; the same command %s", progress.saved or "nothing", then)
            raise
    for line in table_foot(sum(record.seconds for record in t.records), validation=True):
        log.info(line)
    progress.write_metrics()
    weights = {folder.weights: t.M.to_dict(), folder.best: t.best_weights or t.M.to_dict()}
    for path, parameters in weights.items():
        save_dict_to_npz(path, parameters)
    last = t.records[-1]
    reason = f"the loss is {last.train_loss} after epoch {last.epoch}: training diverged" if t.diverged else None
    if reason:
        log.error("run %s failed: %s", folder.run_id, reason)
    trained = sum(record.seconds for record in t.records)
    return {
        "status": "failed" if reason else "finished",
        "reason": reason,
        "best": _figures(t.best) if t.best and not reason else None,
        "last": _figures(last),
        "weights": {path.name: checksum(parameters) for path, parameters in weights.items()},
        "started": _iso(progress.started),
        "ended": _iso(time.time()),
        "continued": progress.continued,
        "training_seconds": trained,
        "seconds_per_epoch": trained / last.epoch if last.epoch else None,
        "peak_memory_mb": round(_peak_memory() / 2**20),
    }


class _Progress:
    """A run's progress, as its checkpoint keeps it."""

    def __init__(self, t: Training, folder: RunFolder, config: Config) -> None:
        self.t = t
        self.folder = folder
        self.started = time.time()
        self.times: list[float] = []  # when each record was made
        # Made once each: there may be thousands, and they are written at each epoch.
        self.rows: list[str] = []
        self.continued: list[dict[str, Any]] = []  # after which epoch, and when, an interrupted run went on
        self.possible = True
        self.saved = ""  # the epoch from which an interrupted run would go on
        own = {module for name in config.imports for module in modules.files(name)}
        self.checkpoint = Checkpoint(folder.checkpoint, t, bits(), own)

    def save(self) -> None:
        """Writes the checkpoint, and then the metrics, after an epoch: no epoch is ever in the metrics twice."""
        self._add(self.t.records[-1], time.time())
        if self.possible:
            try:
                self.checkpoint.save(self.started, self.times, self.continued)
                self.saved = f"epoch {self.t.records[-1].epoch}"
            except NervaError as error:
                self.possible, self.saved = False, ""
                log.warning("this run can't be resumed; if it is interrupted, it restarts from scratch: %s", error)
        self.write_metrics()

    def write_metrics(self) -> None:
        """Writes the metrics of all epochs so far."""
        self.folder.write_metrics(self.rows)

    def _add(self, record: EpochRecord, made: float) -> None:
        self.times.append(made)
        self.rows.append(metrics_row(record, made))

    def load(self) -> None:
        """Goes on from the checkpoint, if there is one.

        Raises:
            NervaError: if it can't be used; then the training is spoilt.
        """
        if not self.folder.checkpoint.exists():
            return
        self.started, times, continued = self.checkpoint.restore()
        for record, made in zip(self.t.records, times, strict=True):
            self._add(record, made)
        last = self.t.records[-1].epoch
        self.saved = f"epoch {last}"
        self.continued = [*continued, {"after_epoch": last, "at": _iso(time.time())}]


def _figures(record: EpochRecord) -> dict[str, Any]:
    """The figures of a record; those that aren't finite as text, which is what JSON can hold."""
    names = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    figures = {name: getattr(record, name) for name in (*names, "test_loss", "test_accuracy")}
    return {name: x if x is None or math.isfinite(x) else str(x) for name, x in figures.items()}


def _iso(seconds: float) -> str:
    """A time in seconds since 1970, as a person can read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _forget_peak_memory() -> None:
    """Lets the peak be that from now on, where the system can: a sweep's runs may share a process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """The most memory that this process has had at once, in bytes."""
    with suppress(OSError):
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(peak) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


class _LogFile(logging.FileHandler):
    """A log file; if it can't be written, that is an error like any other, where logging would print a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        error.filename = self.baseFilename
        raise error


@contextmanager
def _logged_to(folder: RunFolder) -> Iterator[None]:
    """Writes what is logged to the run's log file, too; an earlier attempt's log is replaced."""
    handler = _LogFile(folder.log, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()
