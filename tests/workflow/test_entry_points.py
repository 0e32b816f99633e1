"""All entry points give the same runs and the same bits, also at the same time."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nerva.experiment.config import numerics
from tests.helpers import ROOT, Command, command_in, started
from tests.workflow.test_pipeline import NOTHING, SNAKEMAKE, runs, trained

SCRIPT = ROOT / "tests" / "checks" / "same_bits.py"
OVERRIDES = "train.epochs=40 optimizer=momentum"


def identical(result: subprocess.CompletedProcess[str], lines: int) -> None:
    """Asserts that the script found one id and one hash."""
    assert result.returncode == 0, result.stdout + result.stderr
    *entry_points, verdict = result.stdout.splitlines()
    assert verdict == "identical"
    assert len(entry_points) == lines
    assert len({tuple(line.split()[-2:]) for line in entry_points}) == 1


@pytest.mark.long
@pytest.mark.skipif(bool(numerics.obstacle()), reason=f"portable numerics are not supported: {numerics.obstacle()}")
def test_every_entry_point(run: Command) -> None:
    identical(run(sys.executable, SCRIPT), 7)


@pytest.mark.slow
@pytest.mark.skipif(bool(numerics.obstacle()), reason=f"portable numerics are not supported: {numerics.obstacle()}")
@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="qemu-x86_64 is not installed (Debian: qemu-user)")
def test_emulated_cpus(run: Command) -> None:
    identical(run(sys.executable, SCRIPT, "--cpu", "Haswell", "--cpu", "EPYC-Milan", "--cpu", "max", timeout=9000), 10)


def at_once(folder: Path, *commands: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Start commands at the same time, and wait for all of them. Both of their streams are one."""
    processes = [started(folder, *command) for command in commands]
    outputs = [process.communicate()[0] for process in processes]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, output, output)
        for process, output in zip(processes, outputs, strict=True)
    ]


def computed(folder: Path, *outputs: str) -> int:
    """How many times a run was trained, by any entry point."""
    logs = [path.read_text() for path in folder.glob("results/logs/train/*.log")]
    return sum(text.count("Total training time") for text in (*outputs, *logs))


def assert_each_once(folder: Path, count: int, sweeps: int = 1) -> None:
    from mlflow import MlflowClient

    assert len(runs(folder)) == count
    client = MlflowClient(f"sqlite:///{folder}/results/mlflow.db")
    logged = client.search_runs([e.experiment_id for e in client.search_experiments()])
    # Each sweep has a parent run without an id of nerva's.
    assert sorted(run.data.tags.get("nerva.run_id", "") for run in logged) == [""] * sweeps + sorted(runs(folder))
    assert {run.info.status for run in logged} == {"FINISHED"}


SWEEP = [*map(str, SNAKEMAKE), "--config", "data=digits", f"overrides={OVERRIDES}"]


@pytest.mark.long
def test_the_pipeline_and_a_multirun_at_once(tmp_path) -> None:
    multirun = [sys.executable, "-m", "nerva", "train", "-m", "+experiment=quick", "data=digits", *OVERRIDES.split()]
    pipeline, sweep = at_once(tmp_path, SWEEP, multirun)
    assert (pipeline.returncode, sweep.returncode) == (0, 0), pipeline.stdout + sweep.stdout
    assert computed(tmp_path, sweep.stdout) == 4
    assert_each_once(tmp_path, 4)
    assert "digits-quick: 4 runs of 2 configurations" in pipeline.stdout
    # Later commands find the runs.
    again = command_in(tmp_path)
    assert NOTHING in again(*SWEEP).stderr
    assert again(*multirun).stdout.count("already exists") == 4
    assert again("nerva", "replay", "--experiment", "quick", "data=digits", *OVERRIDES.split()).returncode == 0


