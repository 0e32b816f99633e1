"""A sweep's report: one HTML file that opens from disk, with all that it shows inside."""

import base64
import html
import io
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs
from scipy import stats

from nerva.errors import NervaError
from nerva.experiment import analysis
from nerva.experiment.analysis import COLOURS, Analyst
from nerva.experiment.compare import Comparison, leaderboard
from nerva.experiment.config import flat, specification
from nerva.experiment.folder import RunFolder
from nerva.utilities import whole_or_absent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Below this probability of being chance alone, a difference is called one.
_CHANCE = 0.05
_GREY = "#999999"
_GRID = "rgba(128,128,128,0.25)"


def write_report(
    comparison: Comparison, folders: Sequence[RunFolder], path: Path, data_dir: Path, commands: Sequence[str]
) -> None:
    """Writes a sweep's report.

    Args:
        comparison: the sweep.
        folders: its runs, in the same order.
        path: the file.
        data_dir: where prepared data are; without them, what a network does with the test set is left out.
        commands: what makes the sweep again.
    """
    runs = comparison.runs.assign(folder=pd.Series(list(folders), dtype=object))
    champion = _champion(runs)
    champion_folder = None if champion is None else champion["folder"]
    analysed = None if champion_folder is None else Analyst(data_dir).analyse(champion_folder)
    templates = Environment(loader=PackageLoader("nerva.experiment", "."), autoescape=True)
    factors = _factors(runs)
    origins = [folder.read_provenance() for folder in folders]
    text = templates.get_template("report.html.j2").render(
        comparison=comparison,
        question=origins[0].get("part_of", {}).get("question", ""),
        verdict=_verdict(comparison),
        board=_board(comparison),
        chance=_CHANCE,
        curves=_learning_curves(comparison),
        effects=[(name, _effect(name, values, runs)) for name, values in factors.items()],
        parallel=_parallel(factors, runs) if factors else "",
        champion=champion,
        confusion=None if analysed is None else _confusion(analysed),
        worst=None if analysed is None else _png(analysis.worst_images(analysed)),
        first_layer=None if champion_folder is None else _png(analysis.first_layer(champion_folder)),
        per_class=[] if analysed is None else analysed.per_class(),
        failed=runs[runs["status"] == "failed"].to_dict("records"),
        runs=runs.sort_values(["rank", "seed"]).to_dict("records"),
        provenance=_provenance(origins),
        commands=[*commands, *([f"nerva replay {champion['run_id']}"] if champion is not None else [])],
        commits=sorted({str(origin["code"]["git_commit"]) for origin in origins if origin["code"]["git_commit"]}),
        points=[(run["run_id"], shlex.join(origin["overrides"])) for run, origin in zip(
            runs.to_dict("records"), origins, strict=True)],
        plotly=get_plotlyjs(),
    )  # fmt: skip
    with whole_or_absent(path) as temporary:
        temporary.write_text(text)


def table(comparison: Comparison, folders: Sequence[RunFolder], by: str | None = None) -> pd.DataFrame:
    """The leaderboard, or that of the values of one key.

    Args:
        comparison: the sweep.
        folders: its runs, in the same order.
        by: a key that was swept, such as `optimizer`.

    Raises:
        NervaError: if no such key was swept.
    """
    if by is None:
        rows = comparison.board.drop(columns="configuration_id")
        intervals = pd.DataFrame(_board(comparison))[["low", "high", "difference"]]
        place = list(rows.columns).index("validation_accuracy_std") + 1
        return pd.concat([rows.iloc[:, :place], intervals, rows.iloc[:, place:]], axis="columns")
    runs = comparison.runs.assign(folder=pd.Series(list(folders), dtype=object))
    factors = _factors(runs)
    found = [name for name in factors if by in (name, name.partition(".")[0])]
    if len(found) != 1:
        raise NervaError(f'"{by}" was not swept; what was is: {", ".join(factors) or "nothing"}')
    grouped = leaderboard(runs.assign(configuration=[str(value) for value in factors[found[0]]], configuration_id=""))
    return grouped.drop(columns="configuration_id").rename(columns={"configuration": found[0], "seeds": "runs"})


