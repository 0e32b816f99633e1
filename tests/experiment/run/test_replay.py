"""Replays: identical, or what is not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nerva.cli.replay import command
from nerva.errors import NervaError
from nerva.experiment.config import composition as compose
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run import replay as replay_module
from nerva.experiment.run.replay import Verdict, replay
from nerva.experiment.run.train import run
from nerva.utilities import load_dict_from_npz, save_dict_to_npz
from tests.helpers import ROOT, Command, configured, failed_plainly


@pytest.fixture
def recorded(results) -> RunFolder:
    return run(configured(), ["data=digits"])


def replayed(folder: RunFolder) -> Verdict:
    return replay(folder, folder.path.parent.parent)


def edit_json(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_replay_is_identical_and_leaves_nothing(recorded, results) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    verdict = replayed(recorded)
    assert (verdict.identical, verdict.context, verdict.advice) == (True, [], [])
    assert verdict.compared == "7 figures of 3 epochs, 9,620 weights"
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_a_run_that_diverged_is_replayed(results) -> None:
    assert replayed(run(configured("learning_rate.lr=1e30"), [])).identical


@pytest.mark.parametrize("name", ["weights", "best"])
def test_a_weight(recorded, name: str) -> None:
    path = getattr(recorded, name)
    arrays = load_dict_from_npz(path)
    was = arrays["W2"][3, 5]
    arrays["W2"][3, 5] = np.nextafter(was, np.float32(9))
    save_dict_to_npz(path, arrays)
    (difference,) = replayed(recorded).differences
    assert difference.startswith(
        f"{name}.npz: W2[3, 5]: {arrays['W2'][3, 5].item()!r} was recorded, and {was.item()!r}"
    )
    assert "(1 of 640 differ)" in difference


def test_a_weight_that_is_missing_or_has_another_shape(recorded) -> None:
    arrays = load_dict_from_npz(recorded.weights)
    bias = arrays.pop("b1")
    save_dict_to_npz(recorded.weights, arrays)
    assert replayed(recorded).differences == ["weights.npz: b1 was not recorded, and comes now"]
    save_dict_to_npz(recorded.weights, arrays | {"b1": bias[:3], "c": bias})
    assert replayed(recorded).differences == ["weights.npz: b1 was float32 (3,), and is float32 (64,)"]


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("mu: 0.9", "mu: 0.8", "optimizer: Momentum(mu=0.9) made the run, but config.yaml says Momentum(mu=0.8)"),
        ("seed: 1", "seed: 2", "seed: 1 made the run, but config.yaml says 2"),
        ("mode: portable", "mode: native", "numerics: portable made the run, but config.yaml says native"),
        ("- 64", "- 63", "sizes: [64, 64, 10] made the run, but config.yaml says [64, 63, 10]"),
        ("title: scikit", "title: Scikit", "config.yaml is not as it was written: its sha256 was "),
    ],
)
def test_a_value_of_the_configuration(recorded, old: str, new: str, difference: str) -> None:
    text = recorded.config.read_text()
    if old not in text:
        pytest.skip("portable numerics can't hold here")
    recorded.config.write_text(text.replace(old, new))
    assert replayed(recorded).differences[0].startswith(difference)


def test_both_the_configuration_and_what_is_said_of_it(recorded) -> None:
    recorded.config.write_text(recorded.config.read_text().replace("seed: 1", "seed: 2"))
    edit_json(recorded.provenance, lambda origin: origin["determined_by"].update(seed=2))
    (difference,) = replayed(recorded).differences
    assert difference.startswith("provenance.json describes the run ")
    assert difference.endswith(f", and not {recorded.run_id}")


def test_a_byte_of_the_data(recorded, results) -> None:
    path = results / "data" / "digits.npz"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    (difference,) = replayed(recorded).differences
    assert difference.startswith(f"data: {path} is not")
    # The same, where the file is a whole one, but of other data.
    arrays = load_dict_from_npz_again(recorded, results)
    arrays["Xtrain"][7, 7] += 1
    np.savez(path, **arrays)
    (difference,) = replayed(recorded).differences
    assert difference.startswith(f"data: {path} is not what was prepared: its sha256 is ")


def load_dict_from_npz_again(recorded, results) -> dict[str, np.ndarray]:
    """The data, prepared anew."""
    for path in (results / "data").glob("digits.*"):
        path.unlink()
    assert replayed(recorded).identical
    return load_dict_from_npz(results / "data" / "digits.npz")


def test_a_metric(recorded) -> None:
    lines = recorded.metrics.read_text().splitlines()
    row = lines[2].split(",")
    row[5] = "0.9999"
    lines[2] = ",".join(row)
    recorded.metrics.write_text("\n".join(lines) + "\n")
    (difference,) = replayed(recorded).differences
    assert difference.startswith("epoch 1, validation_accuracy: 0.9999 was recorded, and 0.2233")
    recorded.metrics.write_text("\n".join(lines[:2]) + "\n")
    assert "0 epochs were recorded, and 2 come now" in replayed(recorded).differences[0]


def test_what_is_said_of_a_run(recorded) -> None:
    edit_json(recorded.summary, lambda summary: summary["best"].update(test_accuracy=1.0))
    (difference,) = replayed(recorded).differences
    assert difference.startswith("run.json: best.test_accuracy: 1.0 was recorded, and 0.4646")


def test_another_environment_is_shown(recorded) -> None:
    edit_json(recorded.provenance, lambda origin: origin["environment"].update(numpy="1.0", cpu="Z80"))
    recorded.metrics.write_text(recorded.metrics.read_text().replace("0.2233", "0.9233"))
    verdict = replayed(recorded)
    assert "environment: cpu was Z80, is " in verdict.context[0]
    assert "environment: numpy was 1.0, is " in verdict.context[1]


def test_a_copy_under_another_name(recorded) -> None:
    other = recorded.path.with_name("0123456789ab")
    shutil.copytree(recorded.path, other)
    differences = replayed(RunFolder(other)).differences
    assert f"run.json is that of the run {recorded.run_id}" in differences


def test_files_that_cannot_be_read(recorded) -> None:
    content = recorded.config.read_bytes()
    recorded.config.write_bytes(b"\xff" + content)
    assert "config.yaml" in replayed(recorded).differences[0]
    recorded.config.write_bytes(content)
    edit_json(recorded.provenance, lambda origin: origin["code"].pop("fingerprint"))
    assert "provenance.json is damaged: KeyError('fingerprint')" in replayed(recorded).differences[0]


KINDS = [
    ("run.json", "files", None),
    ("run.json", "files", []),
    ("run.json", "weights", "x"),
    ("provenance.json", "overrides", 7),
    ("provenance.json", "environment", []),
    ("provenance.json", "determined_by", "x"),
    ("provenance.json", "code", None),
]


@pytest.mark.parametrize(("name", "key", "value"), KINDS)
def test_values_of_another_kind(recorded, name: str, key: str, value: object) -> None:
    edit_json(recorded.path / name, lambda content: content.update({key: value}))
    with pytest.raises(NervaError, match=f"{name}: {key} is not of the kind that was written"):
        replayed(recorded)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"'])
def test_a_file_of_another_kind(recorded, text: str) -> None:
    recorded.code.write_text(text)
    assert "code.json is not of the kind that was written" in replayed(recorded).differences[0]


def test_a_folder_from_anywhere(recorded, tmp_path, monkeypatch) -> None:
    """Its data are those beside it, whatever the current folder has; and nothing is left there."""
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
    assert f"{elsewhere} is no run's folder" in said(elsewhere)
    assert '"" is no folder, and no id' in said("")


def test_data_that_cannot_be_had_are_no_difference(recorded, monkeypatch) -> None:
    def prepare(*_: object) -> None:
        raise NervaError("MNIST is not there")

    monkeypatch.setattr(replay_module, "prepare", prepare)
    with pytest.raises(NervaError, match="MNIST is not there"):
        replayed(recorded)


def test_a_run_that_has_not_ended(recorded) -> None:
    recorded.summary.unlink()
    with pytest.raises(NervaError, match="has not ended"):
        replayed(recorded)


def test_the_command(run: Command, tmp_path) -> None:
    overrides = ("data=digits", "train.epochs=1", "optimizer=momentum", "seed=1")
    assert run("nerva", "train", "-m", "+experiment=quick", *overrides).returncode == 0
    result = run("nerva", "replay", "--experiment", "quick", *overrides)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "2 of 2 runs are identical"
    folder = next(tmp_path.glob("results/runs/[!.]*"))
    failed_plainly(run("nerva", "replay"), "Say which run, or which --experiment", code=2)
    failed_plainly(run("nerva", "replay", folder.name, "--sample", "3"), "--sample is of an --experiment", code=2)
    failed_plainly(run("nerva", "replay", folder, "train.epochs=3"), "train.epochs=3 would be another")
    failed_plainly(
        run("nerva", "replay", "0" * 12), f"there is no run {'0' * 12} in MLflow at sqlite:///results/mlflow.db"
    )
    # What MLflow shows is compared, too.
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/results/mlflow.db")
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])[0].info.run_id
    client.log_metric(found, "test/accuracy", 1.0, step=2)
    result = run("nerva", "replay", found)
    assert result.returncode == 1
    assert "test_accuracy: MLflow has 3 values, and 2 come now" in result.stdout


def said(*arguments: object) -> str:
    """What the command says, and its exit code."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if isinstance(result.exception, NervaError):
        return f"{result.exception}\n1"
    return f"{result.output}{result.exit_code}"


