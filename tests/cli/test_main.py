"""The command line as a whole."""

import os
import subprocess

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


def test_mistakes_are_reported(run: Command) -> None:
    failed_plainly(run("nerva", "trian"), "There is no command 'trian'", "train", code=2)
    failed_plainly(run("nerva", "prepare"), "Missing argument 'DATASET'", code=2)
    failed_plainly(run("nerva", "prepare", "mnits"), 'no "mnits" in conf/data; did you mean "mnist"?')
    failed_plainly(run("nerva", "train", "data=digits", "train.epochs=0"), "train.epochs should be 1 to 1000000, not 0")
    failed_plainly(
        run("nerva", "train", "data=digits", "-m", "train.epochs=1,0"), "train.epochs should be 1 to 1000000, not 0"
    )
    failed_plainly(run("nerva", "track", "quik"), 'there is no experiment "quik"')
    failed_plainly(run("nerva", "compare", "quick", "data=digits"), "12 of 12 runs of digits-quick are not trained yet")
    failed_plainly(
        run("nerva", "train", "data=mnist", NERVA_DATA_DIR="/nowhere"), "NERVA_DATA_DIR names /nowhere", "mnist/"
    )


@pytest.mark.long
def test_missing_results_are_reported(run: Command, tmp_path) -> None:
    failed_plainly(run("nerva", "ui"), "sqlite:///results/mlflow.db")
    failed_plainly(run("nerva", "ui", "tracking=off"), "tracking is off")
    failed_plainly(run("nerva", "ui", "--port", "99999"), "99999", code=2)
    failed_plainly(
        run("nerva", "track", "quick", "data=digits"), "none of the 12 runs of digits-quick has been trained yet"
    )
    assert not (tmp_path / "results" / "mlflow.db").exists()
    (tmp_path / "results").write_text("a file")
    failed_plainly(run("nerva", "train", "data=digits"), "results")


def test_the_package_works_when_it_is_built_and_installed(tmp_path) -> None:
    """The wheel must contain conf/."""
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
