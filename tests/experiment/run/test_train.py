"""Training a run, and what is in its folder afterwards."""

import csv
import json
import logging
import math

import numpy as np
import pytest

from nerva.experiment.identity.identify import identify
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run import train
from nerva.experiment.run.run import run
from nerva.utilities import load_dict_from_npz
from tests.helpers import (
    DIGITS,
    EndError,
    assert_same_results,
    command_in,
    configured,
    end,
    metrics_without_times,
    trained,
)


def test_a_run(results, caplog) -> None:
    caplog.set_level(logging.INFO)
    config = configured("experiment_name=test")
    folder = trained(config, ["data=digits"])
    assert folder.path == results / "runs" / identify(config).run_id
    assert folder.is_complete()
    rows = folder.read_metrics()
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    record = folder.read_record()
    assert (record.status, record.reason) == ("finished", None)
    assert record.best is not None
    assert record.best.validation_accuracy == max(row["validation_accuracy"] for row in rows)
    assert record.last.test_loss == rows[-1]["test_loss"]
    origin = folder.read_provenance()
    assert (origin.overrides, origin.data.sha256) == (["data=digits"], config.data.sha256)
    weights = load_dict_from_npz(folder.weights)
    assert weights.pop("architecture").tolist() == ['[["ReLU", 64, 64], ["Linear", 64, 10]]']
    assert {name: w.dtype for name, w in weights.items()} == dict.fromkeys(("W1", "b1", "W2", "b2"), np.float32)
    assert folder.read_config().optimizer == {"name": "Momentum", "mu": 0.9}
    log = folder.log.read_text()
    assert "1200 samples for training, 300 for validation, 297 for testing" in log
    assert len([line for line in log.splitlines() if "0.010000" in line]) == 3


def test_the_best_weights_are_those_of_the_best_epoch() -> None:
    # The learning rate is so high that some epochs make the network worse.
    overrides = ("learning_rate.lr=0.3", "optimizer.mu=0.95", "model.hidden=[16]")
    folder = trained(configured(*overrides, "train.epochs=8"))
    best = folder.read_record().best
    assert best is not None
    assert 0 < best.epoch < 8, "this test needs a run whose last epoch is not its best"
    shorter = trained(configured(*overrides, f"train.epochs={best.epoch}"))
    for name, w in load_dict_from_npz(folder.best).items():
        np.testing.assert_array_equal(w, load_dict_from_npz(shorter.weights)[name])
    assert folder.weights.read_bytes() != folder.best.read_bytes()


def test_a_run_whose_training_set_is_not_evaluated_in_each_epoch_may_diverge(caplog) -> None:
    folder = trained(configured("learning_rate.lr=1e30", "train.epochs=5", "train.evaluate_training=5"))
    assert folder.read_record().reason == "the loss is nan after epoch 1: training diverged"


def test_a_run_that_exists_is_not_trained_again(recorded, caplog) -> None:
    caplog.set_level(logging.INFO)
    before = recorded.record.stat().st_mtime_ns
    recorded.checkpoint.touch()
    assert trained(configured("model.hidden=[8]")).path == recorded.path
    assert f"run {recorded.run_id} already exists" in caplog.text
    assert recorded.record.stat().st_mtime_ns == before
    assert not recorded.checkpoint.exists()
    trained(configured("model.hidden=[8]", "force=true"))
    assert recorded.record.stat().st_mtime_ns > before


def test_a_run_repeats_bit_for_bit(recorded, tmp_path) -> None:
    other = trained(configured("model.hidden=[8]", f"results_dir={tmp_path}/elsewhere"))
    assert other.path != recorded.path
    assert other.weights.read_bytes() == recorded.weights.read_bytes()
    assert metrics_without_times(other) == metrics_without_times(recorded)


@pytest.mark.parametrize("missing", ["run.json", "weights.npz", "metrics.csv", "best.npz", "config.yaml"])
def test_an_incomplete_run_is_trained_again(recorded, missing: str) -> None:
    before = recorded.weights.read_bytes()
    (recorded.path / missing).unlink()
    (recorded.path / ".metrics.csv.4711.tmp.csv").write_text("half")  # of a process that was killed
    assert trained(configured("model.hidden=[8]")).path == recorded.path
    assert recorded.is_complete()
    assert recorded.weights.read_bytes() == before
    assert not list(recorded.path.glob(".*"))


