"""What is to be done about a run: a comparison of its folder with what MLflow has. Nothing here needs mlflow."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from nerva.experiment.records.run_record import RunRecord

# An epoch, and when it was measured, in milliseconds. Two trainings of a run differ in the times.
Epoch = tuple[int, int]


class Status(StrEnum):
    """The status of a run, as MLflow names it."""

    RUNNING = "RUNNING"
    KILLED = "KILLED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"


class Action(StrEnum):
    """How the logging of a run starts."""

    SKIP = "skip"  # MLflow has the run as it is
    CREATE = "create"  # MLflow does not have the run
    APPEND = "append"  # MLflow has the beginning of the run
    REPLACE = "replace"  # MLflow has another training of the run, which is deleted


@dataclass(frozen=True)
class Logged:
    """What MLflow has of a run."""

    status: str  # a person may have given it one that is not in `Status`
    ended: str  # the tag nerva.ended: when the training ended that has been logged completely; "" if none has
    described: bool  # whether parameters and datasets have been logged
    epochs: Set[Epoch] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What is to be done about a run."""

    action: Action
    status: Status  # of the run afterwards
    after: int = -1  # metrics are logged of the epochs after this one


def end_time(record: RunRecord | None) -> str:
    """When a run ended, in the form of the tag nerva.ended; "" if it has not."""
    return record.ended.isoformat(timespec="milliseconds") if record else ""


def is_up_to_date(record: RunRecord | None, logged: Logged | None) -> bool:
    """Whether a run that has ended has been logged completely. This needs neither its metrics nor its logged epochs."""
    if record is None or logged is None:
        return False
    # A process that was killed while it logged has left the run RUNNING.
    over = logged.status in (Status.FINISHED, Status.FAILED, Status.KILLED)
    return over and logged.ended == end_time(record) and logged.described


def decide(record: RunRecord | None, epochs: Sequence[Epoch], training: bool, logged: Logged | None) -> Decision:
    """Compare a run with what MLflow has of it.

    Args:
        record: the result of the run; None if it has not ended.
        epochs: the epochs in the run's folder, at least one, in their order.
        training: whether a run that has not ended is being trained. Otherwise it was killed.
        logged: what MLflow has; None if it has nothing.
    """
    if record:
        status = Status.FAILED if record.failed else Status.FINISHED
    else:
        status = Status.RUNNING if training else Status.KILLED
    if is_up_to_date(record, logged):
        return Decision(Action.SKIP, status)
    if logged is None:
        return Decision(Action.CREATE, status)
    if (logged.ended and logged.ended != end_time(record)) or not logged.epochs <= {*epochs}:
        return Decision(Action.REPLACE, status)
    last = max((epoch for epoch, _ in logged.epochs), default=-1)
    if record is None and logged.status == Status.KILLED and last == epochs[-1][0]:
        return Decision(Action.SKIP, Status.KILLED)
    # The last epoch may have been logged in part. Of a run that is watched while it trains, only what is new is sent.
    return Decision(Action.APPEND, status, last if status == Status.RUNNING else -1)
