"""The provenance of a run: where it comes from, and nothing about the person who ran it."""

import getpass
import json
import re
import socket

import pytest

from nerva.experiment.identity.identify import CODE_SCHEME, identify
from nerva.experiment.run import repository
from nerva.experiment.run.provenance import collect
from tests.helpers import ROOT, Command, configured


def test_what_is_collected(recorded, results, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.setattr("sys.argv", ["/home/jane/bin/nerva", "train", "results_dir=/home/jane/x", "question=a b"])
    config = configured("model.hidden=[8]", "question=Why", "sweep={id: 0123, name: quick}")
    config.data.note = "it is prepared in /home/jane/results/data"
    identity = identify(config)
    origin = collect(config, identity, ["results_dir=/home/jane/x"], "0" * 64)
    assert (origin.run_id, origin.configuration_id) == (identity.run_id, identity.configuration_id)
    assert origin.determined_by == identity.determined_by
    assert origin.overrides == ["results_dir=~/x"]
    assert origin.command == "nerva train results_dir=~/x 'question=a b'"
    assert (origin.code.fingerprint, origin.code.scheme) == (identity.code_fingerprint, CODE_SCHEME)
    assert origin.data.note == "it is prepared in ~/results/data"
    assert origin.data.sha256 == "0" * 64
    assert origin.part_of is not None
    assert (origin.part_of.question, origin.part_of.sweep.name) == ("Why", "quick")


def test_code_outside_of_a_repository_is_neither_clean_nor_dirty(recorded, monkeypatch) -> None:
    monkeypatch.setattr(repository, "commit", lambda: None)
    config = configured("model.hidden=[8]")
    code = collect(config, identify(config), [], "").code
    assert (code.git_commit, code.dirty, code.untracked) == (None, None, [])


@pytest.mark.long
def test_a_record_has_nothing_about_the_person(run_command: Command, tmp_path) -> None:
    home = tmp_path / "home"
    overrides = ("data=digits", "train.epochs=1", f"results_dir={home}/results")
    result = run_command("nerva", "train", *overrides, SECRET_TOKEN="hunter2")
    assert result.returncode == 0, result.stderr
    (folder,) = (home / "results" / "runs").glob("[!.]*")
    origin = json.loads((folder / "provenance.json").read_text())
    assert origin["overrides"] == ["data=digits", "train.epochs=1", "results_dir=~/results"]
    assert origin["command"] == "nerva train data=digits train.epochs=1 results_dir=~/results"
    assert origin["data"]["source"].startswith("scikit-learn ")
    if (ROOT / ".git").exists():
        assert re.fullmatch("[0-9a-f]{40}", origin["code"]["git_commit"])
        assert origin["code"]["dirty"] == (folder / "uncommitted.patch").exists()
    record = json.loads((folder / "run.json").read_text())
    assert record["peak_memory_mb"] > 10
    assert record["seconds_per_epoch"] > 0
    assert record["started"] < record["ended"]

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/results/mlflow.db")
    (logged,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert logged.data.tags["nerva.environment.kernel"] == origin["environment"]["kernel"]
    assert logged.data.tags["nerva.overrides"] == "data=digits train.epochs=1 results_dir=~/results"
    secrets = [str(home), socket.gethostname(), "hunter2", "SECRET_TOKEN"]
    secrets += [f"/{getpass.getuser()}"] if getpass.getuser() != "root" else []
    texts = {path.name: path.read_text(errors="replace") for path in folder.iterdir() if path.suffix != ".patch"}
    texts["MLflow"] = json.dumps([logged.data.tags, logged.data.params])
    for name, text in texts.items():
        for secret in secrets:
            assert secret not in text, (name, secret)
    assert logged.info.user_id == ""
