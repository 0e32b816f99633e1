"""The commands and programs of README.md and docs/experiments.md, as they are written there."""

import re
from pathlib import Path

import pytest

from nerva.experiment.config import numerics
from tests.docs.blocks import blocks, commands, read
from tests.helpers import ROOT, Command

# The pages share a checkout, so that a run which both ask for is trained once.
pytestmark = pytest.mark.xdist_group("docs")

COMMANDS = {page: commands(page) for page in ("README.md", "docs/experiments.md")}
# `.ci/run` runs these in a fresh checkout.
BY_CI = {"make run"}
# `make run` runs these. tests/test_ui.py opens the UI.
BY_MAKE = {"make ui", "nerva ui", "snakemake --cores 4"} | {
    command
    for page in COMMANDS.values()
    for command in page
    if command.startswith((". .venv", "python3 -m venv", "python -m pip"))
}
QUICK = "snakemake --cores 4 --config experiment=quick data=digits"
MODIFIED = 'snakemake --cores 4 --config data=digits overrides="learning_rate.lr=0.1,0.03"'


def needs_mnist(command: str) -> bool:
    """Whether a command takes minutes and needs MNIST. Only its dry run is tested."""
    return "data=mnist" in command and command.startswith("snakemake")


def shown_summary() -> str:
    """The summary in the README, without the dataset's note, which is that of a machine without network access."""
    (shown,) = [text for text in blocks("README.md", "text") if text.startswith("digits-quick: ")]
    return "".join(line for line in shown.splitlines(keepends=True) if not line.startswith("  data "))


def test_ci_and_make_run_the_others() -> None:
    ci, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    for command in BY_CI:
        assert f"\n{command}\n" in ci
    assert "snakemake --cores $(CORES)" in makefile
    assert "CORES ?= 4" in makefile
    assert 'pytest -n 2 -m "not long and not slow and not backends and not cluster"' in makefile
    for words in ("--require-hashes -r requirements.lock", "--no-deps --no-build-isolation --editable ."):
        assert words in makefile
        assert any(words in command for command in BY_MAKE)


@pytest.mark.long
@pytest.mark.parametrize("page", ["README.md", "docs/experiments.md"])
def test_commands(reader: Command, checkout: Path, page: str) -> None:
    tested = [command for command in COMMANDS[page] if command not in BY_CI | BY_MAKE]
    assert len(tested) >= 5
    for command in tested:
        result = reader("bash", "-c", f"{command} --dry-run" if needs_mnist(command) else command)
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        if needs_mnist(command):
            assert "train" in result.stdout
        if command == QUICK:
            # The pipeline finds the runs that Hydra's multirun has trained just before.
            assert "12 runs: 0 to train, 12 already exist" in result.stderr
            # Native numerics round differently, and may give other digits.
            if not numerics.obstacle():
                assert (checkout / "results" / "digits-quick" / "summary.txt").read_text() == shown_summary()
        if command == MODIFIED:
            assert "\n6 of 12 runs done" not in result.stderr
            assert list(checkout.glob("results/digits-quick-*/report.html"))
        if command.startswith(("nerva replay", "snakemake --cores 4 replay")):
            (shown,) = [text for text in blocks(page, "text") if "identical" in text]
            verdicts = {line[12:] for line in shown.splitlines() if re.match("[0-9a-f]{12} ", line)}
            assert {line[12:] for line in result.stdout.splitlines() if "identical (" in line} == verdicts


def test_the_program_that_trains_a_network(reader: Command, checkout: Path) -> None:
    (program,) = blocks("README.md", "python")
    assert "After `nerva prepare digits`, this trains a network" in read("README.md")
    assert reader("nerva", "prepare", "digits").returncode == 0
    (checkout / "program.py").write_text(program)
    result = reader("python", "program.py")
    assert result.returncode == 0, result.stderr
    accuracy = float(result.stdout.splitlines()[-3].split("|")[4])
    assert accuracy > 0.9


def test_the_program_that_trains_an_experiment(reader: Command, checkout: Path) -> None:
    (program,) = blocks("docs/experiments.md", "python")
    (checkout / "program.py").write_text(program)
    result = reader("python", "program.py")
    assert result.returncode == 0, result.stderr
    ids = [line.split()[0] for line in result.stdout.splitlines() if " finished 0." in line]
    assert len(ids) == 12
    shown = reader("nerva", "id", "+experiment=quick", "data=digits").stdout
    assert ids == [line.split()[0] for line in shown.splitlines()]
