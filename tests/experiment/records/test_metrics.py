"""The metrics of a run as a file."""

import math

import pytest

from nerva.errors import NervaError
from nerva.experiment.records.metrics import COLUMNS, metrics_row, read_metrics, repeatable, score_of, write_metrics
from nerva.training import EpochRecord

RECORDS = [
    EpochRecord(0, 0.1, 1 / 3, 0.1, None, None, 2.5, 0.2, 0.0),
    EpochRecord(1, 0.1, math.inf, 0.1, math.nan, 0.5, 1e-300, 0.2, 0.01),
]


def test_metrics_are_read_bit_for_bit(tmp_path) -> None:
    path = tmp_path / "metrics.csv"
    write_metrics(path, [metrics_row(record, 1000.5 + record.epoch) for record in RECORDS], "accuracy")
    rows = read_metrics(path, "")
    assert [*rows[0]] == [*COLUMNS["accuracy"]]
    assert rows[0]["train_loss"] == 1 / 3
    assert math.isnan(rows[0]["validation_loss"])
    assert (rows[1]["train_loss"], rows[1]["test_loss"], rows[1]["time"]) == (math.inf, 1e-300, 1001.5)
    assert [row["epoch"] for row in rows] == [0, 1]
    assert {*rows[0]} - {*repeatable(rows[0])} == {"epoch", "seconds", "time"}


def test_a_regression_has_r2_instead_of_accuracies(tmp_path) -> None:
    record = EpochRecord(0, 0.1, 4.0, None, 5.0, None, 6.0, None, 0.5, 0.75, 0.5, -1 / 3)
    assert score_of(record) == "r2"
    write_metrics(tmp_path / "metrics.csv", [metrics_row(record, 7.0)], "r2")
    (row,) = read_metrics(tmp_path / "metrics.csv", "")
    assert row == {
        "epoch": 0, "learning_rate": 0.1, "train_loss": 4, "train_r2": 0.75, "validation_loss": 5, "validation_r2": 0.5,
        "test_loss": 6, "test_r2": -1 / 3, "seconds": 0.5, "time": 7,
    }  # fmt: skip


def damaged(text: str) -> dict[str, str]:
    lines = text.splitlines(keepends=True)
    return {
        "no file": "",
        "no rows": lines[0],
        "another header": text.replace("train_loss", "loss"),
        "a missing value": text.replace(",0.01,", ","),
        "one value more": text.replace(",0.01,", ",0.01,0.01,"),
        "a text": text.replace("2.5", "much"),
        "another epoch": text.replace("\n1,", "\n3,"),
        "a repeated epoch": "".join([*lines, lines[-1]]),
        "an epoch that is not a number": text.replace("\n1,", "\nnan,"),
        "a time that is not a number": text.replace("1001.500", "nan"),
        "a time before 1970": text.replace("1001.500", "-1"),
        "a time after all calendars": text.replace("1001.500", "1e300"),
        "half a line": text[:-20],
        "a quote": text.replace("2.5", '"2.5'),
        "a null character": text.replace("2.5", "\0"),
        "a huge field": text.replace("2.5", "1" * 200_000),
        "a huge number": text.replace("2.5", "9" * 5_000 + "x"),
    }


WHOLE = (
    "\n".join([",".join(COLUMNS["accuracy"]), *(metrics_row(record, 1000.5 + record.epoch) for record in RECORDS)])
    + "\n"
)


@pytest.mark.parametrize("damage", damaged(WHOLE))
def test_damaged_files_are_reported(tmp_path, damage: str) -> None:
    path = tmp_path / "metrics.csv"
    text = damaged(WHOLE)[damage]
    assert text != WHOLE
    path.write_text(text)
    with pytest.raises(NervaError, match=r"metrics\.csv is damaged \(.+\); delete it"):
        read_metrics(path, "delete it")


def test_files_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(NervaError, match=r"can't be read \(No such file or directory\)"):
        read_metrics(tmp_path / "metrics.csv", "")
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(NervaError, match="is damaged"):
        read_metrics(tmp_path / "metrics.csv", "")
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NervaError, match="the columns should be epoch, "):
        read_metrics(tmp_path / "large.csv", "")
