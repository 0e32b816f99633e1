"""Where a run comes from, and nothing of who ran it."""

import getpass
import json
import re
import socket

import pytest

from nerva.experiment.privacy import private
from nerva.experiment.provenance import environment
from tests.conftest import ROOT, Command


@pytest.fixture
def home(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("results_dir=/home/jane/results", "results_dir=~/results"),
        ("/home/jane", "~"),
        ("/home/janet/x", "/home/janet/x"),
        ("a '/home/jane' b", "a '~' b"),
        ("tracking.uri=https://jane:secret@example.com/x", "tracking.uri=https://example.com/x"),
        ("http://jane:p@ss/word@example.com/x", "http://example.com/x"),
        ("[https://a:b@c.d,https://e:f@g.h]", "[https://c.d,https://g.h]"),
        ("postgresql://h/db?password=x&y=1", "postgresql://h/db?password=…&y=1"),
        ("seed=1", "seed=1"),
    ],
)
def test_private(home, text: str, expected: str) -> None:
    assert private(text) == expected


def test_an_environment() -> None:
    what = environment("native")
    assert {"python", "numpy", "blas", "libc", "lock_sha256", "cpu", "kernel", "simd", "threads"} <= set(what)
    assert all(what[key] for key in ("python", "numpy", "blas", "cpu", "system"))
    assert json.dumps(what)


def test_a_run_records_where_it_comes_from_and_not_from_whom(run: Command, tmp_path) -> None:
    home = tmp_path / "home"
    overrides = ("data=digits", "train.epochs=1", f"results_dir={home}/results")
    result = run("nerva", "train", *overrides, SECRET_TOKEN="hunter2")
    assert result.returncode == 0, result.stderr
    (folder,) = (home / "results" / "runs").glob("[!.]*")
    origin = json.loads((folder / "provenance.json").read_text())
    assert origin["overrides"] == ["data=digits", "train.epochs=1", "results_dir=~/results"]
    assert origin["command"] == "nerva train data=digits train.epochs=1 results_dir=~/results"
    assert origin["data"]["source"].startswith("scikit-learn ")
    if (ROOT / ".git").exists():
        assert re.fullmatch("[0-9a-f]{40}", origin["code"]["git_commit"])
        assert origin["code"]["dirty"] == (folder / "uncommitted.patch").exists()
    summary = json.loads((folder / "run.json").read_text())
    assert summary["peak_memory_mb"] > 10
    assert summary["seconds_per_epoch"] > 0
    assert summary["started"] < summary["ended"]

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