def test_a_run_that_diverges_ends_as_failed() -> None:
    folder = trained(configured("learning_rate.lr=1e30"))
    record = folder.read_record()
    assert record.failed
    assert record.reason == "the loss is nan after epoch 1: training diverged"
    assert record.best is None
    assert math.isnan(record.last.train_loss)
    assert json.loads(folder.record.read_text())["last"]["train_loss"] == "nan"
    assert len(folder.read_metrics()) == 2
    assert "training diverged" in folder.log.read_text()


def test_a_run_whose_first_loss_is_not_finite_ends_as_failed() -> None:
    record = trained(configured("model.weights='Uniform(0,1e38)'")).read_record()
    assert record.reason is not None
    assert record.reason.endswith("after epoch 0: training diverged")
    assert record.seconds_per_epoch is None


def test_metrics_are_read_bit_for_bit(recorded) -> None:
    with recorded.metrics.open() as file:
        texts = list(csv.DictReader(file))
    for text, row in zip(texts, recorded.read_metrics(), strict=True):
        assert repr(row["train_loss"]) == text["train_loss"]


def test_the_data_are_prepared_if_they_are_missing(results) -> None:
    config = configured("model.hidden=[8]")
    assert not results.exists()
    run(config, identify(config))
    assert (results / "data" / "digits.npz").exists()


def test_the_peak_memory_is_that_of_the_run(tmp_path) -> None:
    """One process trains both runs, the larger one first."""
    sweep = ("nerva", "train", "-m", *DIGITS, "model.hidden=[20000],[8]")
    result = command_in(tmp_path)(*sweep)
    assert result.returncode == 0, result.stderr
    folders = [RunFolder(path.parent) for path in tmp_path.glob("results/runs/*/run.json")]
    peaks = {f.read_provenance().determined_by["sizes"][1]: f.read_record().peak_memory_mb for f in folders}
    # glibc returns blocks of more than 32 MB at once, such as the activations of the larger network.
    assert peaks[8] < peaks[20_000] - 50


def test_a_run_stops_early_when_its_metric_no_longer_improves() -> None:
    stop = (
        "train.epochs=40",
        "learning_rate.lr=0.1",
        "train.stop={patience: 3, metric: validation_loss, min_delta: 0.01}",
    )
    folder = trained(configured(*stop))
    losses = [row["validation_loss"] for row in folder.read_metrics()]
    improved, best = 0, losses[0]
    for epoch, loss in enumerate(losses):
        assert epoch - improved < 3 or epoch == len(losses) - 1, "it should have stopped before"
        if loss < best - 0.01:
            improved, best = epoch, loss
    assert len(losses) - 1 == improved + 3 < 40
    assert folder.read_record().status == "finished"
    assert "stopped early: validation_loss has not improved by more than 0.01 for 3 epochs" in folder.log.read_text()
    # Until then, it is the run without early stopping.
    shorter = trained(configured(*stop[1:2], f"train.epochs={len(losses) - 1}"))
    assert shorter.run_id != folder.run_id
    assert metrics_without_times(shorter) == metrics_without_times(folder)
    assert shorter.weights.read_bytes() == folder.weights.read_bytes()


def test_a_run_that_was_interrupted_after_its_last_epoch_stops_there(monkeypatch) -> None:
    config = configured("train.epochs=40", "learning_rate.lr=0.1", "train.stop.patience=2")
    expected = trained(config)
    monkeypatch.setattr(train, "_PAUSE", 0.0)
    again = RunFolder(expected.path.with_name("again"))
    with monkeypatch.context() as patch:
        patch.setattr(train, "save_dict_to_npz", end)
        with pytest.raises(EndError):
            trained(config, [], again)
    assert again.checkpoint.exists()
    trained(config, [], again)
    assert_same_results(again, expected)


def test_the_best_epoch_is_that_of_the_metric() -> None:
    folder = trained(configured("train.epochs=12", "learning_rate.lr=0.3", "train.metric=validation_loss"))
    rows = folder.read_metrics()
    best = min(rows, key=lambda row: row["validation_loss"])
    assert best != max(rows, key=lambda row: row["validation_accuracy"]), "this test needs epochs that differ"
    assert folder.read_record().best.epoch == best["epoch"]
