"""`nerva train`."""

import json

import pytest

from tests.helpers import Command, failed_plainly

MODULE = """
from nerva.activation_functions import ACTIVATIONS, ReLUActivation

@ACTIVATIONS.register("Mine")
class MineActivation(ReLUActivation):
    def __repr__(self): return "Mine"
"""


@pytest.mark.long
def test_user_defined_components(run: Command, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    command = ("nerva", "train", "data=digits", "tracking=off", "train.epochs=1", "model.layers=[Mine,Linear]")
    failed_plainly(run(*command), 'unknown layer "Mine"')
    failed_plainly(run(*command, "imports=[yours]"), 'there is no module "yours" to import')
    assert run(*command, "imports=[mine]").returncode == 0
    (tmp_path / "mine.py").write_text(MODULE + "# a comment\n")
    assert "already exists" in run(*command, "imports=[mine]").stdout
    (tmp_path / "mine.py").write_text(MODULE + "\ndef other(): pass\n")
    assert "already exists" not in run(*command, "imports=[mine]").stdout
    mlp = ("nerva", "mlp", "--layers", "Mine;Linear", "--layer-sizes", "64,8,10", "--epochs", "1")
    assert run(*mlp, "--load-dataset", "results/data/digits.npz", "--import", "mine").returncode == 0


def test_missing_data_are_reported_with_a_remedy(run: Command, tmp_path) -> None:
    # Nothing listens on port 9 of this machine.
    result = run("nerva", "train", "data=mnist", "data.mirrors=[http://127.0.0.1:9]")
    failed_plainly(
        result, "MNIST is not there", "train-images-idx3-ubyte.gz", "NERVA_DATA_DIR", "results/data/raw/mnist"
    )
    assert not (tmp_path / "results" / "runs" / "digits").exists()
    assert not list((tmp_path / "results" / "data").glob("*.npz"))


@pytest.mark.long
def test_train_and_track(prepared, run: Command, tmp_path) -> None:
    arguments = ("train", "data=digits", "model=small", "optimizer=nesterov", "train.epochs=1")
    result = run("nerva", *arguments)
    assert result.returncode == 0, result.stderr
    assert "digits-single" in result.stdout
    assert "valid_acc" in result.stdout
    assert (tmp_path / "results" / "mlflow.db").exists()
    assert "already exists" in run("nerva", *arguments).stdout
    assert len(list((tmp_path / "results" / "runs").glob("*/run.json"))) == 1
    assert len(list((tmp_path / "results" / "mlartifacts" / "digits-single").iterdir())) == 1


def test_a_run_that_diverges(run: Command) -> None:
    result = run("nerva", "train", "data=digits", "tracking=off", "learning_rate.lr=1e30")
    failed_plainly(result, "training diverged", code=3)


def test_a_sweep_continues_after_a_failed_run(run: Command, tmp_path) -> None:
    sweep = ("data=digits", "tracking=off", "-m", "learning_rate.lr=1e30,0.1", "train.epochs=1")
    result = run("nerva", "train", *sweep)
    failed_plainly(result, "training diverged", code=3)
    assert "\n2 of 2 runs done, 1 failed\n" in result.stdout
    statuses = {json.loads(p.read_text())["status"] for p in (tmp_path / "results" / "runs").glob("*/run.json")}
    assert statuses == {"failed", "finished"}


def test_a_sweep_over_experiments_is_recorded_in_each(run: Command, tmp_path) -> None:
    sweep = ("data=digits", "tracking=off", "-m", "experiment_name=one,two", "seed=1,2", "train.epochs=1")
    assert run("nerva", "train", *sweep).returncode == 0
    records = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("results/sweeps/*.json"))]
    assert [record["title"] for record in records] == ["digits-one", "digits-two"]
    # Both experiments have the same two runs.
    assert records[0]["runs"] == records[1]["runs"]
    assert len(records[0]["runs"]) == 2


def test_tracking_off_does_not_import_mlflow(run: Command) -> None:
    code = (
        "import sys; from nerva.cli import nerva\n"
        "nerva(['train', 'data=digits', 'tracking=off', 'train.epochs=1'], standalone_mode=False)\n"
        "assert 'mlflow' not in sys.modules"
    )
    result = run("python", "-c", code)
    assert result.returncode == 0, result.stderr


def test_flags_of_hydra(run: Command) -> None:
    result = run("nerva", "train", "data=digits", "--cfg", "job")
    assert "optimizer:\n  name: Momentum" in result.stdout
    assert "data: auto, cifar10, csv, diabetes, digits, emnist_balanced" in run("nerva", "train", "--help").stdout
    assert "nerva train is powered by Hydra" in run("nerva", "train", "--help").stdout


@pytest.mark.long
def test_nothing_is_written_to_the_home(run: Command, tmp_path) -> None:
    run("nerva", "train", "data=digits", "train.epochs=1")
    # matplotlib caches its list of fonts.
    files = [path.relative_to(tmp_path / "home") for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert {path.parts[:2] for path in files} <= {(".cache", "matplotlib"), (".config", "matplotlib")}
