"""Keeping personal data out of records."""

import getpass
import os

import pytest

from nerva.experiment.records.privacy import private


@pytest.fixture
def home(monkeypatch) -> None:
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
        ("https://h/?Token=abc&secret=d", "https://h/?Token=…&secret=…"),
        ("seed=1", "seed=1"),
        ("data.path=/data/secret/mine.csv", "data.path=mine.csv"),
        ("data=csv 'data.path=/a b/mine.csv' results_dir=/x/y", "data=csv 'data.path=mine.csv' results_dir=/x/y"),
        ("data.path='/a/b/c'", "data.path='c'"),
        ("data.path=~/x/mine.csv seed=1", "data.path=mine.csv seed=1"),
        ("data.path=x/mine.csv", "data.path=x/mine.csv"),
        ("data.path=../../jane/mine.csv seed=1", "data.path=mine.csv seed=1"),
        ("data.path=x/../../jane/mine.csv", "data.path=mine.csv"),
    ],
)
def test_what_is_kept_of_a_text(home, text: str, expected: str) -> None:
    assert private(text) == expected


def test_a_home_that_is_a_link(tmp_path, monkeypatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert private(f"{tmp_path}/data/x {tmp_path}/link/y") == "~/x ~/y"


def test_a_user_without_a_name_and_a_home(monkeypatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert private("/a/b") == "/a/b"