def _champion(runs: pd.DataFrame) -> dict[Any, Any] | None:
    """The run with the best validation accuracy, if any has finished."""
    finished = runs[runs["status"] == "finished"]
    if finished.empty:
        return None
    best = finished.sort_values("validation_accuracy", ascending=False, kind="stable")
    return best.to_dict("records")[0]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% confidence interval of a mean accuracy, by Student's t; nan for less than two values."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    mean, half = float(np.mean(values)), float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return max(0.0, mean - half), min(1.0, mean + half)


def chance(a: Sequence[float], b: Sequence[float]) -> float:
    """How likely means differ as much by chance alone: Welch's t-test; nan if that can't be told."""
    if len(a) < 2 or len(b) < 2:
        return math.nan
    means, deviations = (np.mean(a), np.mean(b)), (np.std(a, ddof=1), np.std(b, ddof=1))
    if max(deviations) == 0:
        return 1.0 if means[0] == means[1] else 0.0
    return float(
        stats.ttest_ind_from_stats(
            means[0], deviations[0], len(a), means[1], deviations[1], len(b), equal_var=False
        ).pvalue
    )


def _accuracies(comparison: Comparison, row: Any) -> list[float]:
    """The validation accuracies of a configuration's finished runs."""
    runs = comparison.runs
    same = (runs["configuration_id"] == row["configuration_id"]) & (runs["status"] == "finished")
    return [float(x) for x in runs[same]["validation_accuracy"]]


def _board(comparison: Comparison) -> list[dict[Any, Any]]:
    """The leaderboard, with what can be said of each difference to the best."""
    rows = comparison.board.to_dict("records")
    best = _accuracies(comparison, rows[0])
    for row in rows:
        values = _accuracies(comparison, row)
        row["low"], row["high"] = interval(values)
        p = chance(best, values)
        if row["rank"] == 1:
            row["difference"] = "the best" if values else "failed"
        elif not values:
            row["difference"] = "failed"
        elif math.isnan(p):
            row["difference"] = "can't be told: too few seeds"
        else:
            row["difference"] = f"worse (p = {p:.2g})" if p < _CHANCE else f"may be noise (p = {p:.2g})"
    return rows


def _verdict(comparison: Comparison) -> str:
    """What the sweep says, in a sentence or two."""
    rows = _board(comparison)
    best = rows[0]
    if best["difference"] == "failed":
        return "All runs failed; the reasons are below."
    text = f"{best['configuration']} is best, with a validation accuracy of {best['validation_accuracy']:.2%}"
    if not math.isnan(best["low"]):
        text += f" (95% interval {best['low']:.2%} to {best['high']:.2%}, {best['seeds'] - best['failed']} seeds)"
    text += f" and a test accuracy of {best['test_accuracy']:.2%}."
    noise = [row for row in rows[1:] if row["difference"].startswith("may be noise")]
    unknown = [row for row in rows[1:] if row["difference"].startswith("can't be told")]
    if unknown:
        text += " With so few seeds, it can't be told what is a difference and what is noise."
    elif noise:
        text += f" The difference to {len(noise)} of the other {len(rows) - 1} configurations may be noise."
    elif len(rows) > 1:
        text += " All others are worse by more than noise explains."
    return text


def _factors(runs: pd.DataFrame) -> dict[str, list[Any]]:
    """What was swept: of each value that differs, that of every run."""
    configs = [folder.read_config() for folder in runs["folder"]]
    table: list[dict[str, Any]] = []
    for config in configs:
        values = {key: value for key, value in flat(config).items() if not key.startswith("data.")}
        for component in ("optimizer", "learning_rate", "loss"):
            if len({other[component]["name"] for other in configs}) > 1:
                # Other names have other arguments.
                values = {key: value for key, value in values.items() if not key.startswith(f"{component}.")}
                values[component] = specification(config[component])
        table.append({key: value if isinstance(value, int | float) else str(value) for key, value in values.items()})
    names = {name: None for values in table for name in values}
    factors = {name: [values.get(name) for values in table] for name in names}
    return {name: values for name, values in factors.items() if len(set(values)) > 1}


