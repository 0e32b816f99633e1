"""Where a run comes from, and nothing of who ran it."""

import getpass
import json
import os
import re
import socket
import subprocess

import pytest

from nerva.experiment.records.privacy import private
from nerva.experiment.run import provenance as provenance_module
from nerva.experiment.run.provenance import environment, patch
from tests.helpers import ROOT, Command


@pytest.fixture
def home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("results_dir=/home/jane/results", "results_dir=~/results"),
        ("/home/jane", "~"),
        ("/home/janet/x", "/home/janet/x"),
        ("[file:///home/jane], (/home/jane/x)", "[file://~], (~/x)"),
        ("/home/jane.old /home/jane-x", "/home/jane.old /home/jane-x"),
        ("https://cdn.example.org/gh/x/mnist@master/", "https://cdn.example.org/gh/x/mnist@master/"),
        ("results_dir=/scratch/jane/results", "results_dir=/scratch/…/results"),
        ("sqlite:////data/jane", "sqlite:////data/…"),
        ("jane=1 seed/jane2", "jane=1 seed/jane2"),
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


def test_a_home_that_is_a_link_and_none(tmp_path, monkeypatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert private(f"{tmp_path}/data/x {tmp_path}/link/y") == "~/x ~/y"

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert private("/a/b") == "/a/b"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a package, and what git says there."""
    package = tmp_path / "repository" / "nerva"
    package.mkdir(parents=True)
    monkeypatch.setattr(provenance_module, "PACKAGE", package)
    lines = [f"line {i % 7}\r\n" for i in range(300)]
    (package / "a.py").write_bytes("".join(lines).encode())

    def git(*arguments: str) -> None:
        command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", *arguments]
        subprocess.run(command, cwd=package.parent, check=True, capture_output=True)

    for arguments in (["init", "-q"], ["config", "core.autocrlf", "false"], ["config", "diff.context", "0"]):
        git(*arguments)
    git("add", ".")
    git("commit", "-qm", "first")
    forget()
    yield package, git
    forget()


def forget() -> None:
    """What git said once."""
    patch.cache_clear()
    provenance_module._git.cache_clear()


def test_a_patch_gives_the_code_back(repository, tmp_path, monkeypatch) -> None:
    package, git = repository
    # Of another repository, as where git calls a hook.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nosuch"))
    assert patch() == b""
    forget()
    content = (package / "a.py").read_bytes()
    (package / "a.py").write_bytes(content[:2000] + b"x = 1\r\n" + content[2000:])
    (package / "new.py").write_bytes(b"y = 1\r\nz = 2\n")
    changed, difference = (package / "a.py").read_bytes(), patch()
    monkeypatch.delenv("GIT_DIR")
    git("reset", "-q", "--hard")
    (package / "new.py").unlink()
    (tmp_path / "uncommitted.patch").write_bytes(difference)
    git("apply", str(tmp_path / "uncommitted.patch"))
    assert (package / "a.py").read_bytes() == changed
    assert (package / "new.py").read_bytes() == b"y = 1\r\nz = 2\n"


def test_what_is_staged_and_taken_back_is_no_change(repository) -> None:
    package, git = repository
    content = (package / "a.py").read_bytes()
    (package / "a.py").write_bytes(b"other\n")
    git("add", ".")
    (package / "a.py").write_bytes(content)
    assert provenance_module._git()["dirty"] is False


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
