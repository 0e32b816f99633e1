"""The command line, as a person uses it."""

import json
import os
import re
import subprocess

import numpy as np
import pytest

from nerva.cli import VERBS
from tests.helpers import ROOT, Command, failed_plainly


def test_help_lists_the_verbs(run: Command) -> None:
    result = run("nerva", "--help")
    assert result.returncode == 0
    for verb, what in VERBS.items():
        assert verb in result.stdout
        assert what in " ".join(result.stdout.split())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run: Command, verb: str) -> None:
    result = run("nerva", verb, "--help")
    assert result.returncode == 0, result.stderr
    assert f"nerva {verb}" in result.stdout


def test_version(run: Command) -> None:
    assert run("nerva", "--version").stdout.startswith("nerva, version ")


def test_mistakes(run: Command) -> None:
    failed_plainly(run("nerva", "trian"), "There is no command 'trian'", "train", code=2)
    failed_plainly(run("nerva", "prepare"), "Missing argument 'DATASET'", code=2)
    failed_plainly(run("nerva", "prepare", "mnits"), 'no "mnits" in conf/data; did you mean "mnist"?')
    failed_plainly(run("nerva", "train", "data=digits", "train.epochs=0"), "train.epochs should be 1 or more")
    failed_plainly(run("nerva", "train", "data=digits", "-m", "train.epochs=1,0"), "train.epochs should be 1 or more")
    failed_plainly(run("nerva", "track", "quik"), 'there is no experiment "quik"')
    failed_plainly(run("nerva", "compare", "quick", "data=digits"), "12 of 12 runs of digits-quick are not made yet")
    failed_plainly(
        run("nerva", "train", "data=mnist", NERVA_DATA_DIR="/nowhere"), "NERVA_DATA_DIR names /nowhere", "mnist/"
    )


def test_things_in_the_way(run: Command, tmp_path) -> None:
    failed_plainly(run("nerva", "ui"), "there is nothing at sqlite:///results/mlflow.db yet")
    failed_plainly(run("nerva", "ui", "tracking=off"), "tracking is off")
    failed_plainly(run("nerva", "ui", "--port", "99999"), "99999", code=2)
    failed_plainly(run("nerva", "track", "quick", "data=digits"), "none of the 12 runs of digits-quick is made yet")
    assert not (tmp_path / "results" / "mlflow.db").exists()
    (tmp_path / "results").write_text("a file")
    failed_plainly(run("nerva", "train", "data=digits"), "results")


def test_mlp(run: Command, tmp_path) -> None:
    assert run("nerva", "prepare", "digits").returncode == 0
    arguments = ("nerva", "mlp", "--load-dataset", "results/data/digits.npz", "--epochs", "2", "--batch-size", "50")
    network = ("--layers", "ReLU;Dropout(0.1);Linear", "--layer-sizes", "64,32,10", "--seed", "1")
    first = run(*arguments, *network, "--save-weights", "network.npz", "--learning-rate", "Constant(0.1)")
    assert first.returncode == 0, first.stderr
    assert "test_acc" in first.stdout
    inspected = run("nerva", "inspect", "network.npz", "results/data/digits.npz").stdout
    assert "layer 2: Dropout(p=0.1), 32 → 32" in inspected
    assert "10 classes, 145 to 153 samples in each" in inspected
    # It goes on where it was.
    more = run(*arguments, *network, "--load-weights", "network.npz", "--learning-rate", "Constant(0.1)")
    row = [line for line in more.stdout.splitlines() if line.startswith("    0 |")]
    assert row[0].split("|")[2:5] == first.stdout.splitlines()[5].split("|")[2:5]
    small = ("--layers", "ReLU;Linear")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "64;32;9"), "outputs of shape (50, 9), but the targets")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "63,32,10"), "layer ReLU takes N×63 inputs")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "64,x,10"), "--layer-sizes should be whole numbers")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "64,10"), "2 layers with weights need 3 sizes, not 2")
    failed_plainly(run(*arguments, "--layers", "Rely", "--layer-sizes", "64,10"), 'unknown layer "Rely"; known: ReLU')
    failed_plainly(run("nerva", "inspect", "nowhere.npz"), "nowhere.npz: there is no such file")


MINE = """
from nerva.activation_functions import ACTIVATIONS, ReLUActivation

@ACTIVATIONS.register("Mine")
class MineActivation(ReLUActivation):
    def __repr__(self): return "Mine"
"""