def test_a_sweep_and_its_store(results, uri) -> None:
    """One weight changed; then a run damaged; then from MLflow alone; then elsewhere; then nothing is left."""
    from nerva.experiment import tracking

    sweep = ("--experiment", "quick", "data=digits", "train.epochs=1", "optimizer=momentum", "seed=1")
    points = compose.expand("quick", sweep[2:])
    first, second = (run(point.config, point.overrides) for point in points)
    assert said(*sweep).endswith("2 of 2 runs are identical\n0")
    assert said(*sweep, "--sample", "1").count("identical (") == 1
    tracking.track([first, second], "digits-quick", uri, results)

    arrays = load_dict_from_npz(first.weights)
    arrays["b1"][0] += 1
    save_dict_to_npz(first.weights, arrays)
    text = said(*sweep)
    assert f"{first.run_id}  different\n  weights.npz: b1[0]: " in text
    assert "1 of 2 runs are identical" in text

    # A run that is damaged keeps neither itself nor the others out of what is said, and one of MLflow's is found.
    second.weights.unlink()
    text = said(*sweep)
    assert f"{second.run_id}  can't be replayed: " in text
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
    assert f"MLflow has not all files of the run {first.run_id}: it is FINISHED" in said(first.run_id, *elsewhere)
    assert said("0" * 12, "tracking=off").startswith(f"there is no run 000000000000 in {results}/runs, and tracking")
    assert said("nonsense").startswith('"nonsense" is no folder, and no id')
    assert said("--experiment", "flagship", "data=digits").startswith("none of the 3 runs of digits-flagship is made")
    # One that is interrupted is none that differs. And a long override is no folder's name.
    folder = RunFolder.of(results, points[0].run_id)
    folder.path.mkdir(parents=True)
    folder.checkpoint.touch()
    run(points[1].config, [])
    assert said(*sweep, "tracking=off").startswith("1 of 2 runs are not made yet\n")
    seeds = ",".join(map(str, range(1, 101)))
    assert said(*sweep[:-1], f"seed={seeds}", "tracking=off").startswith("199 of 200 runs are not made yet\n")


