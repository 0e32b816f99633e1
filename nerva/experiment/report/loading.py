"""Loading the records of runs, and checking that they agree with each other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nerva.errors import NervaError
from nerva.experiment.config.metrics import Metric, metric_of
from nerva.experiment.config.schema import Config
from nerva.experiment.config.validation import check_file_name
from nerva.experiment.records.files import file_checksum
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import EpochMetrics, RunRecord
from nerva.experiment.report.text import cut


@dataclass(frozen=True)
class LoadedRun:
    """The records of a run that has ended."""

    folder: RunFolder
    config: Config
    provenance: Provenance
    record: RunRecord
    metrics: list[dict[str, float]]  # one dictionary per epoch


@dataclass(frozen=True)
class DamagedRun:
    """A run that can't be loaded."""

    run_id: str
    reason: str


def load_runs(folders: Sequence[RunFolder]) -> tuple[list[LoadedRun], list[DamagedRun]]:
    """Load runs. Those that are damaged are returned with the reason."""
    loaded, damaged = [], []
    for folder in folders:
        try:
            loaded.append(load_run(folder))
        except NervaError as error:
            damaged.append(DamagedRun(folder.run_id, cut(str(error), 500)))
    return loaded, damaged


def load_run(folder: RunFolder) -> LoadedRun:
    """Load the records of a run.

    Raises:
        NervaError: if the run has not ended, a file is missing or damaged, or the files do not belong together.
    """
    record = folder.read_record()
    for file in (*folder.evidence, folder.log):
        if not file.exists():
            raise NervaError(f"{file} is missing; {folder.repair_hint}")
    run = LoadedRun(folder, folder.read_config(), folder.read_provenance(), record, folder.read_metrics())
    # After reading: these messages are for files that could be read, but were changed.
    for file in (folder.config, folder.provenance, folder.metrics):
        if file.name not in record.files:
            raise NervaError(f"{folder.record} is damaged (there is no checksum of {file.name}); {folder.repair_hint}")
        if file_checksum(file) != record.files[file.name]:
            raise NervaError(f"{file} was changed after the run had ended; {folder.repair_hint}")
    try:
        _check(run)
    except ValueError as error:
        raise NervaError(f"{folder.record} is damaged ({error}); {folder.repair_hint}") from None
    return run


def _check(run: LoadedRun) -> None:
    """Raise a ValueError if a record has values that are out of range, or that another record contradicts."""
    record, provenance, config = run.record, run.provenance, run.config
    for key, value, expected in (
        ("run_id", record.run_id, run.folder.run_id),
        ("run_id in provenance.json", provenance.run_id, run.folder.run_id),
        ("seed in provenance.json", provenance.determined_by["seed"], config.seed),
        ("data.name in provenance.json", provenance.data.name, config.data.name),
    ):
        if value != expected:
            raise ValueError(f"{key} is {value!r:.100}, and should be {expected!r:.100}")
    check_file_name("data.name in config.yaml", config.data.name)
    if not 0 <= config.seed < 2**63:
        raise ValueError(f"seed in config.yaml is {config.seed:.6g}")
    metric = _metric(run)
    for epoch, row in enumerate(run.metrics):
        for name in row:
            if name.endswith("_accuracy") and not (0 <= row[name] <= 1 or math.isnan(row[name])):
                raise ValueError(f"{name} of epoch {epoch} in metrics.csv is {row[name]:g}")
    for key, seconds in (
        ("training_seconds", record.training_seconds),
        ("seconds_per_epoch", record.seconds_per_epoch or 0),
        ("peak_memory_mb", record.peak_memory_mb),
    ):
        if not 0 <= seconds < 1e15:
            raise ValueError(f"{key} is {seconds:g}")
    _check_epoch("last", record.last, run.metrics)
    if record.last.epoch != len(run.metrics) - 1:
        raise ValueError(f"last.epoch is {record.last.epoch}, but metrics.csv ends with epoch {len(run.metrics) - 1}")
    if record.failed:
        if not record.reason or record.best:
            raise ValueError("a failed run should have a reason, and no best epoch")
    elif record.best is None or math.isnan(record.value(f"best.{metric.name}")):
        raise ValueError("a finished run should have a best epoch")
    else:
        _check_epoch("best", record.best, run.metrics)


def _metric(run: LoadedRun) -> Metric:
    """The metric by which a run is compared. A ValueError if its configuration or metrics.csv do not have it."""
    try:
        metric = metric_of(run.config)
    except NervaError as error:
        raise ValueError(f"config.yaml: {error}") from None
    if metric.name not in run.metrics[0] or metric.test not in run.metrics[0]:
        raise ValueError(f"metrics.csv has no {metric.name}, by which the run is compared")
    return metric


def _check_epoch(key: str, recorded: EpochMetrics, metrics: Sequence[dict[str, float]]) -> None:
    """Raise a ValueError if the metrics of an epoch are not those in metrics.csv."""
    if not 0 <= recorded.epoch < len(metrics):
        raise ValueError(f"{key}.epoch is {recorded.epoch!r:.20}, but metrics.csv has {len(metrics)} epochs")
    for name, value in vars(recorded).items():
        row = metrics[recorded.epoch].get(name, math.nan)
        number = math.nan if value is None else value
        if number != row and not (math.isnan(number) and math.isnan(row)):
            raise ValueError(f"{key}.{name} is {value}, but {row} in metrics.csv")
