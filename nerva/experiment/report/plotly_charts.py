"""Interactive charts by plotly, as pieces of an HTML page. Their text colours follow the page; see the template."""

import html
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from nerva.experiment.config.metrics import Metric
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.records.search_record import SearchRecord, Trial
from nerva.experiment.report.colours import COLOURS, HIGHLIGHTED, colour_of
from nerva.experiment.report.curves import Curve, LearningCurves, log_ticks, plotted
from nerva.experiment.report.factors import ordered
from nerva.experiment.report.predictions import Analysis, RegressionAnalysis
from nerva.experiment.report.text import cut

# How many values of a key have a place of their own in the chart of its effect.
MOST_VALUES = 40
_FEW_VALUES = 6  # so many have places of their own even if each has only one run
_MOST_DOTS = 2000  # samples in the chart of predictions
_TICKS = 20  # labels on an axis of parallel coordinates
_LEGEND = 38  # characters per line of a legend: as many as a phone shows
_HOVER = 60  # characters per line of a text that appears on hovering
_PERCENT = ".2~%"
_CLEAR = "rgba(0,0,0,0)"
_GRID = "rgba(128,128,128,0.25)"


def curves_chart(learning_curves: LearningCurves) -> str:
    """Learning curves: the mean over seeds, with the range as a band."""
    traces: list[go.Scatter] = []
    entries: list[str] = []
    last_rank = len(learning_curves.curves)
    learning_curves = plotted(learning_curves)
    last_shown = learning_curves.curves[-1].rank
    # The best are drawn last, on top of the others.
    for curve in reversed(learning_curves.curves):
        top = curve.rank <= HIGHLIGHTED
        name = f"{curve.rank}. {curve.configuration}"
        shown = name
        if curve.rank == last_shown > HIGHLIGHTED:
            shown = f"ranks {HIGHLIGHTED + 1} to {last_rank}, in grey"
        entry = _wrapped(cut(shown, 2 * _LEGEND), _LEGEND)
        in_legend = top or curve.rank == last_shown
        entries += [entry] * in_legend
        # The grey ones are shown and hidden together.
        traces += _curve(curve, entry, name, name if top else "others", in_legend)
    axis = {"title": "epoch", "tickformat": "d", **({"dtick": 1} if learning_curves.last_epoch <= 10 else {})}
    kind = "log" if learning_curves.log else "linear"
    if learning_curves.log:
        tickvals, ticktext = log_ticks(learning_curves)
        ticks: dict[str, Any] = {"tickvals": tickvals, "ticktext": ticktext}
    else:
        ticks = {"tickformat": _PERCENT if learning_curves.metric.is_fraction else "~g"}
    # The legend has its own space below the plot, however long its entries are.
    below = 70 + 18 * sum(1 + entry.count("<br>") for entry in entries)
    return _chart(
        learning_curves.metric.name, traces, 290 + below, xaxis=axis,
        yaxis={"title": learning_curves.label, "type": kind} | ticks,
        legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0,
                "traceorder": "reversed", "maxheight": below},
        margin={"l": 10, "r": 10, "t": 30, "b": below},
    )  # fmt: skip


