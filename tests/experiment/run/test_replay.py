"""Replays: a run is trained again, and the verdict says that it is identical, or what differs."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import yaml

from nerva.data import Prepared
from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run import replay as replay_module
from nerva.experiment.run.replay import Verdict, replay
from nerva.utilities import load_dict_from_npz, save_dict_to_npz
from tests.helpers import DIGITS, MINE, ROOT, USER_DEFINED, Command, configured, trained


def replayed(folder: RunFolder, trust: bool = False) -> Verdict:
    return replay(folder, folder.path.parent.parent, trust=trust)


def edit_json(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_replay_is_identical_and_changes_nothing(recorded, results) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    verdict = replayed(recorded)
    assert (verdict.identical, verdict.context, verdict.advice) == (True, [], [])
    assert verdict.compared == "7 metrics of 3 epochs, 1,220 weights"
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_a_run_that_diverged_is_replayed() -> None:
    assert replayed(trained(configured("learning_rate.lr=1e30"))).identical


@pytest.mark.parametrize("name", ["weights", "best"])
def test_a_weight_that_differs(recorded, name: str) -> None:
    path = getattr(recorded, name)
    arrays = load_dict_from_npz(path)
    was = arrays["W2"][3, 5]
    arrays["W2"][3, 5] = np.nextafter(was, np.float32(9))
    save_dict_to_npz(path, arrays)
    (difference,) = replayed(recorded).differences
    assert difference == (
        f"{name}.npz: W2[3, 5]: recorded {arrays['W2'][3, 5].item()!r}, replayed {was.item()!r} (1 of 80 differ)"
    )


def test_a_weight_that_is_missing_or_has_another_shape(recorded) -> None:
    arrays = load_dict_from_npz(recorded.weights)
    bias = arrays.pop("b1")
    save_dict_to_npz(recorded.weights, arrays)
    assert replayed(recorded).differences == ["weights.npz: b1 was not recorded"]
    save_dict_to_npz(recorded.weights, arrays | {"b1": bias[:3], "c": bias})
    assert replayed(recorded).differences == ["weights.npz: b1 was float32 (3,), and is float32 (8,)"]
    save_dict_to_npz(recorded.weights, arrays | {"b1": bias, "c": bias})
    assert replayed(recorded).differences == ["weights.npz: c is not in the replay"]


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        (
            "mu: 0.9",
            "mu: 0.8",
            "optimizer: the run was trained with Momentum(mu=0.9), but config.yaml has Momentum(mu=0.8)",
        ),
        ("seed: 1", "seed: 2", "seed: the run was trained with 1, but config.yaml has 2"),
        ("mode: portable", "mode: native", "numerics: the run was trained with portable, but config.yaml has native"),
        ("- 8", "- 7", "sizes: the run was trained with [64, 8, 10], but config.yaml has [64, 7, 10]"),
        ("title: scikit", "title: Scikit", "config.yaml has changed since it was written: its sha256 was "),
        ("name: Momentum", "name: Nosuch", 'optimizer: unknown optimizer "Nosuch"'),
    ],
)
def test_a_value_of_the_configuration_that_differs(recorded, old: str, new: str, difference: str) -> None:
    text = recorded.config.read_text()
    if old not in text:
        pytest.skip(f"portable numerics are not supported: {numerics.obstacle()}")
    recorded.config.write_text(text.replace(old, new))
    assert replayed(recorded).differences[0].startswith(difference)


def test_the_configuration_and_its_provenance_are_both_changed(recorded) -> None:
    recorded.config.write_text(recorded.config.read_text().replace("seed: 1", "seed: 2"))
    edit_json(recorded.provenance, lambda origin: origin["determined_by"].update(seed=2))
    (difference,) = replayed(recorded).differences
    assert difference.startswith("provenance.json describes the run ")
    assert difference.endswith(f", not {recorded.run_id}")


def test_data_that_differ(recorded, results) -> None:
    path = results / "data" / "digits.npz"
    content = path.read_bytes()
    path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    (difference,) = replayed(recorded).differences
    assert difference.startswith(f"data: {path} is not")
    # A whole file, but of other data.
    path.write_bytes(content)
    arrays = load_dict_from_npz(path)
    arrays["Xtrain"][7, 7] += 1
    np.savez(path, **arrays)
    (difference,) = replayed(recorded).differences
    assert difference.startswith(f"data: {path} is not what was prepared: its sha256 is ")
    # Data that are missing are prepared again.
    for path in (results / "data").glob("digits.*"):
        path.unlink()
    assert replayed(recorded).identical


def test_a_metric_that_differs(recorded) -> None:
    lines = recorded.metrics.read_text().splitlines()
    row = lines[2].split(",")
    was, row[5] = row[5], "0.9999"
    lines[2] = ",".join(row)
    recorded.metrics.write_text("\n".join(lines) + "\n")
    (difference,) = replayed(recorded).differences
    assert difference == f"epoch 1, validation_accuracy: recorded 0.9999, replayed {was}"
    recorded.metrics.write_text("\n".join(lines[:2]) + "\n")
    assert "0 epochs were recorded, and the replay gives 2" in replayed(recorded).differences[0]


def test_a_result_that_differs(recorded) -> None:
    was = recorded.read_record().best.test_accuracy
    edit_json(recorded.record, lambda record: record["best"].update(test_accuracy=1.0))
    assert replayed(recorded).differences == [f"run.json: best.test_accuracy: recorded 1.0, replayed {was!r}"]


def test_another_environment_is_context(recorded) -> None:
    edit_json(recorded.provenance, lambda origin: origin["environment"].update(numpy="1.0", cpu="Z80"))
    verdict = replayed(recorded)
    assert "environment: cpu was Z80, is " in verdict.context[0]
    assert "environment: numpy was 1.0, is " in verdict.context[1]
    assert verdict.differences[0].startswith("provenance.json has changed since it was written")


def test_a_copy_under_another_name(recorded) -> None:
    other = recorded.path.with_name("0123456789ab")
    shutil.copytree(recorded.path, other)
    differences = replayed(RunFolder(other)).differences
    assert f"run.json is that of the run {recorded.run_id}" in differences
    assert f"provenance.json is that of the run {recorded.run_id}" in differences


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("run.json", "files", None),
        ("run.json", "weights", "x"),
        ("provenance.json", "overrides", 7),
        ("provenance.json", "determined_by", "x"),
        ("provenance.json", "code", {}),
    ],
)
def test_a_damaged_record_is_reported(recorded, name: str, key: str, value: object) -> None:
    edit_json(recorded.path / name, lambda content: content.update({key: value}))
    with pytest.raises(NervaError, match=rf"{name} is damaged \({key}.*: .*\); delete {recorded.path}"):
        replayed(recorded)


def test_a_run_that_has_not_ended(recorded) -> None:
    recorded.record.unlink()
    with pytest.raises(NervaError, match="has not ended"):
        replayed(recorded)


def test_data_that_cannot_be_obtained_are_not_a_difference(recorded, results, monkeypatch) -> None:
    def prepare(*_: object) -> None:
        raise NervaError("MNIST is not here")

    monkeypatch.setattr(replay_module, "prepare", prepare)
    (results / "data" / "digits.npz").unlink()
    with pytest.raises(NervaError, match="MNIST is not here"):
        replayed(recorded)


def test_logged_metrics_are_compared() -> None:
    rows = [{"epoch": 0.0, "train_loss": 1.0}, {"epoch": 1.0, "train_loss": float("nan")}]

    def compared(values: list[tuple[int, float]], source: str = "the replay gives", *overrides: str) -> list[str]:
        return list(replay_module._logged({"train_loss": values}, rows, configured(*overrides), source))

    assert compared([(0, 1.0), (1, float("nan"))]) == []
    assert compared([(0, 1.0), (1, 2.0)]) == ["epoch 1, train_loss: MLflow has 2.0, and the replay gives nan"]
    assert compared([(0, 1.0)], "metrics.csv has") == ["train_loss: MLflow has 1 values, and metrics.csv has 2"]
    # MLflow has no values of epochs in which the training set was not evaluated.
    assert compared([(0, 1.0)], "metrics.csv has", "train.evaluate_training=2") == []


# Trust: nothing in a folder names code to run, unless the caller says so.

EXECUTED = "from pathlib import Path\nPath('executed').touch()\n"


def consistent(folder: RunFolder, change: Callable[[dict[str, Any]], None]) -> RunFolder:
    """A copy of a run whose records were changed by somebody who knows how their hashes are computed."""
    origin, record = (json.loads(path.read_text()) for path in (folder.provenance, folder.record))
    config = yaml.safe_load(folder.config.read_text())
    change({"origin": origin, "config": config})
    run_id = digest({"config": origin["determined_by"], "code": origin["code"]["fingerprint"]})[:12]
    forged = RunFolder(folder.path.with_name(run_id))
    if forged.path != folder.path:
        shutil.copytree(folder.path, forged.path)
    forged.config.write_text(yaml.safe_dump(config))
    for path, content in ((forged.provenance, origin), (forged.record, record)):
        path.write_text(json.dumps(content | {"run_id": run_id}))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in forged.evidence}
    edit_json(forged.record, lambda content: content.update(files=files))
    return forged


HOSTILE = {
    "config.yaml names a module": lambda records: records["config"].update(imports=["hostile"]),
    "provenance.json names a module": lambda records: records["origin"]["determined_by"].update(
        imports={"hostile": "0"}
    ),
    "both name a module": lambda records: (
        records["config"].update(imports=["hostile"]),
        records["origin"]["determined_by"].update(imports={"hostile": "0"}),
    ),
    "neither names a module": lambda records: None,
    "a component names a module": lambda records: records["config"]["optimizer"].update(name="hostile.Optimizer"),
    "a layer names a module": lambda records: records["config"]["model"].update(layers=["hostile.Layer", "Linear"]),
    "an override names a module": lambda records: records["origin"].update(overrides=["imports=[hostile]"]),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("importable", [False, True])
def test_a_hostile_folder_executes_nothing(recorded, tmp_path, name: str, importable: bool, monkeypatch) -> None:
    folder = consistent(recorded, HOSTILE[name])
    folder.imports.write_text(json.dumps({"hostile.py": EXECUTED, "sitecustomize.py": EXECUTED, "nerva.py": EXECUTED}))
    if importable:
        # Modules of these names exist in the current folder and on the path of Python.
        (tmp_path / "hostile.py").write_text(EXECUTED)
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "hostile.py").write_text(EXECUTED)
        monkeypatch.syspath_prepend(tmp_path / "lib")
    before = {*sys.modules}
    verdict = replayed(folder)
    assert not verdict.identical
    assert not {module for module in {*sys.modules} - before if "hostile" in module}
    assert not list(tmp_path.rglob("executed"))
    if ".yaml" in name or ".json" in name:
        assert "recorded modules run only with --trust" in verdict.differences[0]


def test_a_verdict_names_the_modules_and_their_hashes(recorded) -> None:
    folder = consistent(recorded, HOSTILE["both name a module"])
    folder.imports.write_text(json.dumps({"hostile.py": EXECUTED, "\x1b[2J\rx.py": ""}))
    differences = replayed(folder).differences
    assert differences[:4] == [
        "it was not trained: recorded modules run only with --trust (in Python, trust=True)",
        "it imports hostile",
        f"hostile.py (sha256 {hashlib.sha256(EXECUTED.encode()).hexdigest()}): its text is in {folder.imports}",
        f"'\\x1b[2J\\rx.py' (sha256 {hashlib.sha256(b'').hexdigest()}): its text is in {folder.imports}",
    ]
    # What can be compared without training is.
    assert differences[4].startswith("imports.json has changed since it was written")


def test_trusted_modules_are_executed(recorded, tmp_path) -> None:
    """In a process of its own, because modules stay imported."""
    folder = consistent(recorded, HOSTILE["both name a module"])
    folder.imports.write_text(json.dumps({"hostile.py": EXECUTED}))
    program = (
        "from pathlib import Path\nfrom nerva.experiment.records.run_folder import RunFolder\n"
        "from nerva.experiment.run.replay import replay\n"
        f"print(replay(RunFolder(Path({str(folder.path)!r})), 'results', trust=True).differences)\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside", "a/b", "..", ""])
def test_a_dataset_cannot_lead_out_of_the_results(recorded, results, name: str) -> None:
    folder = consistent(recorded, lambda records: records["config"]["data"].update(name=name))
    (difference,) = replayed(folder).differences
    assert difference.startswith("data.name should be the name of a file, without folders")


def test_mirrors_of_a_stranger_are_not_asked(recorded, results, monkeypatch) -> None:
    def request(*_: object, **__: object) -> None:
        raise AssertionError("a replay uses the network")

    def change(records: dict[str, Any]) -> None:
        data = {"name": "stolen", "source": "idx", "sha256": "0" * 64, "mirrors": ["http://example.com"]}
        parts = ("train_images", "train_labels", "test_images", "test_labels")
        records["config"]["data"].update(
            data, files={part: {"archive": f"{part}.gz", "sha256": "0" * 64} for part in parts}
        )
        records["origin"]["determined_by"]["data"]["checksum"] = "0" * 64

    monkeypatch.setattr(requests.Session, "request", request)
    monkeypatch.setattr(requests.Session, "get", request)
    with pytest.raises(NervaError, match="the dataset stolen of this run is not prepared in "):
        replayed(consistent(recorded, change))
    assert not Prepared.of(configured().data, results / "data").npz.with_name("stolen.npz").exists()


def test_data_are_prepared_only_as_conf_data_describes_them(recorded, results) -> None:
    """A stranger may have written another source under a known name."""
    assert replayed(recorded).identical
    shutil.rmtree(results / "data")
    assert replayed(recorded).identical
    shutil.rmtree(results / "data")
    for source in ("idx", "auto", "os.system", ""):
        folder = consistent(recorded, lambda records, source=source: records["config"]["data"].update(source=source))
        with pytest.raises(NervaError, match="conf/data has no dataset of this name with the same source"):
            replayed(folder)
    assert not list(results.glob("data/*.npz"))


def test_only_a_commit_is_offered_as_a_commit(recorded) -> None:
    edit_json(
        recorded.provenance, lambda origin: origin["code"].update(git_commit="$(touch executed)", fingerprint="0")
    )
    assert not any("touch" in line for line in replayed(recorded).advice)


# The code that computed a run.


@pytest.mark.long
def test_recorded_modules_are_enough_to_train_a_run_again(run_command: Command, tmp_path) -> None:
    """All entry points give the same id, and with --trust a run is replayed without the files of its modules."""
    (tmp_path / "helper.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "mine.py").write_text(MINE)
    asked = run_command("nerva", "id", *DIGITS, *USER_DEFINED)
    result = run_command("nerva", "train", *DIGITS, *USER_DEFINED)
    assert result.returncode == 0, result.stderr
    (folder,) = tmp_path.glob("results/runs/[!.]*")
    assert asked.stdout.split()[0] == folder.name
    (tmp_path / "helper.py").write_text("FACTOR = 3.0\n")
    result = run_command("nerva", "replay", folder, "--trust")
    assert result.returncode == 1
    assert "  code: changed helper\n" in result.stdout
    assert f"helper.py, mine.py: the texts in {folder}/imports.json" in result.stdout
    for name in ("helper.py", "mine.py"):
        (tmp_path / name).unlink()
    result = run_command("nerva", "replay", folder)
    assert result.returncode == 1
    assert "recorded modules run only with --trust" in result.stdout
    result = run_command("nerva", "replay", folder, "--trust")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "identical" in result.stdout


@pytest.mark.long
def test_other_code_is_named_and_its_commit_is_offered(run_command: Command, tmp_path) -> None:
    """In a repository of its own. After its commit, one function is changed, and a file is added."""
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
    result = run_command(*train, **path)
    assert result.returncode == 0, result.stderr
    (folder,) = tmp_path.glob("results/runs/*/run.json")
    run_id = folder.parent.name
    origin = json.loads((folder.parent / "provenance.json").read_text())
    assert (origin["code"]["git_commit"], origin["code"]["dirty"]) == (commit, False)
    assert not (folder.parent / "uncommitted.patch").exists()

    optimizers = clone / "nerva" / "optimizers.py"
    text = optimizers.read_text()
    edited = text.replace("class GradientDescentOptimizer(Optimizer):", "class GradientDescentOptimizer(Base):")
    optimizers.write_text(
        edited.replace("class GradientDescent", "class Base(Optimizer):\n    pass\n\n\nclass GradientDescent")
    )
    (clone / "nerva" / "mine.py").write_text("x = 1\n")
    result = run_command(*nerva, "replay", run_id, **path)
    assert result.returncode == 0, result.stderr
    assert "identical" in result.stdout
    assert "code: changed nerva/optimizers.py: GradientDescentOptimizer" in result.stdout
    assert "code: new nerva/optimizers.py: Base" in result.stdout
    assert f"git checkout {commit}" in result.stdout

    # A run that is trained now records the patch, which restores its code.
    assert run_command(*train, **path).returncode == 0
    (other,) = (p.parent for p in tmp_path.glob("results/runs/*/run.json") if p.parent.name != run_id)
    origin = json.loads((other / "provenance.json").read_text())
    assert (origin["code"]["dirty"], origin["code"]["untracked"]) == (True, ["nerva/mine.py"])
    changed = {p: p.read_text() for p in (clone / "nerva").glob("*.py")}
    for arguments in (["checkout", "-q", "."], ["clean", "-qfd"]):
        subprocess.run([*git, *arguments], check=True)
    result = run_command(*nerva, "replay", other, **path)
    assert f"git apply {other}/uncommitted.patch" in result.stdout
    assert f"git checkout {commit}" in result.stdout
    subprocess.run([*git, "apply", str(other / "uncommitted.patch")], check=True)
    assert {p: p.read_text() for p in (clone / "nerva").glob("*.py")} == changed
    assert run_command(*nerva, "replay", other, **path).returncode == 0
