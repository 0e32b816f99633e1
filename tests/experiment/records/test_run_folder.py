"""The folder of a run."""

import shutil

import pytest
from filelock import FileLock

from nerva.experiment.records.run_folder import RunFolder


def test_the_folder_of_a_run(results) -> None:
    folder = RunFolder.of(results, "0123456789ab")
    assert folder.path == results / "runs" / "0123456789ab"
    assert folder.run_id == "0123456789ab"
    assert not folder.is_complete()
    assert not folder.is_training()
    assert not results.exists()


@pytest.mark.parametrize(
    "name",
    ["run.json", "weights.npz", "metrics.csv", "best.npz", "config.yaml", "provenance.json", "code.json", "run.log"],
)
def test_a_folder_is_complete_if_no_file_is_missing(recorded, name: str) -> None:
    assert recorded.is_complete()
    (recorded.path / name).unlink()
    assert not recorded.is_complete()


def test_the_folder_of_another_run_or_with_a_damaged_result_is_not_complete(recorded) -> None:
    copied = RunFolder(recorded.path.with_name("0123456789ab"))
    shutil.copytree(recorded.path, copied.path)
    assert not copied.is_complete()
    recorded.record.write_text("{")
    assert not recorded.is_complete()


def test_a_run_is_training_while_its_lock_is_held(recorded) -> None:
    with FileLock(recorded.lock):
        assert recorded.is_training()
    assert not recorded.is_training()


def test_what_an_interrupted_attempt_left_is_deleted_except_for_its_checkpoint(recorded) -> None:
    for name in (".metrics.csv.4711.tmp.csv", ".weights.npz.1.tmp.npz", "checkpoint.npz"):
        (recorded.path / name).write_text("half")
    recorded.clear()
    assert not list(recorded.path.glob(".*"))
    assert recorded.checkpoint.exists()
    assert recorded.metrics.exists()
    assert not recorded.record.exists()
