"""The files of a comparison: leaderboard, plots, summary and report, in one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from nerva.data.locks import locked
from nerva.experiment.records.search_record import SearchRecord
from nerva.experiment.report import plots
from nerva.experiment.report.curves import curves_table
from nerva.experiment.report.html import report_html
from nerva.experiment.report.importance import Importance, importance
from nerva.experiment.report.predictions import Analyst
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.search import importance_table, trials_table
from nerva.experiment.report.statistics import compare_to_best
from nerva.experiment.report.summary import summary
from nerva.experiment.report.tables import leaderboard_table, leaderboard_with_runs, write_table
from nerva.utilities import whole_or_absent

_SUFFIXES: tuple[Literal["png", "svg", "pdf"], ...] = ("png", "svg", "pdf")


def write_comparison(
    comparison: Comparison,
    folder: Path,
    data_dir: Path,
    *,
    sweep_id: str = "",
    question: str = "",
    commands: Sequence[str] = (),
    ui: str = "",
    trusted_imports: frozenset[str] = frozenset(),
    search: SearchRecord | None = None,
) -> str:
    """Write the files of a comparison, each whole or not at all.

    These are the leaderboard as CSV, Markdown and LaTeX, the plots as PNG, SVG and PDF with the data of the learning
    curves and the importance of what was swept as CSV, summary.txt and report.html.

    Args:
        comparison: the sweep.
        folder: the folder for the files, which is created if necessary.
        data_dir: the folder of the prepared datasets. Without the dataset, predictions are left out.
        sweep_id: the sweep. `compared-<id>.txt` lists the runs that were compared, so that Snakemake knows which sweep
            the files are of. It is written last.
        question: the question that the experiment asks.
        commands: the commands that train and compare the sweep.
        ui: how to open the MLflow UI, if the runs are logged.
        trusted_imports: the user-defined modules that may be imported to compute predictions.
        search: the search that proposed the runs, if there was one. Its trials are written to trials.csv.

    Returns:
        The summary.
    """
    compared = compare_to_best(comparison)
    # A search has an importance of its own: its points are no grid.
    explained = Importance() if search else importance(comparison)
    summed_up = summary(comparison, folder, ui, explained)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock")):
        # Temporary files of a process that was killed, and the list of runs that the files are no longer of.
        for obsolete in (*folder.glob(".*.tmp*"), *folder.glob("compared-*.txt")):
            obsolete.unlink()
        write_table(leaderboard_with_runs(comparison, compared), folder / "leaderboard.csv")
        for suffix in ("md", "tex"):
            write_table(leaderboard_table(comparison, compared), folder / f"leaderboard.{suffix}")
        write_table(curves_table(comparison.curves), folder / "learning_curves.csv")
        write_table(importance_table(search) if search else explained.table(), folder / "importance.csv")
        if search:
            write_table(trials_table(search), folder / "trials.csv")
        for name, draw in (("learning_curves", plots.comparison_curves), ("leaderboard", plots.ranking)):
            figure = draw(comparison)
            for image in _SUFFIXES:
                with whole_or_absent(folder / f"{name}.{image}") as temporary:
                    plots.save(figure, temporary, image)
        _write_text(folder / "summary.txt", summed_up)
        analyst = Analyst(data_dir, trusted_imports)
        report = report_html(comparison, analyst, commands, question, compared, explained, search)
        _write_text(folder / "report.html", report)
        if sweep_id:
            _write_text(folder / f"compared-{sweep_id}.txt", "".join(f"{x}\n" for x in comparison.runs["run_id"]))
    return summed_up


def _write_text(path: Path, text: str) -> None:
    with whole_or_absent(path) as temporary:
        # A record may have half of a character, which no file can hold.
        temporary.write_text(text, encoding="utf-8", errors="replace")
