"""Runs that are interrupted or killed, as processes."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nerva.experiment.config import numerics
from nerva.experiment.records.run_folder import RunFolder
from tests.helpers import HANGS, Command, assert_same_results, command_in, started, until

NERVA = (sys.executable, "-m", "nerva", "train", "data=digits")
LONG = (
    "model.hidden=[256,128]",
    "model.layers=[ReLU,'Dropout(0.2)',BatchNormalization,ReLU,Linear]",
    "train.batch_size=10",
    "train.epochs=90",
    "learning_rate=time_based",
)


def folder_in(path: Path) -> RunFolder:
    (folder,) = (RunFolder(p.parent) for p in path.glob("results/runs/*/config.yaml"))
    return folder


def epochs(folder: Path) -> int:
    """The number of epochs that a run has trained."""
    paths = list(folder.glob("results/runs/*/metrics.csv"))
    return len(paths[0].read_text().splitlines()) - 2 if paths else -1


@pytest.mark.long
def test_a_run_that_is_killed_at_random_moments_ends_with_the_same_bits(tmp_path) -> None:
    seed = random.randrange(10**6)
    print("seed", seed)  # shown if the test fails
    rng = random.Random(seed)
    kills = 0
    while kills < 20:
        process = started(tmp_path, *NERVA, *LONG, "tracking=off")
        try:
            process.wait(rng.uniform(0, 1.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        output, _ = process.communicate()
        if process.returncode == 0:
            # It ended too early. The remaining kills hit the same run, trained again.
            assert "Total training time" in output
            folder_in(tmp_path).record.unlink()
        else:
            assert process.returncode == -signal.SIGKILL, output
    (tmp_path / "whole").mkdir()
    for folder in (tmp_path, tmp_path / "whole"):
        result = command_in(folder)(*NERVA, *LONG, "tracking=off")
        assert result.returncode == 0, result.stderr
    run, whole = folder_in(tmp_path), folder_in(tmp_path / "whole")
    assert_same_results(run, whole)
    assert [row["epoch"] for row in run.read_metrics()] == list(range(91))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_an_orderly_way(tmp_path, signum) -> None:
    process = started(tmp_path, *NERVA, *LONG, "tracking=off")
    until(lambda: epochs(tmp_path) >= 3, process)
    process.send_signal(signum)
    output, _ = process.communicate(timeout=HANGS)
    # It ends by the signal itself, which a shell shows as 130 or 143.
    assert process.returncode == -signum, output
    assert "Traceback" not in output
    assert f"nerva: interrupted by {signal.Signals(signum).name}" in output
    assert "the same command resumes there" in output
    folder = folder_in(tmp_path)
    assert folder.checkpoint.exists()
    assert not folder.record.exists()


@pytest.mark.long
def test_mlflow_shows_an_interrupted_run_as_killed_and_then_as_finished(prepared, tmp_path, run: Command) -> None:
    from mlflow import MlflowClient

    process = started(tmp_path, *NERVA, *LONG)
    until(lambda: epochs(tmp_path) >= 3, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGTERM, output
    client = MlflowClient(f"sqlite:///{tmp_path}/results/mlflow.db")

    def logged():
        (found,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
        return found

    killed = logged()
    assert killed.info.status == "KILLED"
    # It resumes, and is logged to the same run of MLflow.
    result = run(*NERVA, *LONG)
    assert result.returncode == 0, result.stderr
    assert "resuming after epoch" in result.stdout
    finished = logged()
    assert (finished.info.run_id, finished.info.status) == (killed.info.run_id, "FINISHED")
    for name in ("train/loss", "test/accuracy"):
        assert [m.step for m in client.get_metric_history(finished.info.run_id, name)] == list(range(91))
    names = {artifact.path for artifact in client.list_artifacts(finished.info.run_id)}
    assert names - {"model", "pictures"} == {path.name for path in folder_in(tmp_path).path.iterdir()}


def test_a_signal_ends_the_whole_sweep(tmp_path) -> None:
    process = started(tmp_path, *NERVA, "-m", "seed=1,2,3", *LONG, "tracking=off")
    until(lambda: epochs(tmp_path) >= 2, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGTERM
    assert "Traceback" not in output
    assert len(list(tmp_path.glob("results/runs/*/config.yaml"))) == 1


def test_a_child_process_ends_with_its_parent(tmp_path) -> None:
    """The child trains a run with native numerics. Its parent, which has portable numerics, is killed."""
    process = started(tmp_path, *NERVA, "-m", "numerics=native,portable", "train.epochs=100000", "tracking=off")
    until(lambda: epochs(tmp_path) >= 2, process)
    pgrep = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    children = [Path(f"/proc/{child}") for child in pgrep.stdout.split()]
    assert len(children) == (0 if numerics.obstacle() else 1)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + HANGS
    while any(child.exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_run_in_a_child_process_is_killed_in_mlflow_as_well(prepared, tmp_path) -> None:
    from mlflow import MlflowClient

    process = started(tmp_path, *NERVA, "-m", "numerics=native,portable", "train.epochs=100000")
    until(lambda: epochs(tmp_path) >= 2, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGINT, output
    client = MlflowClient(f"sqlite:///{tmp_path}/results/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert {run.info.status for run in runs} == {"KILLED"}
    assert folder_in(tmp_path).checkpoint.exists()
