"""Plans in files: whole, typed, and valid only as long as nothing of which they were made has changed."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from nerva.errors import NervaError
from nerva.experiment.sweep import planning
from nerva.experiment.sweep.plan import Plan, read_plan, write_plan
from nerva.experiment.sweep.planning import load_or_write_plan, plan_experiment
from tests.helpers import ROOT, command_in

OVERRIDES = ["data=digits", "train.epochs=1"]


def test_a_plan_is_read_as_it_was_written(results) -> None:
    plan, path = load_or_write_plan("quick", [*OVERRIDES, "optimizer=momentum,nesterov"])
    assert path.parent == results / "sweeps"
    assert read_plan(path) == plan
    part = Plan(plan.points[:2], plan.sweep, plan.modified)
    write_plan(part, results / "part.plan")
    assert read_plan(results / "part.plan") == part


@pytest.fixture
def planned(monkeypatch) -> list[str]:
    """The ids of the points that are planned, as they are planned."""
    ids: list[str] = []
    original = planning.identify

    def identify(config):
        identity = original(config)
        ids.append(identity.run_id)
        return identity

    monkeypatch.setattr(planning, "identify", identify)
    return ids


def test_a_plan_is_kept_while_nothing_changes(results, planned, monkeypatch, tmp_path) -> None:
    plan, path = load_or_write_plan("quick", OVERRIDES)
    assert len(planned) == 12
    assert load_or_write_plan("quick", OVERRIDES) == (plan, path)
    assert plan_experiment("quick", OVERRIDES) == plan
    assert len(planned) == 12
    # Other overrides, a configuration file and an environment variable that Hydra reads give another plan.
    _, other = load_or_write_plan("quick", [*OVERRIDES, "seed=1,2,3"])
    assert len(planned) == 12 + 18
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "experiment" / "quick.yaml").write_text(
        (conf / "experiment" / "quick.yaml").read_text().replace("0.1,0.01", "0.1,0.01,0.02")
    )
    for module in ("nerva.experiment.paths", "nerva.experiment.config.composition", "nerva.experiment.sweep.planning"):
        monkeypatch.setattr(f"{module}.conf_dir", lambda: conf)
    changed, third = load_or_write_plan("quick", OVERRIDES)
    assert len(changed.points) == 18
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with_store, fourth = load_or_write_plan("quick", OVERRIDES)
    assert with_store.config.tracking.uri == "http://127.0.0.1:9"
    assert len({path, other, third, fourth}) == 4
    assert read_plan(path) == plan  # jobs that read the first plan are not disturbed


def test_looking_writes_no_plan(results) -> None:
    assert len(plan_experiment("quick", OVERRIDES).points) == 12
    assert not results.exists()


DAMAGE = {
    "nothing": (lambda text: "", "format: Field required"),
    "no points": (
        lambda text: json.dumps(json.loads(text.splitlines()[0]) | {"sha256": hashlib.sha256().hexdigest()}) + "\n",
        "it has no points",
    ),
    "half": (lambda text: text[: len(text) * 9 // 10], "it was changed after nerva wrote it"),
    "edited": (lambda text: text.replace('"seed": 1', '"seed": 7', 1), "it was changed after nerva wrote it"),
    "version": (lambda text: text.replace('"format": 2', '"format": 9', 1), "its format is 9"),
    "binary": (lambda text: "\0\1" + text, "Invalid JSON"),
    "other": (lambda text: '{"a": 1}\n', "format: Field required"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_plan_is_refused_by_jobs_and_made_again_by_the_pipeline(results, tmp_path, damage, caplog) -> None:
    plan, path = load_or_write_plan("quick", OVERRIDES)
    change, reason = DAMAGE[damage]
    path.write_text(change(path.read_text()))
    with pytest.raises(NervaError, match=rf"{re.escape(str(path))} is not a valid plan: .*{reason}"):
        read_plan(path)
    result = command_in(tmp_path)("nerva", "train", "--plan", str(path))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "is not a valid plan" in result.stderr
    assert load_or_write_plan("quick", OVERRIDES) == (plan, path)
    assert "The sweep is planned again" in caplog.text
    assert read_plan(path) == plan


def test_a_plan_that_does_not_exist() -> None:
    with pytest.raises(NervaError, match=r"the plan no\.plan can't be read: No such file"):
        read_plan(Path("no.plan"))


def test_a_plan_has_no_passwords(results, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://jane:secret@127.0.0.1:9")
    plan, path = load_or_write_plan("quick", [*OVERRIDES, "data.mirrors=['http://jane:secret@h/']"])
    assert "secret" not in path.read_text()
    assert read_plan(path).config.tracking.uri == plan.config.tracking.uri == "http://jane:secret@127.0.0.1:9"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert read_plan(path).config.tracking.uri == "http://127.0.0.1:9"


def test_one_failing_run_does_not_end_the_others_of_its_batch(results, tmp_path) -> None:
    run = command_in(tmp_path)
    overrides = [*OVERRIDES, "tracking=off", "optimizer=momentum", "learning_rate.lr=1e30,0.1", "seed=1,2"]
    plan, path = load_or_write_plan("quick", overrides)
    # A file where the folder of a run should be.
    (results / "runs").mkdir()
    plan.points[2].folder.path.write_text("")
    result = run("nerva", "train", "--plan", str(path))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert f"nerva: 1 of 4 runs could not be trained: {plan.points[2].run_id}" in result.stderr
    statuses = [json.loads(p.folder.record.read_text())["status"] for p in plan.points if p != plan.points[2]]
    assert sorted(statuses) == ["failed", "failed", "finished"]
    plan.points[2].folder.path.unlink()
    result = run("nerva", "train", "--plan", str(path))
    assert result.returncode == 3, result.stderr
    assert "2 of 4 runs diverged" in result.stderr
    assert result.stdout.count("already exists") == 3
