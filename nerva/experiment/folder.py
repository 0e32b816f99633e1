"""A run's folder: all that the run is, in files that a person can read.

config.yaml    the resolved configuration
metrics.csv    a row an epoch, from 0, which is before training
weights.npz    W1, b1, … after the last epoch
best.npz       W1, b1, … after the epoch with the best validation accuracy
run.log        what was printed
run.json       what came of it; written last, so where it is, the rest is whole
"""

import csv
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nerva.errors import NervaError
from nerva.experiment.config import Config
from nerva.training import EpochRecord
from nerva.utilities import whole_or_absent

# What a summary has, at the least.
SUMMARY = (
    "run_id",
    "configuration_id",
    "determined_by",
    "status",
    "reason",
    "best",
    "data",
    "code",
    "git_commit",
    "training_seconds",
    "started",
    "ended",
)


class RunFolder:
    """The folder of one run, which may not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.csv"
        self.weights = path / "weights.npz"
        self.best = path / "best.npz"
        self.log = path / "run.log"
        self.summary = path / "run.json"

    @classmethod
    def of(cls, results_dir: str | Path, run_id: str) -> "RunFolder":
        """Where the run with this id is, or will be."""
        return cls(Path(results_dir) / "runs" / run_id)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.path.name

    def is_whole(self) -> bool:
        """Whether the run has ended and all of its files are there."""
        files = (self.config, self.metrics, self.weights, self.best, self.log)
        if not all(file.exists() for file in files):
            return False
        try:
            return str(self.read_summary()["run_id"]) == self.run_id
        except NervaError:
            return False

    def clear(self) -> None:
        """Takes away what an attempt that did not end has left."""
        self.summary.unlink(missing_ok=True)
        for unfinished in self.path.glob(".*.tmp*"):
            unfinished.unlink()

    def write_config(self, config: Config) -> None:
        """Writes the resolved configuration."""
        with whole_or_absent(self.config) as temporary:
            OmegaConf.save(OmegaConf.structured(config), temporary)

    def read_config(self) -> dict[str, Any]:
        """The resolved configuration, as nested dictionaries."""
        container = OmegaConf.to_container(OmegaConf.load(self.config))
        assert isinstance(container, dict)
        return {str(key): value for key, value in container.items()}

    def write_metrics(self, records: Sequence[EpochRecord], times: Sequence[float]) -> None:
        """Writes a row a record, and when it was made (seconds since 1970)."""
        with whole_or_absent(self.metrics) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*(field.name for field in dataclasses.fields(EpochRecord)), "time"])
            for record, time in zip(records, times, strict=True):
                # repr of a float gives every bit of it back.
                writer.writerow([*map(repr, dataclasses.astuple(record)), f"{time:.3f}"])

    def read_metrics(self) -> list[dict[str, float]]:
        """The rows, as numbers. Whatever could not be measured is nan."""

        def number(text: str) -> float:
            return math.nan if text == "None" else float(text)

        names = {*(field.name for field in dataclasses.fields(EpochRecord)), "time"}
        with self.metrics.open(newline="") as file:
            rows = list(csv.DictReader(file))
        try:
            if not rows or set(rows[0]) != names:
                raise ValueError("not the columns of a run's metrics")
            return [{key: number(value) for key, value in row.items()} for row in rows]
        except (ValueError, TypeError) as error:
            raise NervaError(
                f"{self.metrics} is damaged ({error}); delete {self.path}, and the run is made again"
            ) from None

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes what came of the run."""
        with whole_or_absent(self.summary) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n")

    def read_summary(self) -> dict[str, Any]:
        """What came of the run.

        Raises:
            NervaError: if the run has not ended, or the file is damaged.
        """
        try:
            summary = json.loads(self.summary.read_text())
            missing = [key for key in SUMMARY if key not in summary]
        except (OSError, ValueError, TypeError) as error:
            raise NervaError(f"{self.summary} can't be read ({error}): the run has not ended") from None
        if missing:
            raise NervaError(f"{self.summary} has no {missing[0]}; delete {self.path}, and the run is made again")
        assert isinstance(summary, dict)
        return summary
