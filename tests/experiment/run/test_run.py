"""Runs and their folders."""

import csv
import logging
import math

import numpy as np
import pytest

from nerva.errors import NervaError
from nerva.experiment.identity.identify import run_id
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.ranking import load
from nerva.experiment.run.train import run
from nerva.utilities import load_dict_from_npz
from tests.helpers import DIGITS, command_in, configured


def test_the_peak_of_memory_is_that_of_the_run(tmp_path) -> None:
    """Though both runs are made by one process, the larger one first."""
    sweep = ("nerva", "train", "-m", *DIGITS, "model.hidden=[8000],[8]")
    assert command_in(tmp_path)(*sweep).returncode == 0
    peaks = {
        folder.read_provenance()["determined_by"]["sizes"][1]: folder.read_summary()["peak_memory_mb"]
        for folder in (RunFolder(path.parent) for path in tmp_path.glob("results/runs/*/run.json"))
    }
    assert peaks[8] < peaks[8000] - 10


def test_a_run(results, caplog) -> None:
    caplog.set_level(logging.INFO)
    config = configured("experiment_name=test")
    folder = run(config, ["data=digits"])
    assert folder.path == results / "runs" / run_id(config)
    assert folder.is_whole()
    rows = folder.read_metrics()
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    what = folder.read_summary()
    assert (what["status"], what["reason"]) == ("finished", None)
    assert what["best"]["validation_accuracy"] == max(row["validation_accuracy"] for row in rows)
    assert what["last"]["test_loss"] == rows[-1]["test_loss"]
    origin = folder.read_provenance()
    assert (origin["overrides"], origin["data"]["sha256"]) == (["data=digits"], config.data.sha256)
    weights = load_dict_from_npz(folder.weights)
    assert weights.pop("architecture").tolist() == ['[["ReLU", 64, 64], ["Linear", 64, 10]]']
    assert {name: w.dtype for name, w in weights.items()} == dict.fromkeys(("W1", "b1", "W2", "b2"), np.float32)
    assert folder.read_config()["optimizer"] == {"name": "Momentum", "mu": 0.9}
    log = folder.log.read_text()
    assert "1200 samples for training, 300 for validation, 297 for testing" in log
    assert len([line for line in log.splitlines() if "0.010000" in line]) == 3


def test_best_weights_are_those_of_the_best_epoch() -> None:
    # So high a rate that some epochs make it worse.
    folder = run(configured("learning_rate.lr=0.3", "train.epochs=8", "optimizer.mu=0.95", "model.hidden=[16]"), [])
    what = folder.read_summary()
    best = what["best"]["epoch"]
    assert 0 < best < 8, "this test needs a run whose last epoch is not its best"
    shorter = run(
        configured("learning_rate.lr=0.3", f"train.epochs={best}", "optimizer.mu=0.95", "model.hidden=[16]"), []
    )
    for name, w in load_dict_from_npz(folder.best).items():
        np.testing.assert_array_equal(w, load_dict_from_npz(shorter.weights)[name])
    assert folder.weights.read_bytes() != folder.best.read_bytes()


def test_a_run_repeats_and_is_made_once(results, tmp_path, monkeypatch, caplog) -> None:
    caplog.set_level(logging.INFO)
    first = run(configured(), [])
    again = run(configured(), [])
    assert "is there already" in caplog.text
    assert again.summary.stat().st_mtime_ns == first.summary.stat().st_mtime_ns
    monkeypatch.setenv("NERVA_RESULTS_DIR", str(tmp_path / "elsewhere"))
    other = run(configured(), [])
    assert other.path != first.path
    assert other.weights.read_bytes() == first.weights.read_bytes()
    drop = {"seconds", "time"}
    for a, b in zip(first.read_metrics(), other.read_metrics(), strict=True):
        assert {k: v for k, v in a.items() if k not in drop} == {k: v for k, v in b.items() if k not in drop}


@pytest.mark.parametrize("missing", ["run.json", "weights.npz", "metrics.csv", "best.npz", "config.yaml"])
def test_a_run_that_is_not_whole_is_made_again(missing: str) -> None:
    folder = run(configured(), [])
    before = folder.weights.read_bytes()
    (folder.path / missing).unlink()
    assert not folder.is_whole()
    assert run(configured(), []).is_whole()
    assert folder.weights.read_bytes() == before


def test_a_run_that_diverges_ends_as_failed(caplog) -> None:
    folder = run(configured("learning_rate.lr=1e30"), [])
    what = folder.read_summary()
    assert what["status"] == "failed"
    assert what["reason"] == "the loss is nan after epoch 1: training diverged"
    assert what["best"] is None
    assert what["last"]["train_loss"] == "nan"
    assert len(folder.read_metrics()) == 2
    assert "training diverged" in folder.log.read_text()


def test_a_run_that_is_not_finite_from_the_start() -> None:
    good = run(configured(), [])
    bad = run(configured("model.weights='Uniform(0,1e38)'"), [])
    assert bad.read_summary()["reason"].endswith("after epoch 0: training diverged")
    comparison = load([good, bad], "digits-test")
    assert list(comparison.board["failed"]) == [0, 1]
    assert comparison.runs["validation_accuracy"].isna().tolist() == [False, True]


def test_spellings_of_a_number_are_one_configuration() -> None:
    folders = [
        run(configured("learning_rate.lr=1", "seed=1"), []),
        run(configured("learning_rate.lr=1.0", "seed=2"), []),
    ]
    assert len(load(folders, "digits-test").board) == 1


def test_unfinished_files_of_a_run_that_was_killed_are_removed() -> None:
    folder = run(configured(), [])
    folder.summary.unlink()
    (folder.path / ".metrics.csv.4711.tmp.csv").write_text("half")
    run(configured(), [])
    assert not list(folder.path.glob(".*"))


@pytest.mark.parametrize("name", ["run.json", "metrics.csv"])
def test_damaged_folders_are_told(name: str) -> None:
    folder = run(configured(), [])
    (folder.path / name).write_text("{}")
    with pytest.raises(NervaError, match=rf"{name} .*; delete .*{folder.run_id}"):
        load([folder], "digits-test")


def test_metrics_come_back_bit_for_bit(results) -> None:
    folder = run(configured(), [])
    with folder.metrics.open() as file:
        texts = list(csv.DictReader(file))
    for text, row in zip(texts, folder.read_metrics(), strict=True):
        assert repr(row["train_loss"]) == text["train_loss"]


def test_a_run_that_has_not_ended_is_told(results) -> None:
    with pytest.raises(NervaError, match="has not ended"):
        RunFolder.of(results, "0" * 12).read_summary()
