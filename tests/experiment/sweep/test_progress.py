"""The progress of runs: what is said of it, and how it looks in a terminal."""

import re
import sys
import time

import pytest
from filelock import FileLock

from nerva.experiment.identity.identify import run_id
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run.train import run
from nerva.experiment.sweep.progress import Progress, _duration
from tests.helpers import configured, in_terminal

# A row of the table of epochs.
ROW = re.compile(r" +\d+( \| +[\d.]+){6}")


def planned(*overrides: str) -> tuple[RunFolder, object]:
    config = configured(*overrides)
    return RunFolder.of(config.results_dir, run_id(config)), config


def test_a_sweep_is_told_as_its_runs_end(results) -> None:
    runs = [planned(f"seed={seed}", "train.epochs=4") for seed in (1, 2, 3)]
    runs.append(planned("learning_rate.lr=1e30", "train.epochs=4"))
    run(runs[0][1], [])
    said: list[str] = []
    with Progress(runs, said.append, alone=False) as progress:
        progress.tell()
        assert said == []  # what was there before is no news
        time.sleep(0.5)
        run(runs[3][1], [])
        progress.tell()
        assert re.fullmatch(r"2 of 4 runs done, 1 failed, about \d s left", said.pop())
        # One that has come to its second epoch, and is held by whoever trains it.
        folder = run(runs[1][1], [])
        folder.summary.unlink()
        folder.metrics.write_text("".join(folder.metrics.read_text().splitlines(True)[:4]))
        with FileLock(folder.lock):
            progress.tell()
            assert said == []
            assert re.fullmatch(r"2 of 4 runs done, 1 running, 1 failed, about \d s left", progress.text())
        run(runs[1][1], [])
        run(runs[2][1], [])
        progress.tell()
        progress.tell()
        assert said == ["4 of 4 runs done, 1 failed"]


def test_runs_that_are_made_again_are_not_done_yet(results) -> None:
    runs = [planned(f"seed={seed}", "force=true") for seed in (1, 2)]
    for _, config in runs:
        run(config, [])
    time.sleep(0.05)
    said: list[str] = []
    with Progress(runs, said.append, alone=False) as progress:
        assert progress.text() == "0 of 2 runs done"
        run(runs[0][1], [])
        progress.tell()
    assert said[0].startswith("1 of 2 runs done")


def test_what_is_told_without_being_asked(results) -> None:
    runs = [planned(f"seed={seed}") for seed in (1, 2)]
    said: list[str] = []
    with Progress(runs, said.append, alone=True):
        for _, config in runs:
            run(config, [])
    assert said[-1] == "2 of 2 runs done"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "1 s"), (40.4, "40 s"), (89, "89 s"), (100, "2 min"), (3601, "60 min"), (7200, "2 h")]
)
def test_a_duration_has_the_digits_of_an_estimate(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


NERVA = (sys.executable, "-m", "nerva", "train", "data=digits", "tracking=off")


@pytest.mark.parametrize(
    ("arguments", "runs", "shown"),
    [
        ((), 1, r"epoch \d+ of 400, about \d+ s left"),
        (("-m", "seed=1,2"), 2, r"[01] of 2 runs done, 1 running, about \d+ s left"),
    ],
)
def test_a_bar_below_the_table(tmp_path, arguments: tuple[str, ...], runs: int, shown: str) -> None:
    result = in_terminal(tmp_path, *NERVA, "train.epochs=400", *arguments)
    assert result.returncode == 0, result.stdout
    assert re.search(rf"\d+%\|.{{20}}\| {shown}", result.stdout)
    # The rows above it are whole, and at the end no bar is left.
    lines = [re.split(r"\r(?!$)", line.rstrip("\r"))[-1] for line in result.stdout.split("\n")]
    rows = [line for line in lines if ROW.fullmatch(line)]
    assert len(rows) == 401 * runs
    assert "%|" not in lines[-1]
