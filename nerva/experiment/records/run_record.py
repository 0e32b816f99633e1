"""The result of a run: `run.json`."""

import dataclasses
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from nerva.training import EpochRecord


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """The metrics of one epoch. Losses are means over the samples. What was not measured is None."""

    epoch: int
    train_loss: float | None = None
    train_accuracy: float | None = None
    train_r2: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_r2: float | None = None
    test_loss: float
    test_accuracy: float | None = None
    test_r2: float | None = None

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
    best: EpochMetrics | None  # of the best epoch; None if the run failed
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

    def content(self) -> dict[str, Any]:
        """The record as nested dictionaries, without the metrics that were not measured."""
        content = dataclasses.asdict(self)
        for epoch in ("best", "last"):
            if content[epoch]:
                content[epoch] = {name: value for name, value in content[epoch].items() if value is not None}
        return content

    def value(self, objective: str) -> float:
        """The value of an objective such as `best.validation_accuracy`; nan if the run failed or did not measure it."""
        found: Any = None if self.failed else self
        for name in objective.split("."):
            found = getattr(found, name, None)
        return math.nan if found is None else float(found)


def utc(seconds: float) -> datetime:
    """The time that is a number of seconds after 1970, in milliseconds."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)
