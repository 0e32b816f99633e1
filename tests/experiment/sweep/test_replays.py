"""Replaying runs that are named, and the runs of a sweep: `nerva replay`."""

import os
import shutil

import pytest
from click.testing import CliRunner

from nerva.cli.replay import command
from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run.run import run
from nerva.experiment.sweep.planning import plan_experiment
from nerva.utilities import load_dict_from_npz, save_dict_to_npz
from tests.helpers import MINE, Command, failed_plainly


def said(*arguments: object) -> str:
    """What the command prints, followed by its exit code."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if isinstance(result.exception, NervaError):
        return f"{result.exception}\n1"
    return f"{result.output}{result.exit_code}"


def test_a_folder_from_anywhere(recorded, tmp_path, monkeypatch) -> None:
    """Its data are those beside it, whatever the current folder has. Nothing is written there."""
    elsewhere = tmp_path / "a=b"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.delenv("NERVA_RESULTS_DIR")
    (elsewhere / "link").symlink_to(recorded.path)
    for name in ("link", recorded.path, os.path.relpath(recorded.path)):
        assert said(name).startswith(f"{recorded.run_id}  identical")
    assert [path.name for path in elsewhere.iterdir()] == ["link"]
    shutil.copytree(recorded.path.parent.parent, elsewhere / "copy")
    assert said(elsewhere / "copy" / "runs" / recorded.run_id).endswith("\n0")
    data = recorded.path.parent.parent / "data" / "digits.npz"
    data.write_bytes(data.read_bytes()[:-9])
    assert "digits.npz" in said("link")
    assert f"{elsewhere} is not the folder of a run" in said(elsewhere)
    assert '"" is neither a folder nor an id' in said("")


@pytest.mark.long
def test_the_command(run_command: Command, tmp_path) -> None:
    overrides = ("data=digits", "train.epochs=1", "optimizer=momentum", "seed=1")
    assert run_command("nerva", "train", "-m", "+experiment=quick", *overrides).returncode == 0
    result = run_command("nerva", "replay", "--experiment", "quick", *overrides)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "2 of 2 runs are identical"
    folder = next(tmp_path.glob("results/runs/[!.]*"))
    failed_plainly(run_command("nerva", "replay"), "Name a run, or an --experiment", code=2)
    failed_plainly(run_command("nerva", "replay", folder.name, "--sample", "3"), "--sample needs --experiment", code=2)
    failed_plainly(run_command("nerva", "replay", folder, "train.epochs=3"), "train.epochs=3 would give another run")
    failed_plainly(
        run_command("nerva", "replay", "0" * 12), f"there is no run {'0' * 12} in MLflow at sqlite:///results/mlflow.db"
    )
    # What MLflow shows is compared as well.
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/results/mlflow.db")
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])[0].info.run_id
    client.log_metric(found, "test/accuracy", 1.0, step=2)
    result = run_command("nerva", "replay", found)
    assert result.returncode == 1
    assert "test_accuracy: MLflow has 3 values, and the replay gives 2" in result.stdout


@pytest.mark.long
def test_a_sweep_and_its_store(results, uri) -> None:
    """One weight is changed, then a run is damaged, then deleted, then all of them, and then the store is moved."""
    from nerva.experiment import tracking

    sweep = ("--experiment", "quick", "data=digits", "train.epochs=1", "optimizer=momentum", "seed=1")
    points = plan_experiment("quick", sweep[2:]).points
    for point in points:
        run(point.config, point.identity, point.overrides)
    first, second = (point.folder for point in points)
    assert said(*sweep).endswith("2 of 2 runs are identical\n0")
    assert said(*sweep, "--sample", "1").count("identical (") == 1
    tracking.track([first, second], "digits-quick", uri, results)

    arrays = load_dict_from_npz(first.weights)
    arrays["b1"][0] += 1
    save_dict_to_npz(first.weights, arrays)
    text = said(*sweep)
    assert f"{first.run_id}  different\n  weights.npz: b1[0]: " in text
    assert "1 of 2 runs are identical" in text

    # The damaged run is reported, and the others are replayed. A run that only MLflow has is found.
    second.weights.unlink()
    text = said(*sweep)
    assert f"{second.run_id}  " in text
    assert "0 of 2 runs are identical" in text
    shutil.rmtree(second.path)
    assert f"{second.run_id}  identical (" in said(*sweep)
    shutil.move(results / "runs", results / "moved")
    assert said(*sweep).endswith("2 of 2 runs are identical\n0")
    assert said(first.run_id).count("identical (") == 1
    assert said(results / "moved" / first.run_id).endswith("\n1")

    # Results that were moved with their store.
    shutil.copytree(results, results.with_name("copied"))
    shutil.rmtree(results)
    elsewhere = ("results_dir=copied", "tracking.uri=sqlite:///copied/mlflow.db")
    assert said(first.run_id, *elsewhere).count("identical (") == 1
    shutil.rmtree("copied/mlartifacts")
    assert f"MLflow does not have all files of the run {first.run_id}" in said(first.run_id, *elsewhere)
    assert said("0" * 12, "tracking=off").startswith(f"there is no run 000000000000 in {results}/runs, and tracking")
    assert said("nonsense").startswith('"nonsense" is neither a folder nor an id')
    assert said("--experiment", "flagship", "data=digits").startswith(
        "none of the 3 runs of digits-flagship has been trained with the present code"
    )
    # An interrupted run is not a run that differs. A long override is not the name of a folder.
    folder = RunFolder.of(results, points[0].run_id)
    folder.path.mkdir(parents=True)
    folder.checkpoint.touch()
    run(points[1].config, points[1].identity)
    assert said(*sweep, "tracking=off").startswith("1 of 2 runs have not been trained yet\n")
    seeds = ",".join(map(str, range(1, 101)))
    assert said(*sweep[:-1], f"seed={seeds}", "tracking=off").startswith("199 of 200 runs have not been trained yet\n")


@pytest.mark.long
def test_modules_that_a_plan_names_are_trusted_and_others_are_not(run_command: Command, tmp_path) -> None:
    (tmp_path / "helper.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "mine.py").write_text(MINE)
    overrides = ("data=digits", "train.epochs=1", "optimizer=gradient_descent", "learning_rate.lr=0.1", "seed=1")
    overrides += ("imports=[mine]", "optimizer.name=Scaled", "tracking=off")
    assert run_command("nerva", "train", "-m", "+experiment=quick", *overrides).returncode == 0
    result = run_command("nerva", "replay", "--experiment", "quick", *overrides)
    assert result.returncode == 0, result.stdout + result.stderr
    (folder,) = tmp_path.glob("results/runs/[!.]*")
    result = run_command("nerva", "replay", folder.name)
    assert result.returncode == 1
    assert "recorded modules run only with --trust" in result.stdout