def effect_chart(key: str, values: Sequence[Any], runs: pd.DataFrame, metric: Metric) -> str:
    """The metric of every finished run by the value of a key, and the mean of each value.

    Numbers are at equal distances, if there are few. If there are many, or each has one run, they are on a scale. Of
    many texts, those with the best means are shown.
    """
    finished = runs.assign(value=[_plain(value) for value in values])[(runs["status"] == "finished").to_numpy()]
    many = len(set(values)) > MOST_VALUES
    # A search proposes each number of an interval once.
    scattered = many or _FEW_VALUES < len(set(values)) == len(values)
    if scattered and all(isinstance(value, int | float) for value in values):
        return _scatter_chart(key, values, runs, metric)
    order = [_plain(value) for value in ordered(values)]
    means = finished.groupby("value")[metric.name].mean().reindex(order).dropna()
    if many:
        best = {*(means.nlargest(MOST_VALUES) if metric.maximize else means.nsmallest(MOST_VALUES)).index}
        values = [value for value in values if _plain(value) in best]
        order, means = [value for value in order if value in best], means[means.index.isin(best)]
        finished = finished[finished["value"].isin(best)]
    # Long names are easier to read beside an axis than below it.
    beside = max(map(len, order)) > 18

    def dots(names: list[str], measured: list[float], label: str, symbol: str, **marker: Any) -> dict[str, Any]:
        x, y, along = (measured, names, "x") if beside else (names, measured, "y")
        symbol += ("-ns-open" if beside else "-ew-open") if symbol == "line" else ""
        hover = f"{label} %{{{along}:{_hover_format(metric)}}}<br>%{{text}}<extra></extra>"
        return {"x": x, "y": y, "mode": "markers", "name": label, "hovertemplate": hover,
                "marker": marker | {"symbol": symbol}}  # fmt: skip

    measured = finished[metric.name].tolist()
    traces = [
        go.Scatter(
            **dots(list(finished["value"]), measured, "one run", "circle", color=COLOURS[0], size=8, opacity=0.8),
            text=[_wrapped(name, _HOVER) for name in finished["configuration"]],
        ),
        go.Scatter(
            **dots(list(means.index), means.tolist(), "mean", "line", color=COLOURS[1], size=26, line={"width": 3}),
            text=list(means.index),
        ),
    ]
    shown = [_wrapped(str(value), 26) for value in ordered(values)]
    categories = {
        "title": _plain(key), "type": "category", "categoryorder": "array",
        "categoryarray": order[::-1] if beside else order, "tickvals": order, "ticktext": shown,
    }  # fmt: skip
    scale = {"title": metric.label, "tickformat": _tick_format(metric)}
    height = max(320, 130 + 46 * len(order)) if beside else 320
    chart_id = f"effect-{digest(key)[:12]}"
    return _chart(
        chart_id, traces, height, xaxis=scale if beside else categories, yaxis=categories if beside else scale
    )


def _scatter_chart(key: str, values: Sequence[Any], runs: pd.DataFrame, metric: Metric) -> str:
    """The metric of every finished run by a number."""
    finished = runs.assign(value=[*map(float, values)])[(runs["status"] == "finished").to_numpy()]
    lowest, highest = min(values), max(values)
    log = 0 < 100 * lowest < highest and key != "seed"
    trace = go.Scatter(
        x=finished["value"].tolist(), y=finished[metric.name].tolist(), mode="markers", name="one run",
        marker={"color": COLOURS[0], "size": 5, "opacity": 0.6}, showlegend=False,
        text=[_wrapped(name, _HOVER) for name in finished["configuration"]],
        hovertemplate=f"%{{y:{_hover_format(metric)}}} at %{{x:.6~g}}<br>%{{text}}<extra></extra>",
    )  # fmt: skip
    # Ticks at 1, 2 and 5 of each power: with each digit, the labels of a logarithmic axis overlap.
    ticks = {"type": "log", "dtick": "D2"} if log else {"type": "linear"}
    return _chart(
        f"effect-{digest(key)[:12]}", [trace], 320, xaxis={"title": _plain(key), **ticks},
        yaxis={"title": metric.label, "tickformat": _tick_format(metric)},
    )  # fmt: skip


