"""A run's folder: all that the run is, in files that a person can read.

config.yaml      the configuration, without what says only where things are put
provenance.json  what determined the run, the code, the data, and what it was computed with
code.json        a hash of each function that computed it
uncommitted.patch  what had been changed in the code since its commit, if something had
imports.json     the code of modules of one's own, if there are any
metrics.csv      a row an epoch, from 0, which is before training
weights.npz      W1, b1, … after the last epoch
best.npz         W1, b1, … after the epoch with the best validation accuracy
run.log          what was printed
run.json         what came of it; written last, so where it is, the rest is whole
checkpoint.npz   until then, all that it takes to go on after the last epoch
"""

import csv
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nerva.errors import NervaError
from nerva.experiment.config.numerics import settle
from nerva.experiment.config.schema import Config
from nerva.experiment.records.privacy import private
from nerva.training import EpochRecord
from nerva.utilities import whole_or_absent

# What a summary and a provenance have, at the least, and of which kind it is.
SUMMARY: dict[str, Any] = {
    **dict.fromkeys(("run_id", "status", "started", "ended"), str),
    **dict.fromkeys(("last", "weights", "files"), dict),
    "reason": str | None,
    "best": dict | None,
    "training_seconds": float | int,
    "seconds_per_epoch": float | int | None,
    "peak_memory_mb": float | int,
}
PROVENANCE: dict[str, Any] = {
    **dict.fromkeys(("run_id", "configuration_id"), str),
    **dict.fromkeys(("determined_by", "code", "data", "environment"), dict),
    "overrides": list,
}