@pytest.mark.long
def test_a_zipped_and_filtered_sweep(tmp_path) -> None:
    """The pipeline, a multirun and `nerva id` have the same points."""
    run = command_in(tmp_path)
    sweep = [
        *("data=digits", "tracking=off", "train.epochs=1", "optimizer=momentum,nesterov", "seed=1", "seeds=3"),
        *("sweep.zip=[[optimizer,learning_rate.lr]]", "sweep.where=\"seed > 1 or optimizer.name == 'Nesterov'\""),
    ]
    listed = run("nerva", "id", "+experiment=quick", *sweep)
    assert listed.stderr.startswith("5 points: optimizer and learning_rate.lr go together; 3 seeds; where seed > 1")
    planned = run(*SNAKEMAKE, "-n", "--config", *_config(sweep))
    assert "5 runs: 5 to train, 0 already exist\n  optimizer and learning_rate.lr go together" in planned.stdout
    trained_by_pipeline = run(*SNAKEMAKE, "--config", *_config(sweep))
    assert trained_by_pipeline.returncode == 0, trained_by_pipeline.stderr
    assert sorted(runs(tmp_path)) == sorted(line.split()[0] for line in listed.stdout.splitlines())
    again = run("nerva", "train", "-m", "+experiment=quick", *sweep)
    assert again.stdout.count("already exists") == len(runs(tmp_path)) == 5, again.stderr


def _config(overrides: list[str]) -> list[str]:
    return ["data=digits", f"overrides={' '.join(o for o in overrides if not o.startswith('data='))}"]


@pytest.mark.slow
@pytest.mark.parametrize("time", range(10))
def test_two_sweeps_on_a_fresh_store_at_once(tmp_path, time: int) -> None:
    sweep = [sys.executable, "-m", "nerva", "train", "-m", "data=digits", "train.epochs=1"]
    for result in at_once(tmp_path, [*sweep, "seed=1,2"], [*sweep, "seed=3,4", "optimizer=nesterov"]):
        assert result.returncode == 0, result.stdout
        assert "nerva track" not in result.stdout
    assert_each_once(tmp_path, 4, sweeps=2)


@pytest.mark.slow
def test_two_pipelines_at_once(tmp_path) -> None:
    results = at_once(tmp_path, SWEEP, SWEEP)
    done = [result for result in results if result.returncode == 0]
    assert done, results[0].stdout
    for result in results:
        if result.returncode != 0:
            assert "LockException" in result.stdout or "cannot be locked" in result.stdout
    assert computed(tmp_path) == 4
    assert_each_once(tmp_path, 4)
    assert sum(trained(result) for result in done) >= 4
    assert NOTHING in command_in(tmp_path)(*SWEEP).stderr


@pytest.mark.long
def test_replay_in_the_pipeline(tmp_path) -> None:
    run = command_in(tmp_path)
    config = ("--config", "data=digits", "overrides=train.epochs=1 optimizer=momentum seed=1 tracking=off")
    result = run(*SNAKEMAKE, "replay", *config)
    assert result.returncode == 0, result.stderr
    assert len(re.findall(r"^[0-9a-f]{12}  identical \(", result.stdout, re.MULTILINE)) == 2
    result = run(*SNAKEMAKE, "replay", *config, "sample=1")
    assert result.stdout.count("identical (") == 1
    assert "best  " not in result.stdout  # the summary of a replay is its verdicts
    assert trained(result) == 0
    metrics = next(tmp_path.glob("results/runs/*/metrics.csv"))
    *rows, last = metrics.read_text().splitlines()
    metrics.write_text("\n".join([*rows, re.sub(r"^1,([^,]*),[^,]*", r"1,\1,9.5", last)]) + "\n")
    result = run(*SNAKEMAKE, "replay", *config)
    assert result.returncode == 1
    assert f"{metrics.parent.name}  different" in result.stdout + result.stderr
    assert "epoch 1, train_loss: recorded 9.5, replayed " in result.stdout + result.stderr
    assert not (tmp_path / "results" / "logs" / "replay" / "digits-quick.log").exists()
