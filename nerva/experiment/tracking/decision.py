"""What is to be done about a run: a comparison of its folder with what MLflow has. Nothing here needs mlflow."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from nerva.experiment.records.run_record import RunRecord

# (epoch, timestamp in ms). If a run is trained twice, the timestamps differ.
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
class MlflowState:
    """What MLflow has of a run."""

    status: str  # a person may have given it one that is not in `Status`
    ended: str  # the tag nerva.ended: end time of the training that was logged completely; "" if none was
    inputs_logged: bool  # whether parameters and datasets have been logged
    epochs: Set[Epoch] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What is to be done about a run."""

    action: Action
    status: Status  # the status to set in MLflow
    after: int = -1  # log only epochs after this one; -1: all


def end_time(record: RunRecord | None) -> str:
    """When a run ended, in the form of the tag nerva.ended; "" if it has not."""
    return record.ended.isoformat(timespec="milliseconds") if record else ""


def is_up_to_date(record: RunRecord | None, logged: MlflowState | None) -> bool:
    """Whether a run that has ended has been logged completely.

    Cheap check: reads no metrics, neither from the folder nor from MLflow.
    """
    if record is None or logged is None:
        return False
    # If logging was killed, the status in MLflow is still RUNNING.
    has_ended = logged.status in (Status.FINISHED, Status.FAILED, Status.KILLED)
    return has_ended and logged.ended == end_time(record) and logged.inputs_logged


def decide(record: RunRecord | None, epochs: Sequence[Epoch], training: bool, logged: MlflowState | None) -> Decision:
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
    # The last logged epoch may be incomplete, so that all epochs are sent again.
    # For a live run, only new ones are sent.
    return Decision(Action.APPEND, status, last if status == Status.RUNNING else -1)
