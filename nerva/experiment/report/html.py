"""A sweep's report: one HTML file that opens from disk, with all that it shows inside."""

import base64
import html
import io
import math
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from plotly.offline import get_plotlyjs

from nerva.errors import NervaError
from nerva.experiment.config.schema import flat, specification
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report import predictions as analysis
from nerva.experiment.report.predictions import COLOURS, Analyst
from nerva.experiment.report.ranking import Comparison, plural, short_layers
from nerva.experiment.report.statistics import CHANCE, judged, verdict
from nerva.utilities import whole_or_absent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEGEND = 38  # characters of a line of a legend, as many as a phone shows
_TICKS = 16  # at most, of an axis
_GREY = "#999999"
_GRID = "rgba(128,128,128,0.25)"


def write_report(
    comparison: Comparison,
    folders: Sequence[RunFolder],
    path: Path,
    data_dir: Path,
    commands: Sequence[str],
    question: str = "",
) -> None:
    """Writes a sweep's report.

    Args:
        comparison: the sweep.
        folders: its runs, in the same order.
        path: the file.
        data_dir: where prepared data are; without them, what a network does with the test set is left out.
        commands: what makes the sweep again.
        question: what it asks.
    """
    runs = comparison.runs.assign(folder=pd.Series(list(folders), dtype=object))
    champion = _champion(runs)
    champion_folder = None if champion is None else champion["folder"]
    analysed = None if champion_folder is None else Analyst(data_dir).analyse(champion_folder)
    templates = Environment(loader=PackageLoader("nerva.experiment.report", "."), autoescape=True)
    factors = _factors(runs)
    board = judged(comparison)
    origins = [folder.read_provenance() for folder in folders]
    text = templates.get_template("report.html.j2").render(
        comparison=comparison,
        question=question,
        plural=plural,
        data_name=origins[0]["data"]["name"],
        dirty=any(origin["code"]["dirty"] for origin in origins),
        verdict=verdict(board),
        board=board,
        chance=CHANCE,
        curves=_learning_curves(comparison),
        effects=[(name, _effect(name, values, runs)) for name, values in factors.items() if champion is not None],
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

    With a key, figures are over all runs that have a value, whatever else was swept.

    Args:
        comparison: the sweep.
        folders: its runs, in the same order.
        by: a key that was swept, such as `optimizer`, or a part of its name.

    Raises:
        NervaError: if no such key was swept, or more than one.
    """
    if by is None:
        board = comparison.board.drop(columns="configuration_id")
        intervals = pd.DataFrame(judged(comparison))[["low", "high", "difference"]]
        place = list(board.columns).index("validation_accuracy_std") + 1
        return pd.concat([board.iloc[:, :place], intervals, board.iloc[:, place:]], axis="columns")
    runs = comparison.runs.assign(folder=pd.Series(list(folders), dtype=object))
    factors = _factors(runs)
    found = [name for name in factors if name == by] or [name for name in factors if by in name.split(".")]
    if len(found) != 1:
        asked = f'"{by}" can mean {" or ".join(found)}' if found else f'"{by}" was not swept'
        raise NervaError(f"{asked}; what was swept is: {', '.join(factors) or 'nothing'}")
    (name,) = found
    runs = runs.assign(value=factors[name]).where(runs["status"] == "finished")[["value", "validation_accuracy"]]
    rows = [
        {
            name: value,
            "runs": factors[name].count(value),
            "failed": factors[name].count(value) - len(accuracies),
            "mean_validation_accuracy": accuracies.mean(),
            "std_over_runs": accuracies.std(),
            "best_validation_accuracy": accuracies.max(),
        }
        for value in _ordered(factors[name])
        for accuracies in [runs[runs["value"] == value]["validation_accuracy"]]
    ]
    return pd.DataFrame(rows).sort_values("best_validation_accuracy", ascending=False, kind="stable")


def _champion(runs: pd.DataFrame) -> dict[Any, Any] | None:
    """The run with the best validation accuracy, if any has finished."""
    finished = runs[runs["status"] == "finished"]
    if finished.empty:
        return None
    best = finished.sort_values("validation_accuracy", ascending=False, kind="stable")
    return best.to_dict("records")[0]


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
    for values, layers in zip(table, short_layers([config["model"]["layers"] for config in configs]), strict=True):
        values["model.layers"] = layers
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
    last = int(comparison.curves["epoch"].max())
    epochs = {"title": "epoch", "tickformat": "d", **({"dtick": 1} if last <= 10 else {})}
    for column, label, kind in (
        ("train_loss", "training loss", "log"),
        ("validation_accuracy", "validation accuracy", "linear"),
    ):
        traces: list[go.Scatter] = []
        entries: list[str] = []
        for row in reversed(comparison.board.to_dict("records")):
            rank, top = row["rank"], row["rank"] <= len(COLOURS)
            # Black is not seen on a dark page.
            colour = (COLOURS[rank - 1] if top else _GREY).replace("#000000", "#777777")
            curves = comparison.curves[comparison.curves["configuration"] == row["configuration"]]
            finite = curves.replace([math.inf, -math.inf], math.nan)
            band = finite.groupby("epoch")[column].agg(["mean", "min", "max"]).dropna()
            x, name = list(band.index), f"{rank}. {row['configuration']}"
            # Those that are grey come and go together.
            group = name if top else "others"
            if rank == len(comparison.board) > len(COLOURS):
                shown = f"{len(COLOURS) + 1} to {rank}: the others"
            else:
                shown = name
            traces.append(
                go.Scatter(
                    x=[*x, *x[::-1]], y=[*band["max"], *band["min"][::-1]], fill="toself", mode="lines",
                    hoverinfo="skip", fillcolor=_rgba(colour, 0.15 if top else 0.05), line={"width": 0},
                    showlegend=False, legendgroup=group,
                )
            )  # fmt: skip
            entry = _wrapped(_cut(shown, 2 * _LEGEND), _LEGEND)
            in_legend = top or rank == len(comparison.board)
            entries += [entry] * in_legend
            traces.append(
                go.Scatter(
                    x=x, y=list(band["mean"]), mode="lines+markers", name=entry, legendgroup=group,
                    line={"color": colour, "width": 2 if top else 1, "dash": "dash" if rank == len(COLOURS) else None},
                    marker={"size": 5 if top else 3}, showlegend=in_legend,
                    text=[_wrapped(name, 60)] * len(x), hovertemplate="%{y:.4g}, epoch %{x}<br>%{text}<extra></extra>",
                )
            )  # fmt: skip
        means = comparison.curves.replace([math.inf, -math.inf], math.nan)[column].dropna()
        ticks = _log_ticks(means) if kind == "log" else {"tickformat": ".0%"}
        # The legend has its own room below, however long its entries are.
        below = 70 + 18 * sum(1 + entry.count("<br>") for entry in entries)
        picture = _figure(
            traces, 290 + below, xaxis=epochs, yaxis={"title": label, "type": kind} | ticks,
            legend={"orientation": "h", "yref": "container", "yanchor": "bottom", "y": 0, "x": 0,
                    "traceorder": "reversed", "maxheight": below},
            margin={"l": 10, "r": 10, "t": 30, "b": below},
        )  # fmt: skip
        pictures.append((label, picture))
    return pictures


def _log_ticks(values: "pd.Series[float]") -> dict[str, Any]:
    """Ticks at round numbers, each with all of its digits."""
    positive = values[values > 0]
    if positive.empty:
        return {}
    powers = range(math.floor(math.log10(positive.min())), math.ceil(math.log10(positive.max())) + 1)
    ratio = positive.max() / positive.min()
    digits = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 10 else (1, 2, 5) if ratio < 1e4 else (1,)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    ticks = ticks[:: math.ceil(len(ticks) / _TICKS)]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _wrapped(text: str, width: int) -> str:
    """A text for plotly, in lines of a width."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width))


def _ordered(values: Sequence[Any]) -> list[Any]:
    """The values, each once: numbers in their order, and then other texts."""
    return sorted(set(values), key=lambda value: (isinstance(value, str), value is None, value))


def _effect(name: str, values: Sequence[Any], runs: pd.DataFrame) -> str:
    """The validation accuracy of every run, by a value that was swept, and the mean of each value."""
    finished = runs.assign(value=[str(value) for value in values])[runs["status"].to_numpy() == "finished"]
    order = [str(value) for value in _ordered(values)]
    means = finished.groupby("value")["validation_accuracy"].mean().reindex(order).dropna()
    # Long names lie better beside an axis than below it.
    beside = max(map(len, order)) > 18

    def dots(names: list[str], accuracies: list[float], label: str, symbol: str, **marker: Any) -> dict[str, Any]:
        x, y, along = (accuracies, names, "x") if beside else (names, accuracies, "y")
        symbol += ("-ns-open" if beside else "-ew-open") if symbol == "line" else ""
        hover = f"{label} %{{{along}:.2%}}<br>%{{text}}<extra></extra>"
        return {
            "x": x,
            "y": y,
            "mode": "markers",
            "name": label,
            "hovertemplate": hover,
            "marker": marker | {"symbol": symbol},
        }

    runs_, mean = list(finished["validation_accuracy"]), list(means)
    traces = [
        go.Scatter(
            **dots(list(finished["value"]), runs_, "a run", "circle", color=COLOURS[0], size=8, opacity=0.8),
            text=[_wrapped(str(x), 60) for x in finished["configuration"]],
        ),
        go.Scatter(
            **dots(list(means.index), mean, "their mean", "line", color=COLOURS[1], size=26, line={"width": 3}),
            text=[_wrapped(str(value), 60) for value in means.index],
        ),
    ]
    categories = {
        "title": name, "type": "category", "categoryorder": "array", "categoryarray": order[::-1] if beside else order,
        "tickvals": order, "ticktext": [_wrapped(text, 26) for text in order],
    }  # fmt: skip
    accuracies = {"title": "validation accuracy", "tickformat": ".1%"}
    height = max(320, 130 + 46 * len(order)) if beside else 320
    return _figure(
        traces, height, xaxis=accuracies if beside else categories, yaxis=categories if beside else accuracies
    )


def _parallel(factors: dict[str, list[Any]], runs: pd.DataFrame) -> str:
    """Parallel coordinates: a line a run, through its values and its figures."""
    finished = (runs["status"] == "finished").to_numpy()
    if not finished.any():
        return ""
    dimensions: list[dict[str, Any]] = []
    for name, values in factors.items():
        kept = [value for value, ok in zip(values, finished, strict=True) if ok]
        known = [str(value) for value in _ordered(kept)]
        places = [known.index(str(value)) for value in kept]
        # As places on an axis: learning rates of 0.1 and 0.0001 are as far apart as they are meant to be.
        short = [_cut(text, 20) for text in known]
        ticks = {"tickvals": list(range(len(known))), "ticktext": short}
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


def _confusion(analysed: analysis.Analysis) -> str:
    """The confusion matrix; the diagonal is not coloured, as it would hide the rest."""
    counts = analysed.confusion
    K = len(counts)
    wrong = np.where(np.eye(K, dtype=bool), 0, counts)
    classes = list(analysed.names)
    trace = go.Heatmap(
        z=wrong.tolist(), x=classes, y=classes, text=counts.tolist(), texttemplate="%{text}", showscale=False,
        colorscale=[[0, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,0.6)"]], xgap=1, ygap=1,
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
