"""Where a run comes from: `provenance.json`."""

from dataclasses import dataclass, field
from typing import Any

from nerva.experiment.config.schema import Sweep
from nerva.experiment.identity.canonical import Canonical


@dataclass(frozen=True)
class PartOf:
    """For what a run was trained first."""

    title: str  # the dataset and the experiment
    question: str = ""
    sweep: Sweep = field(default_factory=Sweep)


@dataclass(frozen=True)
class CodeOrigin:
    """The code that computed a run."""

    fingerprint: str
    git_commit: str | None
    dirty: bool | None  # whether the code had changes that were not committed
    untracked: list[str] = field(default_factory=list)
    scheme: int = 1  # how functions were hashed; see `CODE_SCHEME`


@dataclass(frozen=True)
class DataOrigin:
    """The data of a run."""

    name: str
    title: str
    sha256: str  # of the prepared arrays
    source: Any  # how they were prepared: a description, or the raw files with their checksums
    note: str = ""  # why this dataset was chosen, if it was not named

    @property
    def description(self) -> str:
        """The source in words."""
        return self.source if isinstance(self.source, str) else "raw files with declared checksums"


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from: configuration, code, data, and what computed it. Nothing says who ran it."""

    run_id: str
    configuration_id: str
    determined_by: Canonical
    overrides: list[str]
    code: CodeOrigin
    data: DataOrigin
    environment: dict[str, str | int | None]  # numerics, CPU, kernel, versions, …
    command: str = ""
    part_of: PartOf | None = None
