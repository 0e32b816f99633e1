"""One run: trained, and written to its folder."""

import logging
import math
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
from filelock import FileLock
from threadpoolctl import threadpool_limits

import nerva
from nerva.data import load_prepared, prepare
from nerva.experiment import PACKAGE
from nerva.experiment.build import build
from nerva.experiment.config import Config, canonical
from nerva.experiment.folder import RunFolder
from nerva.experiment.identity import code_fingerprint, configuration_id, run_id
from nerva.training import EpochRecord, table_foot, table_head, table_row, training_epochs
from nerva.utilities import save_dict_to_npz

log = logging.getLogger("nerva.run")


def run(config: Config, overrides: Sequence[str]) -> RunFolder:
    """Trains the run that a configuration describes, unless that is done already.

    A run that diverges ends as failed: that is what comes of its configuration, and trying again gives the same.

    Args:
        config: the configuration.
        overrides: how it was asked for; they are noted, and change nothing.

    Returns:
        The run's folder.

    Raises:
        NervaError: if the configuration is not that of a run, or the data can't be had.
    """
    folder = RunFolder.of(config.results_dir, run_id(config))
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever comes second waits, and then finds the run done. The system frees the lock of a process that dies.
    with FileLock(folder.path.parent / f".{folder.run_id}.lock"):
        if folder.is_whole():
            log.info("run %s is there already: %s", folder.run_id, folder.path)
            return folder
        prepare(config.data, config.data_dir)
        arrays, checksum = load_prepared(config.data, config.data_dir)
        folder.path.mkdir(exist_ok=True)
        folder.clear()
        folder.write_config(config)
        with _logged_to(folder):
            summary = _train(config, arrays, folder)
        folder.write_summary(
            {
                "run_id": folder.run_id,
                "configuration_id": configuration_id(config),
                "determined_by": canonical(config),
                **summary,
                "overrides": list(overrides),
                "data": {"name": config.data.name, "title": config.data.title, "sha256": checksum},
                "code": code_fingerprint(),
                **_environment(),
            }
        )
    return folder


def _train(config: Config, arrays: dict[str, Any], folder: RunFolder) -> dict[str, Any]:
    """Trains and writes metrics and weights; returns what came of it."""
    data, started = config.data, time.time()
    log.info("run %s of %s", folder.run_id, config.title)
    log.info(
        "%s: %d samples for training, %d for validation, %d for testing",
        data.title, data.train - data.validation, data.validation, data.test,
    )  # fmt: skip
    if data.note:
        log.info("%s", data.note)
    records: list[EpochRecord] = []
    times: list[float] = []
    best: dict[str, Any] = {}
    reason = None
    t = build(config, arrays)
    # One thread: with more, sums are made in another order, and bits depend on the number of cores. What
    # overflows is told by the figures of the epoch, once.
    with threadpool_limits(1), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for line in table_head(validation=True):
            log.info(line)
        for record in training_epochs(
            t.M, config.train.epochs, t.loss, t.learning_rate,
            t.train_loader, t.test_loader, t.validation_loader, t.evaluation_loader,
        ):  # fmt: skip
            log.info(table_row(record))
            records.append(record)
            times.append(time.time())
            folder.write_metrics(records, times)
            if not (math.isfinite(record.train_loss) and math.isfinite(record.validation_loss or 0)):
                reason = f"the loss is {record.train_loss} after epoch {record.epoch}: training diverged"
                break
            # The first of equals: it was had with less training.
            if not best or record.validation_accuracy > best["validation_accuracy"]:
                best = _figures(record)
                best_weights = {name: x.copy() for name, x in t.M.to_dict().items()}
        for line in table_foot(sum(record.seconds for record in records), validation=True):
            log.info(line)
    save_dict_to_npz(folder.weights, t.M.to_dict())
    save_dict_to_npz(folder.best, best_weights if best else t.M.to_dict())
    if reason:
        log.error("run %s failed: %s", folder.run_id, reason)
    return {
        "status": "failed" if reason else "finished",
        "reason": reason,
        "best": None if reason else best,
        "last": _figures(records[-1]),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="milliseconds"),
        "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "training_seconds": sum(record.seconds for record in records),
    }


def _figures(record: EpochRecord) -> dict[str, Any]:
    """The figures of a record; those that aren't finite as text, which is what JSON can hold."""
    names = ("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    figures = {name: getattr(record, name) for name in (*names, "test_loss", "test_accuracy")}
    return {name: x if x is None or math.isfinite(x) else str(x) for name, x in figures.items()}


def _environment() -> dict[str, Any]:
    """The code and the libraries that made a run."""
    return {
        "git_commit": _git_commit(),
        "versions": {
            "nerva": nerva.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }


def _git_commit() -> str | None:
    """The commit of the checkout that this package is in, if it is in one and git is there."""
    if not (PACKAGE.parent / ".git").exists():
        return None  # installed, perhaps below somebody else's checkout
    command = ["git", "-C", str(PACKAGE.parent), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return result.stdout.strip() or None


@contextmanager
def _logged_to(folder: RunFolder) -> Iterator[None]:
    """Writes what is logged to the run's log file, too; an earlier attempt's log is replaced."""
    handler = logging.FileHandler(folder.log, mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()
