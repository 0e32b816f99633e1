"""The report of a comparison: one HTML file that needs no other file and no network."""

import base64
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs

from nerva.errors import NervaError
from nerva.experiment.config.metrics import Metric
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.records.search_record import SearchRecord
from nerva.experiment.report import plots
from nerva.experiment.report.curves import MOST_CURVES
from nerva.experiment.report.factors import swept_values
from nerva.experiment.report.importance import REST, Importance, importance
from nerva.experiment.report.plotly_charts import (
    MOST_VALUES,
    confusion_chart,
    curves_chart,
    effect_chart,
    parallel_chart,
    predictions_chart,
)
from nerva.experiment.report.predictions import Analyst, RegressionAnalysis
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.search import search_section
from nerva.experiment.report.statistics import MOST_TESTED, SIGNIFICANCE, compare_to_best, verdict
from nerva.experiment.report.text import cut, plural

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


# How many lines the tables of a report have. A page with a thousand helps nobody, and leaderboard.csv has all.
CONFIGURATIONS = 50
RUNS = 60
LOWEST = 10  # of these runs
FAILED = 50
_MOST_ORIGINS = 10  # different values in a line of the provenance


def report_html(
    comparison: Comparison,
    analyst: Analyst,
    commands: Sequence[str] = (),
    question: str = "",
    compared: "pd.DataFrame | None" = None,
    explained: Importance | None = None,
    search: SearchRecord | None = None,
) -> str:
    """The report as the text of an HTML file.

    Args:
        comparison: the sweep.
        analyst: computes the predictions of the champion.
        commands: the commands that train and compare the sweep.
        question: the question that the experiment asks.
        compared: the result of `compare_to_best`, if it was computed before.
        explained: the importance of what was swept, if it was computed before.
        search: the search that proposed the runs, if there was one.
    """
    # Everything that a user or a record may have written is escaped by the template.
    templates = Environment(loader=PackageLoader("nerva.experiment.report", "."), autoescape=True)
    templates.globals.update(plural=plural)
    compared = compare_to_best(comparison) if compared is None else compared
    runs = comparison.runs
    shown = _shown_runs(runs, comparison.metric)
    failed = runs[runs["status"] == "failed"]
    factors = swept_values([run.config for run in comparison.loaded])
    swept = factors if len(comparison.finished) else {}
    provenances = [run.provenance for run in comparison.loaded]
    commits = {provenance.code.git_commit for provenance in provenances}
    champion = _champion(comparison, analyst)
    return templates.get_template("report.html.j2").render(
        comparison=comparison,
        metric=comparison.metric,
        search=search_section(search) if search else None,
        question=question or f"A sweep of {plural(len(comparison.runs), 'run')}",
        verdict=verdict(compared, comparison.metric),
        board=compared.head(CONFIGURATIONS).to_dict("records"),
        significance=SIGNIFICANCE,
        most_tested=MOST_TESTED,
        most_curves=MOST_CURVES,
        importance=importance(comparison) if explained is None else explained,
        rest=REST,
        curves=[(curves.label, curves_chart(curves)) for curves in comparison.curves],
        effects=[
            (key, effect_chart(key, values, runs, comparison.metric), _left_out(values, runs))
            for key, values in swept.items()
        ],
        parallel=parallel_chart(swept, comparison.runs, comparison.metric) if swept else "",
        champion=champion,
        failed=failed.head(FAILED).to_dict("records"),
        failed_runs=len(failed),
        runs=runs.loc[shown].to_dict("records"),
        lowest=LOWEST,
        provenance=_provenance_rows(provenances),
        uncommitted=any(provenance.code.dirty for provenance in provenances),
        # These are for pasting into a shell, and may come from a stranger.
        commits=sorted(commit for commit in commits if commit and re.fullmatch("[0-9a-f]{7,64}", commit)),
        commands=[*commands, *([f"nerva replay {champion['run_id']}"] if champion else [])],
        points=[
            (run.folder.run_id, shlex.join(run.provenance.overrides))
            for run in (comparison.loaded[index] for index in sorted(shown))
        ],
        plotly=get_plotlyjs(),
    )


def _shown_runs(runs: "pd.DataFrame", metric: Metric) -> list[int]:
    """The positions of the runs in the table: all of them by rank and seed; of many, the best and the lowest."""
    if len(runs) <= RUNS:
        return [int(index) for index in runs.sort_values(["rank", "seed"]).index]
    finished = runs[runs["status"] == "finished"]
    finished = finished.sort_values(metric.name, ascending=not metric.maximize, kind="stable")
    return [int(index) for index in dict.fromkeys([*finished.index[: RUNS - LOWEST], *finished.index[-LOWEST:]])]


def _left_out(values: Sequence[Any], runs: "pd.DataFrame") -> str:
    """What the chart of an effect leaves out, in a sentence."""
    known = {value for value, status in zip(values, runs["status"], strict=True) if status == "finished"}
    if len(set(values)) <= MOST_VALUES or all(isinstance(value, int | float) for value in values):
        return ""
    return f" Of {len(known)} values, the {MOST_VALUES} with the best means are shown; leaderboard.csv has all runs."


def _champion(comparison: Comparison, analyst: Analyst) -> dict[Any, Any]:
    """The best run, with its predictions, or the reason why they are left out; empty if all runs failed."""
    if comparison.champion is None:
        return {}
    folder = comparison.loaded[comparison.champion].folder
    shown: dict[Any, Any] = comparison.runs.iloc[comparison.champion].to_dict()
    try:
        shown["obstacle"] = analyst.obstacle(folder)
        analysis = analyst.analyse(folder)
        if isinstance(analysis, RegressionAnalysis):
            shown["predictions"] = predictions_chart(analysis)
            shown["per_target"] = analysis.per_target()
        elif analysis:
            shown["confusion"] = confusion_chart(analysis)
            shown["per_class"] = analysis.per_class()
            shown["worst"] = _image(lambda: plots.worst_images(analysis))
        shown["first_layer"] = _image(lambda: plots.first_layer(folder))
    except NervaError as error:
        shown["obstacle"] = f"{error}."
    return shown


def _image(draw: "Callable[[], Figure | None]") -> str | None:
    """A plot as text that an HTML file can hold."""
    figure = draw()
    return None if figure is None else base64.b64encode(plots.png(figure)).decode()


def _provenance_rows(provenances: Sequence[Provenance]) -> list[tuple[str, str]]:
    """The origin of the runs, by what is described. Where runs differ, each value has its number of runs."""
    rows: dict[str, Counter[str]] = {}
    for provenance in provenances:
        code, data = provenance.code, provenance.data
        values = {
            "data": data.title,
            "sha256 of the data": data.sha256,
            "source of the data": data.description,
            "reason for this dataset": data.note,
            "commit": (code.git_commit or "unknown") + (", with uncommitted changes" if code.dirty else ""),
            "fingerprint of the code": code.fingerprint,
            **provenance.environment,
        }
        for key, value in values.items():
            if value:
                rows.setdefault(key, Counter())[cut(str(value), 1000)] += 1
    return [(key, _counted(counts)) for key, counts in rows.items()]


def _counted(counts: Counter[str]) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    text = "; ".join(f"{value} ({plural(n, 'run')})" for value, n in counts.most_common(_MOST_ORIGINS))
    others = len(counts) - _MOST_ORIGINS
    return text if others <= 0 else f"{text}; and {plural(others, 'other value')}"