def _figure(traces: Sequence[Any], height: int, **layout: Any) -> str:
    """A plotly figure as HTML; its colours follow the page's, see the template."""
    axis = {"gridcolor": _GRID, "zerolinecolor": _GRID, "automargin": True}
    for key in ("xaxis", "yaxis"):
        layout[key] = {**axis, **layout.get(key, {})}
    layout.setdefault("legend", {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0})
    clear = "rgba(0,0,0,0)"
    layout.setdefault("margin", {"l": 10, "r": 10, "t": 30, "b": 10})
    look = go.Layout(height=height, font={"size": 13}, paper_bgcolor=clear, plot_bgcolor=clear, **layout)
    figure = go.Figure(list(traces), look)
    config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config=config, default_height=f"{height}px"))


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _learning_curves(comparison: Comparison) -> list[tuple[str, str]]:
    """Training loss and validation accuracy: the mean over seeds, and as a band from the least to the largest."""
    pictures = []
    for column, label, kind, ticks in (
        ("train_loss", "training loss", "log", {"dtick": "D2"}),
        ("validation_accuracy", "validation accuracy", "linear", {}),
    ):
        traces: list[go.Scatter] = []
        for row in reversed(comparison.board.to_dict("records")):
            top = row["rank"] <= len(COLOURS)
            # Black is not seen on a dark page.
            colour = (COLOURS[row["rank"] - 1] if top else _GREY).replace("#000000", "#777777")
            curves = comparison.curves[comparison.curves["configuration"] == row["configuration"]]
            finite = curves.replace([math.inf, -math.inf], math.nan)
            band = finite.groupby("epoch")[column].agg(["mean", "min", "max"]).dropna()
            x, name = list(band.index), f"{row['rank']}. {row['configuration']}"
            traces.append(
                go.Scatter(
                    x=[*x, *x[::-1]], y=[*band["max"], *band["min"][::-1]], fill="toself", mode="lines",
                    hoverinfo="skip", fillcolor=_rgba(colour, 0.15), line={"width": 0}, showlegend=False,
                    legendgroup=name,
                )
            )  # fmt: skip
            traces.append(
                go.Scatter(
                    x=x, y=list(band["mean"]), mode="lines+markers", name=html.escape(name), legendgroup=name,
                    line={"color": colour, "width": 2}, marker={"size": 5}, showlegend=top,
                    hovertemplate="%{y:.4g}, epoch %{x}",
                )
            )  # fmt: skip
        picture = _figure(
            traces, 430, xaxis={"title": "epoch"}, yaxis={"title": label, "type": kind} | ticks,
            legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0, "traceorder": "reversed"},
        )  # fmt: skip
        pictures.append((label, picture))
    return pictures


def _effect(name: str, values: Sequence[Any], runs: pd.DataFrame) -> str:
    """The validation accuracy of every run, by a value that was swept, and the mean of each value."""
    finished = runs.assign(value=[str(value) for value in values])[runs["status"].to_numpy() == "finished"]
    order = [
        str(value) for value in sorted(set(values), key=lambda value: (isinstance(value, str), value is None, value))
    ]
    means = finished.groupby("value")["validation_accuracy"].mean().reindex(order).dropna()
    traces = [
        go.Scatter(
            x=list(finished["value"]), y=list(finished["validation_accuracy"]), mode="markers", name="a run",
            marker={"color": COLOURS[0], "size": 8, "opacity": 0.55},
            text=[html.escape(str(x)) for x in finished["configuration"]],
            hovertemplate="%{y:.2%}<br>%{text}<extra></extra>",
        ),
        go.Scatter(
            x=list(means.index), y=list(means), mode="markers", name="their mean",
            marker={"color": COLOURS[1], "size": 26, "symbol": "line-ew-open", "line": {"width": 3}},
            hovertemplate="mean %{y:.2%}<extra></extra>",
        ),
    ]  # fmt: skip
    return _figure(
        traces, 320, xaxis={"title": name, "type": "category", "categoryorder": "array", "categoryarray": order},
        yaxis={"title": "validation accuracy", "tickformat": ".1%"},
    )  # fmt: skip


