"""Reading and writing records as JSON files."""

import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from nerva.errors import NervaError
from nerva.experiment.records.files import file_checksum, read_record, read_texts, write_record


@dataclass(frozen=True)
class Inner:
    value: float


@dataclass(frozen=True)
class Record:
    name: str
    time: datetime
    inner: Inner | None = None
    values: dict[str, list[float]] = field(default_factory=dict)


def test_a_record_is_read_as_it_was_written(tmp_path) -> None:
    path = tmp_path / "record.json"
    record = Record("é", datetime(2026, 1, 2, 3, 4, 5, 678000, UTC), Inner(0.1), {"a": [1 / 3, math.inf, -math.inf]})
    write_record(path, record)
    assert read_record(path, Record, "") == record
    assert json.loads(path.read_text())["values"]["a"][1:] == ["inf", "-inf"]  # JSON has no such numbers
    write_record(path, Record("x", record.time, Inner(math.nan)))
    read = read_record(path, Record, "")
    assert read.inner is not None
    assert math.isnan(read.inner.value)
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_a_record_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "record.json"
    write_record(path, {"a": 1})
    with pytest.raises(AttributeError):
        write_record(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


DAMAGED = {
    "": "EOF",
    "{": "EOF",
    "[]": "object",
    '{"name": 1, "time": "2026-01-01T00:00:00"}': "name: ",
    '{"name": "x"}': "time: Field required",
    '{"name": "x", "time": "yesterday"}': "time: ",
    '{"name": "x", "time": "2026-01-01T00:00:00", "inner": {"value": "much"}}': "inner.value: ",
    '{"name": "x", "time": "2026-01-01T00:00:00", "values": {"a": 1}}': "values.a: ",
    "[" * 10_000: "recursion",
    "1" * 10_000: "",
    "\0": "",
}


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:20])
def test_damaged_files_are_reported(tmp_path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(NervaError) as raised:
        read_record(path, Record, "delete it")
    assert str(raised.value).startswith(f"{path} is damaged (")
    assert DAMAGED[text] in str(raised.value)
    assert str(raised.value).endswith("; delete it")


def test_files_that_cannot_be_read(tmp_path) -> None:
    for path in (tmp_path, tmp_path / "nosuch.json"):
        with pytest.raises(
            NervaError, match=r"can't be read \((it is not a regular file|No such file or directory)\); delete it"
        ):
            read_record(path, Record, "delete it")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(NervaError, match="is damaged"):
        read_record(tmp_path / "binary.json", Record, "")
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NervaError, match="it has more than"):
        read_record(tmp_path / "large.json", Record, "")


def test_a_checksum_of_a_file(tmp_path) -> None:
    (tmp_path / "empty").touch()
    assert file_checksum(tmp_path / "empty").startswith("e3b0c44298fc1c14")


def test_texts_keep_bytes_that_are_not_utf8(tmp_path) -> None:
    path = tmp_path / "imports.json"
    texts = {"mine.py": b"x = '\xe9'".decode(errors="surrogateescape")}
    write_record(path, texts)
    assert read_texts(path, "") == texts


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "[" * 100_000, "\xff"])
def test_files_that_are_not_texts(tmp_path, content: str) -> None:
    path = tmp_path / "imports.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(NervaError, match=r"imports\.json is damaged .*; delete it"):
        read_texts(path, "delete it")
