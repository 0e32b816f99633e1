"""The progress of runs: its text, and its look in a terminal."""

import re
import sys
import time

import pytest
from filelock import FileLock

from nerva.experiment.config.schema import Config
from nerva.experiment.identity.identify import identify
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.sweep.progress import Progress, _duration
from tests.helpers import configured, in_terminal, trained

# A row of the table of epochs.
ROW = re.compile(r" +\d+( \| +[\d.]+){6}")


def planned(*overrides: str) -> tuple[RunFolder, Config]:
    config = configured(*overrides)
    return RunFolder.of(config.results_dir, identify(config).run_id), config


def test_text(results) -> None:
    runs = [planned(f"seed={seed}", "train.epochs=4") for seed in (1, 2, 3)]
    runs.append(planned("learning_rate.lr=1e30", "train.epochs=4"))
    trained(runs[0][1])
    progress = Progress(runs, print)
    assert progress.text() == "1 of 4 runs done"
    trained(runs[3][1])
    progress._look()
    assert re.fullmatch(r"2 of 4 runs done, 1 failed, about \d+ s left", progress.text())
    # A run that has reached its second epoch, and whose lock a process holds.
    folder = trained(runs[1][1])
    folder.record.unlink()
    folder.metrics.write_text("".join(folder.metrics.read_text().splitlines(True)[:4]))
    with FileLock(folder.lock):
        progress._look()
        assert re.fullmatch(r"2 of 4 runs done, 1 running, 1 failed, about \d+ s left", progress.text())


def test_runs_that_are_trained_again_do_not_count_before_they_end(results) -> None:
    runs = [planned(f"seed={seed}", "force=true") for seed in (1, 2)]
    for _, config in runs:
        trained(config)
    time.sleep(0.05)
    progress = Progress(runs, print)
    assert progress.text() == "0 of 2 runs done"
    trained(runs[0][1])
    progress._look()
    assert progress.text().startswith("1 of 2 runs done")


def test_lines_appear_when_runs_end(results) -> None:
    runs = [planned(f"seed={seed}") for seed in (1, 2)]
    trained(runs[0][1])
    said: list[str] = []
    with Progress(runs, said.append):
        trained(runs[1][1])
    assert said == ["2 of 2 runs done"]
    with Progress(runs, said.append):
        pass
    assert said == ["2 of 2 runs done"]  # nothing has ended since


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "1 s"), (40.4, "40 s"), (89, "89 s"), (100, "2 min"), (3601, "60 min"), (7200, "2 h")]
)
def test_a_duration_has_the_digits_of_an_estimate(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


NERVA = (sys.executable, "-m", "nerva", "train", "data=digits", "tracking=off")


@pytest.mark.parametrize(
    ("arguments", "runs", "shown"),
    [
        ((), 1, r"epoch \d+ of 400, about \d+ (s|min) left"),
        (("-m", "seed=1,2"), 2, r"[01] of 2 runs done, 1 running, about \d+ (s|min) left"),
    ],
)
@pytest.mark.long
def test_a_bar_below_the_table(tmp_path, arguments: tuple[str, ...], runs: int, shown: str) -> None:
    result = in_terminal(tmp_path, *NERVA, "train.epochs=400", *arguments)
    assert result.returncode == 0, result.stdout
    assert re.search(rf"\d+%\|.{{20}}\| {shown}", result.stdout)
    # The rows above the bar are intact, and no bar is left at the end.
    lines = [re.split(r"\r(?!$)", line.rstrip("\r"))[-1] for line in result.stdout.split("\n")]
    rows = [line for line in lines if ROW.fullmatch(line)]
    assert len(rows) == 401 * runs
    assert "%|" not in lines[-1]
