"""The records in a run's folder, all of them read and checked before any of the run is logged."""

from dataclasses import dataclass

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.config.validation import LARGEST_SIZE
from nerva.experiment.records.files import file_checksum
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.tracking.decision import Epoch

_MOST_SAMPLES = 2**40


@dataclass(frozen=True)
class RunContents:
    """The records in a run's folder."""

    record: RunRecord | None  # None if the run has not ended
    config: Config
    provenance: Provenance
    rows: list[dict[str, float]]  # of metrics.csv

    @property
    def epochs(self) -> list[Epoch]:
        """The epochs that have been measured, with the times of that."""
        return [(int(row["epoch"]), round(row["time"] * 1000)) for row in self.rows]


def read_contents(folder: RunFolder) -> RunContents:
    """Read and check the records in a run's folder.

    Raises:
        NervaError: if a file is missing or damaged.
    """
    record = folder.read_record() if folder.record.exists() else None
    if record and (missing := [file for file in folder.evidence if not file.exists()]):
        raise NervaError(f"there is no {missing[0]}; {folder.repair_hint}")
    contents = RunContents(record, folder.read_config(), folder.read_provenance(), folder.read_metrics())
    if problem := _problem(contents, folder):
        raise NervaError(f"{problem}; {folder.repair_hint}")
    return contents


def _problem(contents: RunContents, folder: RunFolder) -> str:
    """What the types of the records can't express; "" if there is no problem."""
    record, config = contents.record, contents.config
    for file, run_id in (
        (folder.provenance, contents.provenance.run_id),
        *([(folder.record, record.run_id)] if record else []),
    ):
        if run_id != folder.run_id:
            return f"{file} is damaged (run_id: it should be {folder.run_id}, not {run_id[:40]!r})"
    if record and folder.weights.name not in record.weights:
        return f"{folder.record} is damaged (weights: there is no checksum of {folder.weights.name})"
    if record and record.best and not 0 <= record.best.epoch < len(contents.rows):
        return f"{folder.record} is damaged (best.epoch: {folder.metrics.name} does not have this epoch)"
    for file in (folder.weights, folder.best):
        if record and file.name in record.files and file_checksum(file) != record.files[file.name]:
            return f"{file} is damaged (its checksum is not the one in {folder.record.name})"
    data = config.data
    for key, value, most in (
        ("features", data.features, LARGEST_SIZE),
        ("targets" if data.task == "regression" else "classes", data.outputs, LARGEST_SIZE),
        ("train", data.train, _MOST_SAMPLES),
        ("validation", data.validation, _MOST_SAMPLES),
        ("test", data.test, _MOST_SAMPLES),
    ):
        if not 0 < value <= most:
            return f"{folder.config} is not a run's configuration (data.{key} should be 1 to {most}, not {value})"
    return ""
