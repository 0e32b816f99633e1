"""`nerva compare`."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.ranking import load
from nerva.experiment.sweep.planning import plan_experiment
from tests.helpers import Command, command_in, failed_plainly, run_main, trained

COMPARE = ("nerva", "compare", "quick", "data=digits", "train.epochs=2", "tracking=off")


@pytest.fixture(scope="module")
def trained_sweep(tmp_path_factory) -> tuple[Command, Path]:
    """A sweep that was trained, a command in this process, and the folder of both."""
    folder = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for point in plan_experiment("quick", COMPARE[3:]).points:
            trained(point.config)

    def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.delenv("NERVA_RESULTS_DIR", raising=False)
            return run_main(*map(str, arguments), **environment)

    return command, folder


def test_tables(trained_sweep) -> None:
    command, folder = trained_sweep
    result = command(*COMPARE, "--top", "2", "--output", "top.json")
    assert result.returncode == 0, result.stderr
    top = json.loads((folder / "top.json").read_text())
    assert len(top) == 2
    runs = [RunFolder(path.parent) for path in folder.glob("results/runs/*/run.json")]
    board = load(runs, "digits-quick").board
    assert top[0]["validation_accuracy"] == board["validation_accuracy"][0]  # with all digits
    assert result.stdout.splitlines()[1].strip().startswith("1 ")
    for name in ("top.md", "top.tex"):
        assert command(*COMPARE, "--top", "2", "--output", name).returncode == 0
        assert f"{top[0]['validation_accuracy']:.2%}" in (folder / name).read_text().replace("\\%", "%")
    assert command(*COMPARE, "--by", "optimizer", "--output", "by.csv").returncode == 0
    optimizers = {"GradientDescent", "Momentum(mu=0.9)", "Nesterov(mu=0.9)"}
    assert set(pd.read_csv(folder / "by.csv")["optimizer"]) == optimizers


def test_mistakes(trained_sweep) -> None:
    command, _ = trained_sweep
    failed_plainly(command(*COMPARE, "flagship"), "One experiment at a time, not quick and flagship.", code=2)
    failed_plainly(command(*COMPARE, "--output", "x.txt"), "--output should end in .csv, .json, .md or .tex, not x.txt")
    failed_plainly(command(*COMPARE, "--by", "loss"), '"loss" was not swept')


def test_a_comparison_says_what_is_important(trained_sweep) -> None:
    command, folder = trained_sweep
    result = command(*COMPARE)
    (path,) = folder.glob("results/digits-*/importance.csv")
    shares = pd.read_csv(path).set_index("factor")["share"]
    assert set(shares.index) == {"optimizer", "learning_rate.lr", "seeds and interactions"}
    assert shares.sum() == pytest.approx(1)
    assert ", ".join(f"{name} {share:.0%}" for name, share in shares.items()) in result.stdout


def test_a_table_does_not_import_what_draws(trained_sweep) -> None:
    _, folder = trained_sweep
    heavy = "{'matplotlib', 'plotly', 'mlflow', 'sklearn', 'scipy.stats'}"
    code = f"import sys; from nerva.cli import main\ntry: main()\nfinally: print({heavy} & {{*sys.modules}})"
    result = command_in(folder)(sys.executable, "-c", code, *COMPARE[1:], "--top", "1")
    assert result.returncode == 0, result.stderr
    # The seeds of the sweep are compared by a test of scipy.stats.
    assert result.stdout.splitlines()[-1] == "{'scipy.stats'}"


def test_a_report_identifies_nobody(trained_sweep) -> None:
    command, folder = trained_sweep
    result = command(*COMPARE, "seed=1", "tracking.uri=http://jane:geheim@127.0.0.1:9", HOME=str(folder))
    assert result.returncode == 0, result.stderr
    reports = "".join(path.read_text() for path in folder.glob("results/digits-*/report.html"))
    assert "tracking.uri=http://127.0.0.1:9" in reports
    assert "geheim" not in reports + result.stdout


def test_runs_that_are_not_trained_yet(trained_sweep) -> None:
    command, _ = trained_sweep
    overrides = ("data=digits", "train.epochs=1", "seed=1,2", "tracking=off")
    message = "2 of 2 runs of digits-single are not trained yet; try: nerva train -m +experiment=single data=digits"
    failed_plainly(command("nerva", "compare", "single", *overrides), message)
    assert command("nerva", "train", "-m", *overrides).returncode == 0
    result = command("nerva", "compare", "single", *overrides)
    assert result.returncode == 0, result.stderr
    assert "digits-single: 2 runs of 1 configuration" in result.stdout


def test_a_damaged_run_is_named_and_the_rest_is_compared(trained_sweep) -> None:
    command, folder = trained_sweep
    record = next(folder.glob("results/runs/*/run.json"))
    content = record.read_bytes()
    record.write_bytes(content[:100])
    try:
        result = command(*COMPARE)
    finally:
        record.write_bytes(content)
    failed_plainly(result, f"nerva: 1 of 12 runs of digits-quick left out:\n  {record.parent.name}: ")
    assert "digits-quick: 11 runs of 6 configurations" in result.stdout
    assert command(*COMPARE).returncode == 0
