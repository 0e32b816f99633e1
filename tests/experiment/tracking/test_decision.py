"""What is to be done about a run: every combination of a folder and of what MLflow has, without MLflow."""

import itertools
from datetime import UTC, datetime

import pytest

from nerva.experiment.records.run_record import EpochMetrics, RunRecord
from nerva.experiment.tracking.decision import (
    Action,
    Decision,
    Epoch,
    MlflowState,
    Status,
    decide,
    end_time,
    is_up_to_date,
)

EPOCHS: list[Epoch] = [(0, 1000), (1, 2000), (2, 3000)]
OTHER_TRAINING = [(epoch, time + 1) for epoch, time in EPOCHS]
LAST = EpochMetrics(epoch=2, train_loss=0.1, train_accuracy=0.9, test_loss=0.1, test_accuracy=0.9)


def ended(status: str, minute: int = 0) -> RunRecord:
    """The result of a run that ended in some minute."""
    time = datetime(2026, 1, 1, 12, minute, tzinfo=UTC)
    return RunRecord("0" * 12, status, None, LAST, LAST, {}, time, time, 1.0, 0.5, 100)


FINISHED, FAILED = ended("finished"), ended("failed")
THIS_END, OTHER_END = end_time(FINISHED), end_time(ended("finished", 1))

RECORDS = (None, FINISHED, FAILED)
LOGGED = (
    None,
    *(
        MlflowState(status, end, inputs_logged, frozenset(epochs))
        for status, end, inputs_logged, epochs in itertools.product(
            (*Status, "SCHEDULED"),
            ("", THIS_END, OTHER_END),
            (False, True),
            ([], EPOCHS[:1], EPOCHS, OTHER_TRAINING, [*EPOCHS, (3, 4000)]),
        )
    ),
)
CASES = list(itertools.product(RECORDS, (False, True), LOGGED))


def carried_out(decision: Decision, record: RunRecord | None, logged: MlflowState | None) -> MlflowState:
    """What MLflow has after a decision has been carried out."""
    if decision.action == Action.SKIP:
        assert logged
        return logged
    known = frozenset() if logged is None or decision.action == Action.REPLACE else frozenset(logged.epochs)
    epochs = known | {epoch for epoch in EPOCHS if epoch[0] > decision.after}
    return MlflowState(decision.status, end_time(record), True, epochs)


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("training", [False, True])
def test_afterwards_mlflow_has_the_run_and_nothing_is_left_to_do(record: RunRecord | None, training: bool) -> None:
    for logged in LOGGED:
        decision = decide(record, EPOCHS, training, logged)
        after = carried_out(decision, record, logged)
        again = decide(record, EPOCHS, training, after)
        if record:
            assert is_up_to_date(record, after)
            assert again.action == Action.SKIP
        elif training:
            # Nothing is sent a second time while a run trains.
            assert again.action == Action.SKIP or (again.action, again.after) == (Action.APPEND, 2)
        else:
            assert after.status == Status.KILLED
            assert again.action == Action.SKIP
        if decision.action != Action.SKIP:
            assert after.epochs == {*EPOCHS}, (logged, decision)
            unfinished = "RUNNING" if training else "KILLED"
            assert after.status == (record.status.upper() if record else unfinished)


def test_a_run_is_created_only_if_it_is_missing_and_replaced_only_by_another_training() -> None:
    for record, training, logged in CASES:
        action = decide(record, EPOCHS, training, logged).action
        assert (action == Action.CREATE) == (logged is None)
        if action == Action.REPLACE:
            assert logged.ended not in ("", end_time(record)) or not logged.epochs <= {*EPOCHS}


def test_only_a_run_that_has_been_logged_completely_is_skipped() -> None:
    for record, training, logged in CASES:
        if decide(record, EPOCHS, training, logged).action != Action.SKIP:
            continue
        assert logged
        assert logged.status not in (Status.RUNNING, "SCHEDULED")
        if record:
            assert logged.ended == end_time(record)
            assert logged.inputs_logged
        else:
            assert logged.status == Status.KILLED
            assert logged.epochs == {*EPOCHS}


# The state of a run of which two epochs have been logged.
TWO = {"inputs_logged": True, "epochs": frozenset(EPOCHS[:2])}


@pytest.mark.parametrize(
    ("record", "training", "logged", "decision"),
    [
        (None, True, None, Decision(Action.CREATE, Status.RUNNING)),
        (None, False, None, Decision(Action.CREATE, Status.KILLED)),
        (FAILED, False, None, Decision(Action.CREATE, Status.FAILED)),
        # The epochs that are new in a run that trains.
        (None, True, MlflowState(Status.RUNNING, "", **TWO), Decision(Action.APPEND, Status.RUNNING, 1)),
        # It ends: all epochs are sent, because the last may have been logged in part.
        (FINISHED, True, MlflowState(Status.RUNNING, "", **TWO), Decision(Action.APPEND, Status.FINISHED)),
        (None, False, MlflowState(Status.RUNNING, "", **TWO), Decision(Action.APPEND, Status.KILLED)),
        # It was killed, and has been resumed.
        (None, True, MlflowState(Status.KILLED, "", **TWO), Decision(Action.APPEND, Status.RUNNING, 1)),
        # Its logging was interrupted just before the end.
        (FINISHED, False, MlflowState(Status.RUNNING, THIS_END, **TWO), Decision(Action.APPEND, Status.FINISHED)),
        (FINISHED, False, MlflowState(Status.FINISHED, THIS_END, **TWO), Decision(Action.SKIP, Status.FINISHED)),
        # It was trained again, or is being trained again.
        (FINISHED, False, MlflowState(Status.FINISHED, OTHER_END, **TWO), Decision(Action.REPLACE, Status.FINISHED)),
        (None, True, MlflowState(Status.FINISHED, OTHER_END, **TWO), Decision(Action.REPLACE, Status.RUNNING)),
        # It restarted from scratch.
        (
            None,
            True,
            MlflowState(Status.KILLED, "", True, frozenset(OTHER_TRAINING[:1])),
            Decision(Action.REPLACE, Status.RUNNING),
        ),
    ],
)
def test_examples(record: RunRecord | None, training: bool, logged: MlflowState | None, decision: Decision) -> None:
    assert decide(record, EPOCHS, training, logged) == decision
