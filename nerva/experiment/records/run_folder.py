"""The folder of a run: all that the run is, in files that a person can read.

config.yaml        the configuration, without what only says where the run is put
provenance.json    what determined the run, the code, the data, and what computed it
code.json          a hash of each function that computed it
uncommitted.patch  the changes of the code since its commit, if there were any
imports.json       the source texts of user-defined modules, if there are any
metrics.csv        one row per epoch; epoch 0 is the network before training
weights.npz        W1, b1, … after the last epoch
best.npz           W1, b1, … after the best epoch
run.log            what was printed
run.json           the result; it is written last, so that a run which has it is whole
checkpoint.npz     until then, all that is needed to resume after the last epoch
"""

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from filelock import Timeout

from nerva.data.locks import locked
from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.records import metrics, run_config
from nerva.experiment.records.files import file_checksum, read_record, read_texts, write_record
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.records.run_record import RunRecord
from nerva.utilities import whole_or_absent


class RunFolder:
    """The folder of one run, which may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.provenance = path / "provenance.json"
        self.code = path / "code.json"
        self.patch = path / "uncommitted.patch"
        self.imports = path / "imports.json"
        self.metrics = path / "metrics.csv"
        self.weights = path / "weights.npz"
        self.best = path / "best.npz"
        self.log = path / "run.log"
        self.record = path / "run.json"
        self.checkpoint = path / "checkpoint.npz"
        self.lock = path.with_name(f".{path.name}.lock")  # held by the process that trains the run

    @classmethod
    def of(cls, results_dir: str | Path, run_id: str) -> "RunFolder":
        """The folder of the run with this id, whether the run exists or not."""
        return cls(Path(results_dir) / "runs" / run_id)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def repair_hint(self) -> str:
        """What to do if the folder is damaged."""
        return f"delete {self.path} to train the run again"

    @property
    def evidence(self) -> list[Path]:
        """The files that prove what the run was. The result has their checksums."""
        files = [self.config, self.provenance, self.code, self.metrics, self.weights, self.best]
        return [*files, *(file for file in (self.patch, self.imports) if file.exists())]

    def is_complete(self) -> bool:
        """Whether the run has ended and all of its files exist."""
        return self.complete_record() is not None

    def complete_record(self) -> RunRecord | None:
        """The result of the run; None if it has not ended, a file is missing, or the record is damaged."""
        if not all(file.exists() for file in (*self.evidence, self.log)):
            return None
        try:
            record = self.read_record()
        except NervaError:
            return None
        return record if record.run_id == self.run_id else None

    def has_stopped(self) -> bool:
        """Whether the run was trained and no process is training it: it is complete, or was interrupted."""
        started = self.metrics.exists() and self.provenance.exists()
        return self.is_complete() or (started and not self.is_training())

    def is_training(self) -> bool:
        """Whether a process is training the run. It may run on another machine."""
        try:
            with locked(self.lock, timeout=0) if self.lock.exists() else nullcontext():
                return False
        except Timeout:
            return True

    def clear(self) -> None:
        """Delete what an interrupted attempt has left, except for its checkpoint."""
        self.record.unlink(missing_ok=True)
        for unfinished in self.path.glob(".*.tmp*"):
            unfinished.unlink()

    def write_config(self, config: Config, numerics: str, device: str) -> None:
        """Write the configuration; `numerics` is the mode that it resolved to."""
        with whole_or_absent(self.config) as temporary:
            temporary.write_text(run_config.to_yaml(config, numerics, device), encoding="utf-8")

    def read_config(self) -> Config:
        """The configuration, without what only says where the run is put.

        Raises:
            NervaError: if the file can't be read, or is not the configuration of a run.
        """
        return run_config.read_config(self.config, self.run_id, self.repair_hint)

    def write_metrics(self, rows: Sequence[str], score: str) -> None:
        """Write the metrics, as rows that `metrics_row` returned. All of them have the columns of a score."""
        metrics.write_metrics(self.metrics, rows, score)

    def read_metrics(self) -> list[dict[str, float]]:
        """The metrics: one dictionary per epoch, by column.

        Raises:
            NervaError: if the file is missing or damaged.
        """
        return metrics.read_metrics(self.metrics, self.repair_hint)

    def write_provenance(
        self, provenance: Provenance, code: dict[str, str], patch: bytes, imports: dict[str, str]
    ) -> None:
        """Write where the run comes from.

        Args:
            provenance: the record.
            code: a hash of each function that computes the run.
            patch: the changes of the code that were not committed.
            imports: the source texts of user-defined modules, by paths.
        """
        write_record(self.provenance, provenance)
        write_record(self.code, code)
        if patch:
            with whole_or_absent(self.patch) as temporary:
                temporary.write_bytes(patch)
        else:
            self.patch.unlink(missing_ok=True)
        if imports:
            write_record(self.imports, imports)
        else:
            self.imports.unlink(missing_ok=True)

    def read_provenance(self) -> Provenance:
        """Where the run comes from.

        Raises:
            NervaError: if the file is missing or damaged.
        """
        return read_record(self.provenance, Provenance, self.repair_hint)

    def read_code(self) -> dict[str, str]:
        """A hash of each function that computed the run.

        Raises:
            NervaError: if the file is missing or damaged.
        """
        return read_record(self.code, dict[str, str], self.repair_hint)

    def read_imports(self) -> dict[str, str]:
        """The source texts of user-defined modules, by their paths. They are not executed.

        Raises:
            NervaError: if the file is damaged.
        """
        return read_texts(self.imports, self.repair_hint) if self.imports.exists() else {}

    def write_record(self, record: RunRecord) -> None:
        """Write the result of the run, with the checksums of the other files."""
        files = {path.name: file_checksum(path) for path in self.evidence}
        write_record(self.record, dataclasses.replace(record, files=files).content())

    def read_record(self) -> RunRecord:
        """The result of the run.

        Raises:
            NervaError: if the run has not ended, or the file is damaged.
        """
        if not self.record.exists():
            raise NervaError(f"the run {self.run_id} has not ended: there is no {self.record}")
        return read_record(self.record, RunRecord, self.repair_hint)
