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
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.report import plots
from nerva.experiment.report.factors import swept_values
from nerva.experiment.report.plotly_charts import confusion_chart, curves_chart, effect_chart, parallel_chart
from nerva.experiment.report.predictions import Analyst
from nerva.experiment.report.ranking import Comparison
from nerva.experiment.report.statistics import SIGNIFICANCE, compare_to_best, verdict
from nerva.experiment.report.text import cut, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report_html(comparison: Comparison, analyst: Analyst, commands: Sequence[str] = (), question: str = "") -> str:
    """The report as the text of an HTML file.

    Args:
        comparison: the sweep.
        analyst: computes the predictions of the champion.
        commands: the commands that train and compare the sweep.
        question: the question that the experiment asks.
    """
    # Everything that a user or a record may have written is escaped by the template.
    templates = Environment(loader=PackageLoader("nerva.experiment.report", "."), autoescape=True)
    templates.globals.update(plural=plural)
    compared = compare_to_best(comparison)
    factors = swept_values([run.config for run in comparison.loaded])
    swept = factors if len(comparison.finished) else {}
    provenances = [run.provenance for run in comparison.loaded]
    commits = {provenance.code.git_commit for provenance in provenances}
    champion = _champion(comparison, analyst)
    return templates.get_template("report.html.j2").render(
        comparison=comparison,
        question=question or f"A sweep of {plural(len(comparison.runs), 'run')}",
        verdict=verdict(compared),
        board=compared.to_dict("records"),
        significance=SIGNIFICANCE,
        curves=[(curves.label, curves_chart(curves)) for curves in comparison.curves],
        effects=[(key, effect_chart(key, values, comparison.runs)) for key, values in swept.items()],
        parallel=parallel_chart(swept, comparison.runs) if swept else "",
        champion=champion,
        failed=comparison.runs[comparison.runs["status"] == "failed"].to_dict("records"),
        runs=comparison.runs.sort_values(["rank", "seed"]).to_dict("records"),
        provenance=_provenance_rows(provenances),
        uncommitted=any(provenance.code.dirty for provenance in provenances),
        # These are for pasting into a shell, and may come from a stranger.
        commits=sorted(commit for commit in commits if commit and re.fullmatch("[0-9a-f]{7,64}", commit)),
        commands=[*commands, *([f"nerva replay {champion['run_id']}"] if champion else [])],
        points=[(run.folder.run_id, shlex.join(run.provenance.overrides)) for run in comparison.loaded],
        plotly=get_plotlyjs(),
    )


def _champion(comparison: Comparison, analyst: Analyst) -> dict[Any, Any]:
    """The best run, with its predictions, or the reason why they are left out; empty if all runs failed."""
    if comparison.champion is None:
        return {}
    folder = comparison.loaded[comparison.champion].folder
    shown: dict[Any, Any] = comparison.runs.iloc[comparison.champion].to_dict()
    try:
        shown["obstacle"] = analyst.obstacle(folder)
        if analysis := analyst.analyse(folder):
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
    return [
        (key, "; ".join(value if len(counts) == 1 else f"{value} ({plural(n, 'run')})" for value, n in counts.items()))
        for key, counts in rows.items()
    ]
