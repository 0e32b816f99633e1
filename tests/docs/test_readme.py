"""The README's commands, as they stand there, in a copy of the checkout."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import ROOT, Command, command_in

README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]

# Run by .ci/run, on a fresh checkout.
BY_CI = [command for command in COMMANDS if command in ("make run", "make test", "make lint")]
# What `make run` runs; tests/test_ui.py opens the UI.
BY_MAKE = [c for c in COMMANDS if c.startswith((". .venv", "python"))] + ["snakemake --cores 4", "make ui", "nerva ui"]
# These take minutes, or MNIST: only what they would do is looked at.
PLANNED = [command for command in COMMANDS if "data=mnist" in command and "snakemake" in command]
# The manual's commands are run by tests/test_manual.py.
(MANUALS,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "manual.md").read_text(), re.DOTALL)
HERE = [command for command in COMMANDS if command not in BY_CI + BY_MAKE + PLANNED + MANUALS.splitlines()]


def test_ci_and_make_run_the_others() -> None:
    ci, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    for command in BY_CI:
        assert f"\n{command}\n" in ci
    assert "snakemake --cores $(CORES)" in makefile
    assert "CORES ?= 4" in makefile
    assert 'pytest -n 2 -m "not slow"' in makefile
    for words in ("--require-hashes -r requirements.lock", "--no-deps --no-build-isolation --editable ."):
        assert words in makefile
        assert words in README


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, empty_store) -> Command:
    folder: Path = tmp_path_factory.mktemp("checkout")
    (folder / "results").mkdir()
    shutil.copy(empty_store, folder / "results")
    for name in ("Snakefile", "profiles", "workflow", "conf"):
        subprocess.run(["cp", "-r", ROOT / name, folder], check=True)
    return command_in(folder)


def test_commands(checkout: Command) -> None:
    assert len(HERE) >= 8
    for command in HERE:
        result = checkout("bash", "-c", command)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        # The pipeline finds what Hydra's multirun has made just before.
        if command == "snakemake --cores 4 --config experiment=quick data=digits":
            assert "(Rule: compare)" in result.stderr
            assert "(Rule: train)" not in result.stderr
    for command in PLANNED:
        result = checkout("bash", "-c", f"{command} --dry-run")
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        assert "train" in result.stdout


def test_the_experiment_in_the_text_is_the_one_in_the_file() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = (ROOT / "conf" / "experiment" / "quick.yaml").read_text()
    assert shown == "".join(line for line in file.splitlines(True) if not line.startswith("# ") or "@package" in line)


def test_the_paths_in_the_text_are_there() -> None:
    for path in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / path).exists(), path
