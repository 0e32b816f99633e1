"""A search and its trials: `results/searches/`, one file per search.

The file is all that is needed to continue a search. It is written before the trials of a round are trained, and when
they have ended, each time whole or not at all. Optuna's study is built from it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.files import read_record, write_record

Value = str | int | float
State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Trial:
    """A point that a search proposed."""

    number: int
    values: dict[str, Value]  # by the keys of the space; a text is part of an override, as it is written
    run_id: str = ""  # "" if the values give no valid configuration
    state: State = "running"  # also that of a trial which was interrupted
    value: float | None = None  # of the objective, if the trial is complete
    metrics: list[float] = field(default_factory=list)  # the metric that decides about pruning, from epoch 1
    rungs: dict[str, float] = field(default_factory=dict)  # what Optuna's successive halving has noted
    reason: str = ""  # why the trial failed

    @property
    def has_ended(self) -> bool:
        """Whether the trial is complete, pruned or failed."""
        return self.state != "running"

    @property
    def overrides(self) -> list[str]:
        """The values as overrides."""
        return [f"{key}={value}" for key, value in self.values.items()]


@dataclass(frozen=True)
class SearchRecord:
    """What defines a search, and its trials so far."""

    title: str  # the dataset and the experiment
    sweep: Sweep
    space: list[str]  # the overrides that are sweeps, as they were written
    objective: str
    maximize: bool
    metric: str  # of each epoch; it decides about pruning
    metric_maximize: bool  # whether more of it is better
    sampler: str
    pruner: str
    seed: int  # of the sampler
    command: str  # continues the search
    trials: list[Trial] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)  # of each key of the space, from 0 to 1
    unknown_importance: str = ""  # why the importance is not known

    @property
    def best(self) -> Trial | None:
        """The complete trial with the best value, the first of several; None if no trial is complete."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        sign = 1 if self.maximize else -1
        return max(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    @property
    def counts(self) -> str:
        """How many trials there are in each state, such as `20 trials: 12 complete, 8 pruned`."""
        states: tuple[State, ...] = ("complete", "pruned", "failed", "running")
        counts = [f"{count} {state}" for state in states if (count := self.count(state))]
        return f"{len(self.trials)} trial{'' if len(self.trials) == 1 else 's'}: {', '.join(counts)}"

    @property
    def failures(self) -> str:
        """How many trials failed, with the most frequent reason; "" if none did."""
        reasons = [trial.reason for trial in self.trials if trial.state == "failed"]
        if not reasons:
            return ""
        most = max(reasons, key=reasons.count)
        return f"{len(reasons)} of {len(self.trials)} trials failed, {reasons.count(most)} of them because {most}"

    def count(self, state: State) -> int:
        """The number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)


def search_path(results_dir: str | Path, title: str, study_id: str) -> Path:
    """The file of a search."""
    return Path(results_dir) / "searches" / f"{title}-{study_id}.json"


def write_search(record: SearchRecord, path: Path) -> None:
    """Write a search, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, record)


def read_search(path: Path) -> SearchRecord | None:
    """Read a search; None if there is no such file.

    Raises:
        NervaError: if the file is damaged.
    """
    if not path.exists():
        return None
    hint = f"delete {path}, and repeat the search: the runs of its trials are found by their ids"
    record = read_record(path, SearchRecord, hint)
    if [trial.number for trial in record.trials] != list(range(len(record.trials))):
        raise NervaError(f"{path} is damaged (trials: their numbers should be 0, 1, …); {hint}")
    return record