def _parallel(factors: dict[str, list[Any]], runs: pd.DataFrame) -> str:
    """Parallel coordinates: a line a run, through its values and its figures."""
    finished = (runs["status"] == "finished").to_numpy()
    if not finished.any():
        return ""
    dimensions: list[dict[str, Any]] = []
    for name, values in factors.items():
        kept = [value for value, ok in zip(values, finished, strict=True) if ok]
        known = sorted({str(value) for value in kept}, key=_place)
        places = [known.index(str(value)) for value in kept]
        # As places on an axis: learning rates of 0.1 and 0.0001 are as far apart as they are meant to be.
        ticks = {"tickvals": list(range(len(known))), "ticktext": [html.escape(text) for text in known]}
        dimensions.append({"label": name, "values": places, **ticks})
    shown = runs[finished]
    for label, column, form in (
        ("validation", "validation_accuracy", ".1%"),
        ("test", "test_accuracy", ".1%"),
        ("seconds", "training_seconds", ".3~g"),
    ):
        dimensions.append({"label": label, "values": [float(x) for x in shown[column]], "tickformat": form})
    line = {
        "color": [float(x) for x in shown["validation_accuracy"]],
        "colorscale": [[0, COLOURS[5]], [1, COLOURS[0]]], "showscale": True,
        "colorbar": {"title": {"text": "validation"}, "tickformat": ".0%", "thickness": 12},
    }  # fmt: skip
    trace = go.Parcoords(line=line, dimensions=dimensions, labelangle=-15)
    margin = {"l": 90, "r": 30, "t": 70, "b": 20}
    return _figure([trace], 420, margin=margin)


def _place(text: str) -> tuple[bool, float, str]:
    """Sorts numbers as numbers, and other texts behind them."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _confusion(analysed: analysis.Analysis) -> str:
    """The confusion matrix; the diagonal is not coloured, as it would hide the rest."""
    counts = analysed.confusion
    K = len(counts)
    wrong = np.where(np.eye(K, dtype=bool), 0, counts)
    classes = [str(k) for k in range(K)]
    trace = go.Heatmap(
        z=wrong.tolist(), x=classes, y=classes, text=counts.tolist(), texttemplate="%{text}", showscale=False,
        colorscale=[[0, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,0.9)"]], xgap=1, ygap=1,
        hovertemplate="%{text} of class %{y} were taken for %{x}<extra></extra>",
    )  # fmt: skip
    return _figure(
        [trace], 460, xaxis={"title": "taken for", "type": "category", "showgrid": False},
        yaxis={"title": "is", "type": "category", "autorange": "reversed", "showgrid": False},
    )  # fmt: skip


def _png(picture: "Figure | None") -> str | None:
    """A picture as text that an HTML file can hold."""
    if picture is None:
        return None
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _provenance(origins: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Where the runs come from; what differs between them is said of each value."""
    rows: dict[str, dict[str, int]] = {}
    for origin in origins:
        code, data = origin["code"], origin["data"]
        commit = code["git_commit"] or "unknown"
        values = {
            "data": data["title"],
            "data's sha256": data["sha256"],
            "data's source": data["source"] if isinstance(data["source"], str) else "raw files with declared checksums",
            "chosen because": data["note"],
            "commit": commit + (", with changes that were not committed" if code["dirty"] else ""),
            "code's fingerprint": code["fingerprint"],
            **{key: str(value) for key, value in origin["environment"].items()},
        }
        for key, value in values.items():
            if value:
                rows.setdefault(key, {}).setdefault(value, 0)
                rows[key][value] += 1
    return [
        (key, next(iter(values)) if len(values) == 1 else "; ".join(f"{v} ({n} runs)" for v, n in values.items()))
        for key, values in rows.items()
    ]
