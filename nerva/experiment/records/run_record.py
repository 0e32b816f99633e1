"""The result of a run: `run.json`."""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from nerva.training import EpochRecord


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one epoch. Losses are means over the samples."""

    epoch: int
    train_loss: float | None
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float
    test_accuracy: float

    @classmethod
    def of(cls, record: EpochRecord) -> "EpochMetrics":
        """The metrics in what the engine reports of an epoch."""
        return cls(**{field.name: getattr(record, field.name) for field in dataclasses.fields(cls)})


@dataclass(frozen=True)
class Resumption:
    """A run that was interrupted was resumed."""

    after_epoch: int
    at: str


@dataclass(frozen=True)
class RunRecord:
    """The result of a run."""

    run_id: str
    status: Literal["finished", "failed"]
    reason: str | None  # of a failure
    best: EpochMetrics | None  # of the epoch with the best validation accuracy; None if the run failed
    last: EpochMetrics
    weights: dict[str, str]  # checksums of the arrays in the files of weights
    started: datetime
    ended: datetime
    training_seconds: float  # without evaluation
    seconds_per_epoch: float | None
    peak_memory_mb: float
    continued: list[Resumption] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # checksums of the run's other files

    @property
    def failed(self) -> bool:
        """Whether training diverged."""
        return self.status == "failed"


def utc(seconds: float) -> datetime:
    """The time that is a number of seconds after 1970, in milliseconds."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)
