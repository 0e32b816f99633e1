"""The commit of the code, and what has changed since."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nerva.experiment.run import repository
from nerva.experiment.run.repository import commit, patch, untracked

Git = Callable[..., None]


def forget() -> None:
    """Let git be asked again."""
    for cached in (commit, patch, untracked):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[Path]:
    """A package in a repository of its own."""
    package = tmp_path / "repository" / "nerva"
    package.mkdir(parents=True)
    monkeypatch.setattr(repository, "PACKAGE", package)
    forget()
    yield package
    forget()


@pytest.fixture
def git(package) -> Git:
    """Run git there. One file is committed."""

    def git(*arguments: str) -> None:
        command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", *arguments]
        subprocess.run(command, cwd=package.parent, check=True, capture_output=True)

    (package / "a.py").write_bytes("".join(f"line {i % 7}\r\n" for i in range(300)).encode())
    for arguments in (["init", "-q"], ["config", "core.autocrlf", "false"], ["config", "diff.context", "0"]):
        git(*arguments)
    git("add", ".")
    git("commit", "-qm", "first")
    return git


def test_a_clean_checkout(package, git: Git) -> None:
    assert len(commit() or "") == 40
    assert (patch(), untracked()) == (b"", [])


def test_a_package_outside_of_a_repository(package) -> None:
    assert (commit(), patch(), untracked()) == (None, b"", [])


def test_without_git(package, git: Git, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert (commit(), patch(), untracked()) == (None, b"", [])


def test_the_patch_restores_the_code(package, git: Git, tmp_path, monkeypatch) -> None:
    # A variable of another repository, as a hook of git sets it.
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nosuch"))
    content = (package / "a.py").read_bytes()
    (package / "a.py").write_bytes(content[:2000] + b"x = 1\r\n" + content[2000:])
    (package / "new.py").write_bytes(b"y = 1\r\nz = 2\n")
    (package.parent / "notes.txt").write_text("not relevant")
    changed, difference = (package / "a.py").read_bytes(), patch()
    assert untracked() == ["nerva/new.py"]
    monkeypatch.delenv("GIT_DIR")
    git("reset", "-q", "--hard")
    (package / "new.py").unlink()
    (tmp_path / "uncommitted.patch").write_bytes(difference)
    git("apply", str(tmp_path / "uncommitted.patch"))
    assert (package / "a.py").read_bytes() == changed
    assert (package / "new.py").read_bytes() == b"y = 1\r\nz = 2\n"


def test_what_is_staged_and_then_undone_is_not_a_change(package, git: Git) -> None:
    content = (package / "a.py").read_bytes()
    (package / "a.py").write_bytes(b"other\n")
    git("add", ".")
    (package / "a.py").write_bytes(content)
    assert patch() == b""