class RunFolder:
    """The folder of one run, which may not be there yet."""

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
        self.summary = path / "run.json"
        self.checkpoint = path / "checkpoint.npz"
        self.lock = path.with_name(f".{path.name}.lock")  # held by whoever makes the run

    @classmethod
    def of(cls, results_dir: str | Path, run_id: str) -> "RunFolder":
        """Where the run with this id is, or will be."""
        return cls(Path(results_dir) / "runs" / run_id)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def again(self) -> str:
        """What to do if it is damaged."""
        return f"delete {self.path}, and the run is made again"

    @property
    def evidence(self) -> list[Path]:
        """The files that prove what the run was."""
        files = [self.config, self.provenance, self.code, self.metrics, self.weights, self.best]
        return [*files, *(file for file in (self.patch, self.imports) if file.exists())]

    def is_whole(self) -> bool:
        """Whether the run has ended and all of its files are there."""
        if not all(file.exists() for file in (*self.evidence, self.log)):
            return False
        try:
            return str(self.read_summary()["run_id"]) == self.run_id
        except NervaError:
            return False

    def is_being_made(self) -> bool:
        """Whether a process, of this machine, is making the run."""
        try:
            with FileLock(self.lock, timeout=0) if self.lock.exists() else nullcontext():
                return False
        except Timeout:
            return True

    def clear(self) -> None:
        """Takes away what an attempt that did not end has left, but for its checkpoint."""
        self.summary.unlink(missing_ok=True)
        for unfinished in self.path.glob(".*.tmp*"):
            unfinished.unlink()

    def write_config(self, config: Config) -> None:
        """Writes the configuration, as far as it is the run's: the same run has the same file, wherever it was made."""
        with whole_or_absent(self.config) as temporary:
            temporary.write_text(to_yaml(config), encoding="utf-8")

    def read_config(self) -> dict[str, Any]:
        """The configuration, as nested dictionaries.

        Raises:
            NervaError: if the file can't be read.
        """
        try:
            container = OmegaConf.to_container(OmegaConf.create(self.config.read_text(encoding="utf-8")))
        except (OSError, ValueError, OmegaConfBaseException, YAMLError) as error:
            raise NervaError(f"{self.config} can't be read ({_first_line(error)}); {self.again}") from None
        assert isinstance(container, dict)
        return {str(key): value for key, value in container.items()}

    def load_config(self) -> Config:
        """The configuration as an object; what says where things are put is missing.

        Raises:
            NervaError: if the file can't be read, or is not that of a configuration.
        """
        try:
            return dataclasses.replace(from_yaml(self.config.read_text(encoding="utf-8")), experiment_name=self.run_id)
        except (OSError, ValueError, OmegaConfBaseException, YAMLError) as error:
            raise NervaError(
                f"{self.config} is not a run's configuration ({_first_line(error)}); {self.again}"
            ) from None

    def write_metrics(self, rows: Sequence[str]) -> None:
        """Writes rows that `metrics_row` made."""
        header = ",".join([*(field.name for field in dataclasses.fields(EpochRecord)), "time"])
        with whole_or_absent(self.metrics) as temporary:
            temporary.write_text("\n".join([header, *rows]) + "\n")

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows, as numbers. Whatever could not be measured is nan."""

        def number(text: str) -> float:
            return math.nan if text == "None" else float(text)

        names = {*(field.name for field in dataclasses.fields(EpochRecord)), "time"}
        try:
            with self.metrics.open(newline="") as file:
                rows = list(csv.DictReader(file))
            if not rows or set(rows[0]) != names:
                raise ValueError("not the columns of a run's metrics")
            return [{key: number(value) for key, value in row.items()} for row in rows]
        except (OSError, ValueError, TypeError) as error:
            raise NervaError(f"{self.metrics} is damaged ({error}); {self.again}") from None

    def write_provenance(
        self, provenance: dict[str, Any], code: dict[str, str], patch: bytes, imports: dict[str, str]
    ) -> None:
        """Writes where the run comes from."""
        _write_json(self.provenance, provenance)
        _write_json(self.code, code)
        if patch:
            with whole_or_absent(self.patch) as temporary:
                temporary.write_bytes(patch)
        else:
            self.patch.unlink(missing_ok=True)
        if imports:
            _write_json(self.imports, imports)
        else:
            self.imports.unlink(missing_ok=True)

    def read_provenance(self) -> dict[str, Any]:
        """Where the run comes from.

        Raises:
            NervaError: if the file is missing or damaged.
        """
        return self._read_json(self.provenance, PROVENANCE)

    def read_code(self) -> dict[str, str]:
        """A hash of each function that computed the run.

        Raises:
            NervaError: if the file is missing or damaged.
        """
        return self._read_json(self.code, {})

    def read_imports(self) -> dict[str, str]:
        """The source texts of modules of one's own.

        Raises:
            NervaError: if the file is damaged.
        """
        texts = self._read_json(self.imports, {}) if self.imports.exists() else {}
        if not all(isinstance(text, str) for text in texts.values()):
            raise NervaError(f"{self.imports} is not of the kind that was written; {self.again}")
        return texts

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes what came of the run, with the checksums of the other files."""
        _write_json(self.summary, summary | {"files": {path.name: file_checksum(path) for path in self.evidence}})

    def read_summary(self) -> dict[str, Any]:
        """What came of the run.

        Raises:
            NervaError: if the run has not ended, or the file is damaged.
        """
        if not self.summary.exists():
            raise NervaError(f"the run {self.run_id} has not ended: there is no {self.summary}")
        return self._read_json(self.summary, SUMMARY)

    def _read_json(self, path: Path, kinds: Mapping[str, Any]) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise NervaError(f"{path} can't be read ({error}); {self.again}") from None
        if not isinstance(content, dict):
            raise NervaError(f"{path} is not of the kind that was written; {self.again}")
        for key, kind in kinds.items():
            if key not in content:
                raise NervaError(f"{path} has no {key}; {self.again}")
            if not isinstance(content[key], kind):
                raise NervaError(f"{path}: {key} is not of the kind that was written; {self.again}")
        return content


def metrics_row(record: EpochRecord, time: float) -> str:
    """A record as a row of metrics.csv, with when it was made (seconds since 1970)."""
    # repr of a float gives every bit of it back.
    return ",".join([*map(repr, vars(record).values()), f"{time:.3f}"])


# What of a configuration says only where a run is put, or how it was asked for.
_ELSEWHERE = ("tracking", "experiment_name", "question", "sweep", "results_dir", "force")


def to_yaml(config: Config) -> str:
    """A configuration as text, as far as it is the run's."""
    container: Any = OmegaConf.to_container(OmegaConf.structured(config))
    container["numerics"]["mode"] = settle(config.numerics.mode)
    del container["data"]["note"], container["numerics"]["note"]
    container["data"]["mirrors"] = [private(mirror) for mirror in container["data"]["mirrors"]]
    return OmegaConf.to_yaml({key: value for key, value in container.items() if key not in _ELSEWHERE})


def from_yaml(text: str) -> Config:
    """The configuration that a text describes; what it does not say is as by default."""
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(text)))
    assert isinstance(config, Config)
    return config


def file_checksum(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with whole_or_absent(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
