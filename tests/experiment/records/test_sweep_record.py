"""Which runs belong to which sweep."""

import json
import logging
import shutil

import pytest

from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.sweep_record import read_sweeps, record_sweep

QUICK = Sweep("01234567", "quick")


def test_runs_are_added_to_a_sweep_in_their_order(results) -> None:
    record_sweep(results, "digits-quick", QUICK, "Why?", ["b", "a"])
    (first,) = read_sweeps(results)
    record_sweep(results, "digits-quick", Sweep("01234567"), "", ["a", "c"])
    (record,) = read_sweeps(results)
    assert (record.title, record.question, record.sweep) == ("digits-quick", "Why?", QUICK)
    assert record.runs == ["b", "a", "c"]
    assert record.first == first.first
    assert [path.name for path in results.glob("sweeps/*.json")] == ["digits-quick-01234567.json"]


def test_runs_that_were_started_alone_have_a_record_without_an_id(results) -> None:
    record_sweep(results, "digits-single", Sweep(), "", ["a"])
    assert [path.name for path in results.glob("sweeps/*.json")] == ["digits-single.json"]
    (record,) = read_sweeps(results)
    assert record.sweep == Sweep()


def test_a_record_that_would_stay_the_same_is_not_written(results) -> None:
    record_sweep(results, "digits-quick", QUICK, "", ["a"])
    (path,) = results.glob("sweeps/*.json")
    before = path.stat().st_mtime_ns
    record_sweep(results, "digits-quick", QUICK, "", ["a"])
    assert path.stat().st_mtime_ns == before


def test_the_oldest_sweep_is_first_in_whatever_time_zone(results) -> None:
    for name, first in (
        ("a", "2026-01-01T12:00:00+02:00"),
        ("b", "2026-01-01T11:00:00+00:00"),
        ("c", "2025-01-01T00:00Z"),
    ):
        record_sweep(results, name, Sweep())
        path = results / "sweeps" / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"first": first}))
    assert [record.title for record in read_sweeps(results)] == ["c", "a", "b"]


def test_runs_that_were_copied_belong_to_the_sweep_of_their_provenance(recorded, results) -> None:
    shutil.rmtree(results / "sweeps", ignore_errors=True)
    (record,) = read_sweeps(results)
    assert (record.title, record.runs) == ("digits-single", [recorded.run_id])
    assert read_sweeps(results, []) == []
    record_sweep(results, "digits-single", Sweep(), "Why?", ["0" * 12])
    (record,) = read_sweeps(results, [recorded])
    assert record.runs == ["0" * 12, recorded.run_id]
    recorded.record.unlink()  # it has not ended
    (record,) = read_sweeps(results)
    assert record.runs == ["0" * 12]


@pytest.mark.parametrize("text", ["", "[]", '{"title": 1}', '{"title": "x", "first": "yesterday"}', "[" * 10_000, "\0"])
def test_damaged_records_are_ignored_with_a_warning(results, caplog, text: str) -> None:
    caplog.set_level(logging.WARNING)
    record_sweep(results, "digits-quick", QUICK, "", ["a"])
    (path,) = results.glob("sweeps/*.json")
    path.write_text(text)
    assert read_sweeps(results) == []
    assert f"{path} is ignored" in caplog.text
    record_sweep(results, "digits-quick", QUICK, "", ["b"])
    (record,) = read_sweeps(results)
    assert record.runs == ["b"]