def test_components_of_ones_own(run: Command, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    own = ("nerva", "train", "data=digits", "tracking=off", "train.epochs=1", "model.layers=[Mine,Linear]")
    failed_plainly(run(*own), 'unknown layer "Mine"')
    failed_plainly(run(*own, "imports=[yours]"), 'there is no module "yours" to import')
    assert run(*own, "imports=[mine]").returncode == 0
    (tmp_path / "mine.py").write_text(MINE + "# a comment\n")
    assert "is there already" in run(*own, "imports=[mine]").stdout
    (tmp_path / "mine.py").write_text(MINE + "\ndef other(): pass\n")
    assert "is there already" not in run(*own, "imports=[mine]").stdout
    mlp = ("nerva", "mlp", "--layers", "Mine;Linear", "--layer-sizes", "64,8,10", "--epochs", "1")
    assert run(*mlp, "--load-dataset", "results/data/digits.npz", "--import", "mine").returncode == 0


def test_a_number_that_is_not_finite_is_named(run: Command, tmp_path) -> None:
    X = np.zeros((10, 2), np.float32)
    X[3, 1] = np.nan
    np.savez(tmp_path / "data.npz", Xtrain=X, Ttrain=np.arange(10) % 2, Xtest=X, Ttest=np.arange(10) % 2)
    command = ("nerva", "mlp", "--layers", "Linear", "--layer-sizes", "2,2", "--load-dataset", "data.npz", "--check")
    failed_plainly(run(*command), "the input of layer 1 (Linear) has nan in row 3, column 1")


def test_mnist_that_is_not_there_says_what_to_do(run: Command, tmp_path) -> None:
    # Port 9 of this machine: nothing listens there.
    result = run("nerva", "train", "data=mnist", "data.mirrors=[http://127.0.0.1:9]")
    failed_plainly(
        result, "MNIST is not there", "train-images-idx3-ubyte.gz", "NERVA_DATA_DIR", "results/data/raw/mnist"
    )
    assert not (tmp_path / "results" / "runs" / "digits").exists()
    assert not list((tmp_path / "results" / "data").glob("*.npz"))


def test_train_and_track(prepared, run: Command, tmp_path) -> None:
    arguments = ("train", "data=digits", "model=small", "optimizer=nesterov", "train.epochs=1")
    result = run("nerva", *arguments)
    assert result.returncode == 0, result.stderr
    assert "digits-single" in result.stdout
    assert "valid_acc" in result.stdout
    assert (tmp_path / "results" / "mlflow.db").exists()
    assert "is there already" in run("nerva", *arguments).stdout
    assert len(list((tmp_path / "results" / "runs").glob("*/run.json"))) == 1
    assert len(list((tmp_path / "results" / "mlartifacts" / "digits-single").iterdir())) == 1


def test_a_run_that_diverges(run: Command) -> None:
    result = run("nerva", "train", "data=digits", "tracking=off", "learning_rate.lr=1e30")
    failed_plainly(result, "training diverged", code=3)


def test_multirun_goes_on_after_a_failed_run(run: Command, tmp_path) -> None:
    sweep = ("data=digits", "tracking=off", "-m", "learning_rate.lr=1e30,0.1", "train.epochs=1")
    result = run("nerva", "train", *sweep)
    failed_plainly(result, "training diverged", code=3)
    assert re.search(r"\n1 of 2 runs done, 1 failed, about \d+ s left\n", result.stdout)
    assert "\n2 of 2 runs done, 1 failed\n" in result.stdout
    statuses = {json.loads(p.read_text())["status"] for p in (tmp_path / "results" / "runs").glob("*/run.json")}
    assert statuses == {"failed", "finished"}


def test_a_sweep_over_experiments_is_noted_in_each(run: Command, tmp_path) -> None:
    sweep = ("data=digits", "tracking=off", "-m", "experiment_name=one,two", "seed=1,2", "train.epochs=1")
    assert run("nerva", "train", *sweep).returncode == 0
    noted = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("results/sweeps/*.json"))]
    assert [asked["title"] for asked in noted] == ["digits-one", "digits-two"]
    # The same two runs, of which each experiment has both.
    assert noted[0]["runs"] == noted[1]["runs"]
    assert len(noted[0]["runs"]) == 2


def test_tracking_off_does_not_import_mlflow(run: Command) -> None:
    code = (
        "import sys; from nerva.cli import nerva\n"
        "nerva(['train', 'data=digits', 'tracking=off', 'train.epochs=1'], standalone_mode=False)\n"
        "assert 'mlflow' not in sys.modules"
    )
    result = run("python", "-c", code)
    assert result.returncode == 0, result.stderr


def test_hydras_own_flags(run: Command) -> None:
    result = run("nerva", "train", "data=digits", "--cfg", "job")
    assert "optimizer:\n  name: Momentum" in result.stdout
    assert "data: auto, cifar10, digits, fashion_mnist, mnist" in run("nerva", "train", "--help").stdout
    assert "nerva train is powered by Hydra" in run("nerva", "train", "--help").stdout


def test_prepare(run: Command, tmp_path) -> None:
    result = run("nerva", "prepare", "digits")
    assert result.returncode == 0
    assert "scikit-learn digits: results/data/digits.npz" in result.stdout
    assert (tmp_path / "results" / "data" / "digits.json").exists()


def test_nothing_is_written_to_the_home(run: Command, tmp_path) -> None:
    run("nerva", "train", "data=digits", "train.epochs=1")
    # But for matplotlib's list of fonts, which takes a while to make.
    files = [path.relative_to(tmp_path / "home") for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert {path.parts[:2] for path in files} <= {(".cache", "matplotlib"), (".config", "matplotlib")}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run: Command, shell: str) -> None:
    assert "_NERVA_COMPLETE" in run("nerva", "completion", shell).stdout


def test_bash_completes_verbs(run: Command) -> None:
    result = run("nerva", _NERVA_COMPLETE="bash_complete", COMP_WORDS="nerva tra", COMP_CWORD="1")
    assert result.stdout.split() == ["plain,train", "plain,track"]


def test_bash_completes_choices_of_a_configuration(run: Command) -> None:
    """In a real bash, with what `nerva completion bash` prints."""
    script = (
        'eval "$(nerva completion bash)"; '
        'COMP_WORDS=(nerva train "optimizer=ne"); COMP_CWORD=2; COMP_LINE="nerva train optimizer=ne"; '
        '_nerva_completion nerva; echo "${COMPREPLY[@]}"'
    )
    result = run("bash", "-c", script)
    assert result.stdout.split() == ["optimizer=nesterov"], result.stderr


def test_the_package_works_when_it_is_built_and_installed(tmp_path) -> None:
    """A wheel carries conf/."""
    subprocess.run(
        ["python", "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run(["python", "-m", "zipfile", "-e", str(wheel), str(tmp_path / "site")], check=True)
    result = subprocess.run(
        ["python", "-m", "nerva", "train", "data=digits", "tracking=off", "train.epochs=1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "digits-single" in result.stdout
