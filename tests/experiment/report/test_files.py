"""The files of a comparison."""

import contextlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock

from nerva.experiment.report import files, plots
from nerva.experiment.report.files import write_comparison
from nerva.experiment.report.ranking import Comparison, load

NAMES = {
    *(f"leaderboard.{suffix}" for suffix in ("csv", "md", "tex", "png", "svg", "pdf")),
    *(f"learning_curves.{suffix}" for suffix in ("csv", "png", "svg", "pdf")),
    "importance.csv",
    "report.html",
    "summary.txt",
}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def written(comparison, sweep_results, tmp_path_factory) -> Path:
    """The folder of the comparison of the sweep, written twice."""
    folder = tmp_path_factory.mktemp("written") / "digits-test"
    for sweep_id in ("before", "now"):
        write_comparison(comparison, folder, sweep_results / "data", sweep_id=sweep_id, question="Which?", ui="make ui")
    return folder


def test_all_files_are_written(written) -> None:
    assert names(written) == NAMES | {"compared-now.txt"}
    assert all(path.stat().st_size > 50 for path in written.iterdir())
    assert (written / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert (written / "learning_curves.pdf").read_bytes().startswith(b"%PDF")
    assert (written / "summary.txt").read_text().endswith("  MLflow UI    make ui\n")
    assert '<p class="question">Which?</p>' in (written / "report.html").read_text()


def test_the_runs_that_were_compared_are_listed(written, sweep) -> None:
    assert (written / "compared-now.txt").read_text().split() == [folder.run_id for folder in sweep]


def test_the_leaderboard_can_be_read_again(written, comparison) -> None:
    table = pd.read_csv(written / "leaderboard.csv")
    assert list(table["row"]).count("configuration") == 3
    assert list(table["row"]).count("run") == 7
    runs = table[table["row"] == "run"].set_index("run_id")
    for run in comparison.finished.to_dict("records"):
        assert runs.loc[run["run_id"], "validation_accuracy"] == run["validation_accuracy"]


def test_the_data_of_the_curves_are_beside_them(written, comparison) -> None:
    table = pd.read_csv(written / "learning_curves.csv")
    for curves in comparison.curves:
        for curve in curves.curves:
            points = table[(table["metric"] == curves.metric.name) & (table["rank"] == curve.rank)]
            assert list(points["epoch"]) == curve.epochs
            assert list(points["mean"]) == curve.mean
            assert list(points["max"]) == curve.max


def test_plots_have_no_date(written) -> None:
    for name in ("leaderboard", "learning_curves"):
        assert b"CreationDate" not in (written / f"{name}.pdf").read_bytes()
        assert "dc:date" not in (written / f"{name}.svg").read_text()


def test_the_same_runs_give_the_same_files(written, comparison, sweep_results) -> None:
    first = {path.name: path.read_bytes() for path in written.iterdir()}
    write_comparison(comparison, written, sweep_results / "data", sweep_id="now", question="Which?", ui="make ui")
    assert {path.name: path.read_bytes() for path in written.iterdir()} == first


def test_a_comparison_that_left_out_runs_names_them(copied_sweep, tmp_path) -> None:
    copied_sweep[0].provenance.write_text("{}")
    comparison = load(copied_sweep[:2], "digits-test")
    write_comparison(comparison, tmp_path / "out", tmp_path / "copy" / "data", sweep_id="now")
    assert (tmp_path / "out" / "compared-now.txt").read_text().split() == [copied_sweep[1].run_id]
    assert "left out" in (tmp_path / "out" / "summary.txt").read_text()
    assert "Damaged runs" in (tmp_path / "out" / "report.html").read_text()


def write_slowly(comparison: Comparison, folder: Path, data_dir: Path) -> None:
    """Write a comparison, and stop for ever in the middle of the second plot."""
    save = plots.save

    def slow(figure, target, suffix, dpi=150):
        save(figure, target, suffix, dpi)
        if suffix == "svg":
            time.sleep(1000)

    files.plots.save = slow
    write_comparison(comparison, folder, data_dir)


def test_what_a_killed_process_leaves_is_deleted(sweep, sweep_results, tmp_path) -> None:
    folder = tmp_path / "out"
    comparison = load(sweep[:1], "digits-test")
    process = multiprocessing.get_context("spawn").Process(
        target=write_slowly, args=(comparison, folder, sweep_results / "data")
    )
    process.start()
    while not list(folder.glob(".learning_curves.svg.*.tmp.svg")):
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert "learning_curves.svg" not in names(folder)
    write_comparison(comparison, folder, sweep_results / "data")
    assert names(folder) == NAMES


def test_two_processes_do_not_write_at_once(comparison, sweep_results, tmp_path, monkeypatch) -> None:
    locked = []

    def look(*_: object) -> str:
        with contextlib.suppress(TimeoutError), FileLock(tmp_path / ".out.lock", timeout=0, is_singleton=False):
            locked.append(False)
        locked.append(True)
        return ""

    monkeypatch.setattr(files, "report_html", look)
    write_comparison(comparison, tmp_path / "out", sweep_results / "data")
    assert locked == [True]
