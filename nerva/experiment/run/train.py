"""Training a run in this process, and writing its folder."""

import logging
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from nerva.data import load_prepared, prepare
from nerva.data.locks import locked
from nerva.datasets import checksum
from nerva.errors import NervaError, PrunedError
from nerva.experiment.config import numerics
from nerva.experiment.config.schema import Config
from nerva.experiment.identity import user_modules
from nerva.experiment.identity.identify import Identity
from nerva.experiment.records.metrics import metrics_row, score_of
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import EpochMetrics, Resumption, RunRecord, utc
from nerva.experiment.run import repository
from nerva.experiment.run.build import Training, build
from nerva.experiment.run.checkpoint import Checkpoint
from nerva.experiment.run.environment import determining_environment
from nerva.experiment.run.provenance import collect
from nerva.experiment.run.signals import Interrupted
from nerva.matrix_operations import Matrix
from nerva.training import EpochRecord
from nerva.training_table import table_foot, table_head, table_row
from nerva.utilities import save_dict_to_npz

log = logging.getLogger("nerva.run")

# Sees the metrics of each epoch after the first measurement, and may raise a PrunedError to end the run.
Watch = Callable[[EpochRecord], None]


def train(
    config: Config,
    identity: Identity,
    overrides: Sequence[str],
    folder: RunFolder,
    note: str = "",
    watch: Watch | None = None,
) -> RunRecord:
    """Train a run in this process, unless it already exists.

    A run that was interrupted resumes after its last epoch. A run whose loss stops being finite ends as failed: with
    the same configuration it would fail again.

    Args:
        config: the configuration of the run.
        identity: the identity of the run.
        overrides: the overrides that gave the configuration, for the record.
        folder: the folder of the run.
        note: a remark for the log.
        watch: is called after each epoch, also for those before an interruption; not if training diverges or stops
            early.

    Returns:
        The result of the run.

    Raises:
        NervaError: if the data are damaged or can't be obtained.
        PrunedError: if `watch` raises it. The run then counts as interrupted after its last epoch.
        Interrupted: if a signal ends the run.
    """
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    # A second process waits here, and then finds the run. The system releases the lock of a process that dies.
    with locked(folder.lock):
        if existing := existing_run(folder, config.force):
            return existing
        prepare(config.data, config.data_dir)
        arrays, sha256 = load_prepared(config.data, config.data_dir)
        folder.path.mkdir(exist_ok=True)
        _reset_peak_memory()
        folder.clear()
        folder.write_config(config, identity.numerics, identity.backend["device"])
        folder.write_provenance(
            collect(config, identity, overrides, sha256),
            identity.code,
            repository.patch(),
            user_modules.texts(config.imports),
        )
        with _logged_to(folder):
            record = _train(config, identity, arrays, folder, note, watch)
        folder.write_record(record)
        folder.checkpoint.unlink(missing_ok=True)
    return record


def existing_run(folder: RunFolder, force: bool) -> RunRecord | None:
    """The result of a run that exists; None if it is still to be trained, or `force` asks to train it again."""
    record = folder.complete_record()
    if record is None:
        return None
    folder.checkpoint.unlink(missing_ok=True)
    if force:
        return None
    log.info("run %s already exists: %s", folder.run_id, folder.path)
    return record


def _train(
    config: Config,
    identity: Identity,
    arrays: dict[str, Matrix],
    folder: RunFolder,
    note: str,
    watch: Watch | None,
) -> RunRecord:
    """Train, and write the metrics and the weights."""
    data, t = config.data, build(config, arrays)
    progress, unusable = _Progress(t, folder, config, identity.run_id), ""
    try:
        progress.load()
    except NervaError as error:
        unusable = f"this run was interrupted, but restarts from scratch, because its checkpoint can't be used: {error}"
        t = build(config, arrays)
        progress = _Progress(t, folder, config, identity.run_id)
    if not t.records:
        folder.metrics.unlink(missing_ok=True)  # of an attempt that is not resumed
    log.info("run %s of %s", folder.run_id, config.title)
    log.info(
        "%s: %d samples for training, %d for validation, %d for testing",
        data.title, data.train - data.validation, data.validation, data.test,
    )  # fmt: skip
    for remark in (data.note, note or numerics.note(config.numerics.mode, config.backend.name), unusable):
        if remark:
            log.info("%s", private(remark))
    for line in table_head(validation=True, regression=t.regression):
        log.info(line)
    for record in t.records:
        log.info(table_row(record))
    if t.records:
        log.info("resuming after epoch %d, where this run was interrupted", t.records[-1].epoch)
    # With more than one thread, the order of sums and their last bits depend on the number of cores. The provenance has
    # loaded every BLAS, so that the limit holds for all. Overflow shows in the metrics of the epoch.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        try:
            for record in t.records:
                _show(record, t, watch)
            for record in t.epochs(config.train.epochs):
                progress.save()
                log.info(table_row(record))
                _show(record, t, watch)
        except PrunedError:
            progress.write()
            log.info("pruned after epoch %d; a command that asks for this run resumes it", t.records[-1].epoch)
            raise
        except (Interrupted, KeyboardInterrupt):
            then = "resumes there" if progress.saved else "restarts from scratch"
            log.info("interrupted after %s; the same command %s", progress.saved or "no epoch", then)
            raise
    if t.stopped_early:
        log.info(
            "stopped early: %s has not improved by more than %g for %d epochs",
            t.stop_metric.name, t.stop.min_delta, t.stop.patience,
        )  # fmt: skip
    for line in table_foot(sum(record.seconds for record in t.records), validation=True):
        log.info(line)
    progress.write_metrics()
    weights = {folder.weights: t.M.to_dict(), folder.best: t.best_weights or t.M.to_dict()}
    for path, parameters in weights.items():
        save_dict_to_npz(path, parameters)
    last = t.records[-1]
    loss = last.validation_loss if last.train_loss is None else last.train_loss
    reason = f"the loss is {loss} after epoch {last.epoch}: training diverged" if t.diverged else None
    if reason:
        log.error("run %s failed: %s", folder.run_id, reason)
    trained = sum(record.seconds for record in t.records)
    return RunRecord(
        run_id=identity.run_id,
        status="failed" if reason else "finished",
        reason=reason,
        best=EpochMetrics.of(t.best) if t.best and not reason else None,
        last=EpochMetrics.of(last),
        weights={path.name: checksum(parameters) for path, parameters in weights.items()},
        started=utc(progress.started),
        ended=utc(time.time()),
        training_seconds=trained,
        seconds_per_epoch=trained / last.epoch if last.epoch else None,
        peak_memory_mb=round(_peak_memory() / 2**20),
        continued=progress.continued,
    )