def test_other_code_is_named_and_its_commit_offered(run: Command, tmp_path) -> None:
    """In a repository of its own, so that there is a commit, after which one function is changed and others are new."""
    clone = tmp_path / "clone"
    for name in ("nerva", "conf"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitignore", clone)
    git = ["git", "-C", str(clone), "-c", "user.name=n", "-c", "user.email=n@example.com"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    nerva = [sys.executable, "-m", "nerva"]
    path = {"PYTHONPATH": str(clone)}

    train = (*nerva, "train", "data=digits", "train.epochs=1", "tracking=off", "optimizer=gradient_descent")
    assert run(*train, **path).returncode == 0
    (folder,) = tmp_path.glob("results/runs/*/run.json")
    run_id = folder.parent.name
    origin = json.loads((folder.parent / "provenance.json").read_text())
    assert (origin["code"]["git_commit"], origin["code"]["dirty"]) == (commit, False)
    assert not (folder.parent / "uncommitted.patch").exists()

    optimizers, activations = clone / "nerva" / "optimizers.py", clone / "nerva" / "activation_functions.py"
    text = optimizers.read_text()
    (clone / "nerva" / "mine.py").write_text("x = 1\n")
    optimizers.write_text(
        text.replace("self.x = scale_add(1, self.x, -eta, self.Dx)", "self.x = self.x + eta * self.Dx")
    )
    activations.write_text(activations.read_text() + "\n\ndef another() -> None:\n    return\n")
    result = run(*nerva, "replay", run_id, **path)
    assert result.returncode == 1, result.stderr
    assert "epoch 1, train_loss: " in result.stdout
    assert "code: changed nerva/optimizers.py: GradientDescentOptimizer.update" in result.stdout
    assert "code: new nerva/activation_functions.py: another" in result.stdout
    assert "code: new nerva/mine.py" in result.stdout
    assert f"git checkout {commit}" in result.stdout

    # What is trained now has the patch with it; and the patch gives its code back.
    assert run(*train, **path).returncode == 0
    (other,) = (p.parent for p in tmp_path.glob("results/runs/*/run.json") if p.parent.name != run_id)
    origin = json.loads((other / "provenance.json").read_text())
    assert (origin["code"]["dirty"], origin["code"]["untracked"]) == (True, ["nerva/mine.py"])
    changed = {p: p.read_text() for p in (clone / "nerva").glob("*.py")}
    for arguments in (["checkout", "-q", "."], ["clean", "-qfd"]):
        subprocess.run([*git, *arguments], check=True)
    result = run(*nerva, "replay", other, **path)
    assert f"git apply {other}/uncommitted.patch" in result.stdout
    assert f"git checkout {commit}" in result.stdout
    subprocess.run([*git, "apply", str(other / "uncommitted.patch")], check=True)
    assert {p: p.read_text() for p in (clone / "nerva").glob("*.py")} == changed
    assert run(*nerva, "replay", other, **path).returncode == 0


def test_logged_figures_are_compared() -> None:
    rows = [{"epoch": 0.0, "train_loss": 1.0}, {"epoch": 1.0, "train_loss": float("nan")}]
    same = {"train_loss": [(0, 1.0), (1, float("nan"))]}
    assert list(replay_module._logged(same, rows)) == []
    other = {"train_loss": [(0, 1.0), (1, 2.0)]}
    assert list(replay_module._logged(other, rows)) == ["epoch 1, train_loss: 2.0 is in MLflow, and nan comes now"]
