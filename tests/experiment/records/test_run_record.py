"""The result of a run."""

import json

import pytest

from nerva.errors import NervaError
from nerva.experiment.records.run_record import EpochMetrics, utc
from nerva.training import EpochRecord


def test_a_record_is_read_as_it_was_written(recorded) -> None:
    record = recorded.read_record()
    recorded.write_record(record)
    assert recorded.read_record() == record
    assert (record.run_id, record.status, record.reason, record.failed) == (recorded.run_id, "finished", None, False)
    assert record.started <= record.ended
    assert record.files.keys() == {path.name for path in recorded.evidence}
    assert record.weights.keys() == {"weights.npz", "best.npz"}


def test_the_metrics_of_an_epoch() -> None:
    metrics = EpochMetrics.of(EpochRecord(3, 0.1, 1.0, 0.5, None, None, 2.0, 0.4, 9.0))
    assert metrics == EpochMetrics(epoch=3, train_loss=1.0, train_accuracy=0.5, test_loss=2.0, test_accuracy=0.4)


def test_times_are_in_milliseconds() -> None:
    assert utc(1.23456).isoformat(timespec="milliseconds") == "1970-01-01T00:00:01.235+00:00"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("status", "half", "status: Input should be 'finished' or 'failed'"),
        ("best", [], "best: "),
        ("last", None, "last: "),
        ("files", None, "files: "),
        ("started", "today", "started: "),
        ("training_seconds", "long", "training_seconds: "),
        ("continued", [{"after_epoch": 1}], "continued.0.at: Field required"),
    ],
)
def test_a_damaged_key_is_named(recorded, key: str, value: object, reason: str) -> None:
    content = json.loads(recorded.record.read_text())
    recorded.record.write_text(json.dumps(content | {key: value}))
    with pytest.raises(NervaError) as raised:
        recorded.read_record()
    assert f"{recorded.record} is damaged ({reason}" in str(raised.value)
    assert str(raised.value).endswith(f"; delete {recorded.path} to train the run again")
    del content[key]
    recorded.record.write_text(json.dumps(content))
    if key not in ("continued", "files"):  # older records have none
        with pytest.raises(NervaError, match=rf"\({key}: Field required\)"):
            recorded.read_record()


def test_unknown_keys_are_ignored(recorded) -> None:
    content = json.loads(recorded.record.read_text())
    before = recorded.read_record()
    recorded.record.write_text(json.dumps(content | {"colour": "red"}))
    assert recorded.read_record() == before


def test_a_run_that_has_not_ended(recorded) -> None:
    recorded.record.unlink()
    with pytest.raises(NervaError, match=f"the run {recorded.run_id} has not ended: there is no {recorded.record}"):
        recorded.read_record()