def _show(record: EpochRecord, t: Training, watch: Watch | None) -> None:
    """Show an epoch to the watcher, but not the network before training, nor anything if training ends anyway."""
    if watch and record.epoch > 0 and not t.has_ended:
        watch(record)


# Between two writes of the progress, this many times the duration of the first one passes.
_PAUSE = 10.0


class _Progress:
    """The progress of a run: its metrics, and the checkpoint from which it can be resumed."""

    def __init__(self, t: Training, folder: RunFolder, config: Config, run_id: str) -> None:
        """Watch a training that has just been built."""
        self.t = t
        self.folder = folder
        self.started = time.time()
        self.times: list[float] = []  # when each epoch was measured
        # Formatted once: there may be thousands of rows, which are written again and again.
        self.rows: list[str] = []
        self.continued: list[Resumption] = []
        self.resumable = True
        self.saved = ""  # the epoch after which an interrupted run would resume
        self._next_save = 0.0  # by `time.perf_counter`
        modules = {module for name in config.imports for module in user_modules.files(name)}
        environment = {"run_id": run_id, **determining_environment()}
        self.checkpoint = Checkpoint(folder.checkpoint, t, environment, modules)

    def save(self) -> None:
        """Write the checkpoint, and then the metrics: in this order, no epoch is ever in the metrics twice.

        Short epochs are written together, so that writing takes at most a tenth of the time.
        """
        self._add(self.t.records[-1], time.time())
        start = time.perf_counter()
        if start < self._next_save:
            return
        self.write()
        end = time.perf_counter()
        self._next_save = end + _PAUSE * (end - start)

    def write(self) -> None:
        """Write the checkpoint and the metrics now."""
        if self.resumable:
            try:
                self.checkpoint.save(self.started, self.times, [vars(resumption) for resumption in self.continued])
                self.saved = f"epoch {self.t.records[-1].epoch}"
            except NervaError as error:
                self.resumable, self.saved = False, ""
                log.warning("this run can't be resumed; if it is interrupted, it restarts from scratch: %s", error)
        self.write_metrics()

    def write_metrics(self) -> None:
        """Write the metrics of all epochs so far."""
        self.folder.write_metrics(self.rows, score_of(self.t.records[-1]))

    def load(self) -> None:
        """Resume from the checkpoint, if there is one.

        Raises:
            NervaError: if the checkpoint can't be used. The training then has to be built anew.
        """
        if not self.folder.checkpoint.exists():
            return
        self.started, times, continued = self.checkpoint.restore()
        for record, measured in zip(self.t.records, times, strict=True):
            self._add(record, measured)
        last = self.t.records[-1].epoch
        self.saved = f"epoch {last}"
        now = utc(time.time()).isoformat(timespec="milliseconds")
        self.continued = [*(Resumption(**earlier) for earlier in continued), Resumption(last, now)]

    def _add(self, record: EpochRecord, measured: float) -> None:
        self.times.append(measured)
        self.rows.append(metrics_row(record, measured))


def _reset_peak_memory() -> None:
    """Measure the peak from now on, where the system supports that: the runs of a sweep may share a process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """The peak memory of this process, in bytes."""
    with suppress(OSError):
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(peak) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


class _LogFile(logging.FileHandler):
    """A log file that raises an error if it can't be written, where logging would print a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        error.filename = self.baseFilename
        raise error


@contextmanager
def _logged_to(folder: RunFolder) -> Iterator[None]:
    """Write what is logged also to the log file of the run, which replaces that of an earlier attempt."""
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