def parallel_chart(factors: dict[str, list[Any]], runs: pd.DataFrame, metric: Metric) -> str:
    """Parallel coordinates: each finished run is a line through its values and its metrics."""
    finished = (runs["status"] == "finished").to_numpy()
    dimensions: list[dict[str, Any]] = []
    for key, values in factors.items():
        kept = [value for value, included in zip(values, finished, strict=True) if included]
        known = ordered(kept)
        # Positions instead of values: learning rates of 0.1 and 0.0001 should be as far apart as any two.
        place = {value: index for index, value in enumerate(known)}
        places = [place[value] for value in kept]
        # More labels than these overlap.
        labelled = range(0, len(known), -(-len(known) // _TICKS) or 1)
        ticks = {"tickvals": [*labelled], "ticktext": [_short(known[index]) for index in labelled]}
        dimensions.append({"label": _plain(cut(key, 40)), "values": places, **ticks})
    for label, column, form in (
        ("validation", metric.name, _tick_format(metric)),
        ("test", metric.test, _tick_format(metric)),
        ("seconds", "training_seconds", ".3~g"),
    ):
        dimensions.append({"label": label, "values": runs[finished][column].tolist(), "tickformat": form})
    line = {
        "color": runs[finished][metric.name].tolist(),
        "colorscale": [[0, COLOURS[5]], [1, COLOURS[0]]], "reversescale": not metric.maximize, "showscale": True,
        "colorbar": {"title": {"text": "validation"}, "tickformat": _tick_format(metric), "thickness": 12},
    }  # fmt: skip
    trace = go.Parcoords(line=line, dimensions=dimensions, labelangle=-15)
    return _chart("parallel", [trace], 420, margin={"l": 90, "r": 30, "t": 70, "b": 20})


def confusion_chart(analysis: Analysis) -> str:
    """The confusion matrix. The diagonal is not coloured, because its large numbers would hide the errors."""
    counts = analysis.confusion
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    classes = [*map(_plain, analysis.names)]
    trace = go.Heatmap(
        z=wrong.tolist(), x=classes, y=classes, text=counts.tolist(), texttemplate="%{text}", showscale=False,
        colorscale=[[0, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,0.6)"]], xgap=1, ygap=1,
        hovertemplate="%{text} of class %{y} were predicted as %{x}<extra></extra>",
    )  # fmt: skip
    return _chart(
        "confusion", [trace], 460, xaxis={"title": "predicted class", "type": "category", "showgrid": False},
        yaxis={"title": "correct class", "type": "category", "autorange": "reversed", "showgrid": False},
    )  # fmt: skip


def predictions_chart(analysis: RegressionAnalysis) -> str:
    """The predicted value by the correct value of each sample, with the line of exact predictions."""
    shown = analysis.sampled(_MOST_DOTS)
    several = shown.T.shape[1] > 1
    traces = [
        go.Scatter(
            x=shown.T[:, k].tolist(), y=shown.Y[:, k].tolist(), mode="markers", name=f"target {k + 1}",
            showlegend=several, marker={"color": COLOURS[k % len(COLOURS)], "size": 6, "opacity": 0.6},
            hovertemplate="predicted %{y:.4~g}, correct %{x:.4~g}<extra></extra>",
        )
        for k in range(shown.T.shape[1])
    ]  # fmt: skip
    ends = [float(shown.T.min()), float(shown.T.max())]
    exact = go.Scatter(
        x=ends, y=ends, mode="lines", name="exact", line={"color": "#888888", "dash": "dash"}, hoverinfo="skip"
    )
    return _chart("predictions", [*traces, exact], 460, xaxis={"title": "correct"}, yaxis={"title": "predicted"})


def _curve(curve: Curve, entry: str, name: str, group: str, in_legend: bool) -> list[go.Scatter]:
    """The band and the line of a configuration."""
    top, colour = curve.rank <= HIGHLIGHTED, colour_of(curve.rank)
    # Black can't be seen on a dark page.
    colour = colour.replace("#000000", "#777777")
    band = go.Scatter(
        x=[*curve.epochs, *curve.epochs[::-1]], y=[*curve.max, *curve.min[::-1]], fill="toself", mode="lines",
        hoverinfo="skip", fillcolor=_rgba(colour, 0.15 if top else 0.05), line={"width": 0}, showlegend=False,
        legendgroup=group,
    )  # fmt: skip
    dash = "dash" if curve.rank == HIGHLIGHTED else None
    line = go.Scatter(
        x=curve.epochs, y=curve.mean, mode="lines+markers", name=entry, legendgroup=group, showlegend=in_legend,
        line={"color": colour, "width": 2 if top else 1, "dash": dash}, marker={"size": 5 if top else 3},
        text=[_wrapped(name, _HOVER)] * len(curve.epochs),
        hovertemplate="%{y:.4g} at epoch %{x}<br>%{text}<extra></extra>",
    )  # fmt: skip
    return [band, line]


def _chart(chart_id: str, traces: Sequence[Any], height: int, **layout: Any) -> str:
    """A chart as HTML. Without an id, plotly would choose a random one."""
    axis = {"gridcolor": _GRID, "zerolinecolor": _GRID, "automargin": True}
    for key in ("xaxis", "yaxis"):
        layout[key] = {**axis, **layout.get(key, {})}
    layout.setdefault("legend", {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0})
    layout.setdefault("margin", {"l": 10, "r": 10, "t": 30, "b": 10})
    look = go.Layout(height=height, font={"size": 13}, paper_bgcolor=_CLEAR, plot_bgcolor=_CLEAR, **layout)
    config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    chart = go.Figure(list(traces), look)
    return str(
        chart.to_html(
            full_html=False, include_plotlyjs=False, config=config, default_height=f"{height}px", div_id=chart_id
        )
    )


def _tick_format(metric: Metric) -> str:
    """The format of numbers on an axis, in d3's syntax."""
    return _PERCENT if metric.is_fraction else ".3~g"


def _hover_format(metric: Metric) -> str:
    """The format of a single number, in d3's syntax."""
    return ".2%" if metric.is_fraction else ".4~g"


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def _short(value: Any) -> str:
    """A value for a narrow place: a range of floats has values such as 0.14100000000000001."""
    return f"{value:.6g}" if isinstance(value, float) else cut(str(value), 20)


def _plain(value: Any) -> str:
    """A value as text that plotly shows as it is: it would read tags as markup, and links as links."""
    return html.escape(str(value))


def _wrapped(text: str, width: int) -> str:
    """A text for plotly, in lines of at most `width` characters."""
    return "<br>".join(map(_plain, textwrap.wrap(text, width)))


def trials_chart(record: SearchRecord, text: Callable[[SearchRecord, float], str]) -> str:
    """The value of each trial of a search, in the order of the trials, and the best value so far.

    A pruned trial has no value. It is drawn at its best metric if the objective is that metric, and otherwise at the
    edge, as failed ones are.

    Args:
        record: the search, which has a complete trial.
        text: a value of its objective for people.
    """
    complete = [trial for trial in record.trials if trial.state == "complete" and trial.value is not None]
    best_of = max if record.maximize else min
    values = [trial.value or 0.0 for trial in complete]
    edge = min(values) if record.maximize else max(values)
    comparable = record.objective.endswith(f".{record.metric}")

    def height(trial: Trial) -> float:
        if trial.value is not None:
            return trial.value
        return best_of(trial.metrics) if comparable and trial.metrics else edge

    def dots(name: str, state: str, symbol: str, colour: str, size: int) -> go.Scatter:
        trials = [trial for trial in record.trials if trial.state == state]
        hover = [
            f"trial {trial.number}: "
            + (text(record, trial.value) if trial.value is not None else f"{state}, {len(trial.metrics)} epochs")
            + f"<br>{_wrapped(' '.join(trial.overrides), _HOVER)}"
            for trial in trials
        ]
        return go.Scatter(
            x=[trial.number for trial in trials], y=[height(trial) for trial in trials], mode="markers", name=name,
            marker={"color": colour, "size": size, "symbol": symbol, "opacity": 0.85}, text=hover,
            hovertemplate="%{text}<extra></extra>", showlegend=bool(trials),
        )  # fmt: skip

    so_far = [best_of(values[: index + 1]) for index in range(len(values))]
    line = go.Scatter(
        x=[*(trial.number for trial in complete), len(record.trials) - 1], y=[*so_far, so_far[-1]], mode="lines",
        name="best so far", line={"shape": "hv", "color": COLOURS[1], "width": 2}, hoverinfo="skip",
    )  # fmt: skip
    traces = [
        line,
        dots("pruned", "pruned", "x-thin-open", "#777777", 8),
        dots("failed", "failed", "triangle-down", COLOURS[5], 9),
        dots("complete", "complete", "circle", COLOURS[0], 8),
    ]
    scale = {"title": _plain(record.objective)}
    if record.objective.endswith("accuracy"):
        scale["tickformat"] = _PERCENT
    return _chart(
        "search-history",
        traces,
        360,
        yaxis=scale,
        xaxis={"title": "trial", "tickformat": "d", "range": [-0.5, len(record.trials) - 0.5]},
    )


def importance_chart(shares: dict[str, float]) -> str:
    """The importance of each key of a search, as bars."""
    names = sorted(shares, key=lambda name: shares[name])
    trace = go.Bar(
        x=[shares[name] for name in names], y=[_wrapped(name, 26) for name in names], orientation="h",
        marker={"color": COLOURS[0]}, text=[f"{shares[name]:.0%}" for name in names], textposition="outside",
        cliponaxis=False, hoverinfo="skip", width=0.6,
    )  # fmt: skip
    return _chart(
        "search-importance", [trace], 90 + 44 * len(names), xaxis={"tickformat": ".0%", "range": [0, 1.08]},
        yaxis={"type": "category", "showgrid": False},
    )  # fmt: skip
