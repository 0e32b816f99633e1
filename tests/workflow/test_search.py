"""Searches by Snakemake, and what other commands do with their runs."""

import json
import re
from pathlib import Path

import pytest

from tests.helpers import ROOT, Command, failed_plainly

SNAKEMAKE = ("snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2")
CONFIG = ("data=digits", "overrides=tracking=off train.epochs=2")
SPACE = "search=learning_rate.lr=interval(0.01,1) optimizer=momentum,nesterov"


def record(folder: Path) -> dict:
    (path,) = folder.glob("results/searches/*.json")
    return json.loads(path.read_text())


def test_a_dry_run_plans_the_search_and_nothing_else(run: Command, tmp_path) -> None:
    result = run(*SNAKEMAKE, "--dry-run", "search", "--config", *CONFIG, SPACE)
    assert result.returncode == 0, result.stderr
    assert re.search(r"search +1\n", result.stdout), result.stdout + result.stderr
    assert "train " not in result.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.long
def test_mistakes(run: Command) -> None:
    failed_plainly(run(*SNAKEMAKE, "search", "--config", *CONFIG, SPACE, "trials=0"), "trials")
    failed_plainly(run(*SNAKEMAKE, "search", "--config", *CONFIG, SPACE, "sampler=best"), "tpe")


@pytest.mark.long
def test_a_search_in_rounds_of_as_many_trials_as_cores(run: Command, tmp_path) -> None:
    command = (*SNAKEMAKE, "search", "--config", *CONFIG, SPACE, "pruner=median")
    result = run(*command, "trials=2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "seed=1,2 of the experiment is left out" in result.stdout
    assert re.search(r"digits-quick, search \w{8}: 2 trials: 2 complete", result.stdout)
    first = record(tmp_path)
    assert first["command"].endswith("--jobs=2")
    assert len(list(tmp_path.glob("results/runs/*/run.json"))) == 2
    assert "trial   1" in (tmp_path / "results" / "logs" / "search" / "digits-quick.log").read_text()
    # A larger number of trials extends it.
    result = run(*command, "trials=4")
    assert result.returncode == 0, result.stdout + result.stderr
    assert record(tmp_path)["trials"][:2] == first["trials"]
    assert len(record(tmp_path)["trials"]) == 4
    # The search is a sweep for other commands.
    report = tmp_path / "results" / f"digits-quick-{first['sweep']['id']}" / "report.html"
    before = report.read_text()
    report.unlink()
    compared = run("nerva", "compare", "quick", *CONFIG[:1], "tracking=off", "--sweep", first["sweep"]["id"])
    assert compared.returncode == 0, compared.stderr
    section = re.compile(r'<h2 id="search">.*?<h2 id="leaderboard">', re.DOTALL)
    assert section.findall(report.read_text()) == section.findall(before) != []
