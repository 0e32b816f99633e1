"""The section of a report about the search that proposed its runs, and the table of trials."""

import math
from typing import Any

import pandas as pd

from nerva.experiment.config.metrics import number, percent
from nerva.experiment.records.search_record import SearchRecord, Trial, Value
from nerva.experiment.report.plotly_charts import importance_chart, trials_chart

TRIALS = 60  # that the report shows; trials.csv has all

_SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator (TPE) of Optuna, after ten random trials",
    "random": "at random",
    "grid": "in the order of the grid",
}
_PRUNERS = {
    "median": "when its best {metric} so far was worse than the median of the complete trials at the same epoch",
    "halving": "by successive halving of the {metric}: at a few epochs, only the best quarter of the trials continues",
}


def search_section(record: SearchRecord) -> dict[str, Any]:
    """What the template shows about a search."""
    shown = sorted(sorted(record.trials, key=lambda trial: _rank(record, trial))[:TRIALS], key=lambda t: t.number)
    metric = record.metric.replace("_", " ")
    return {
        "record": record,
        "described": record.counts,
        "proposed": _SAMPLERS[record.sampler],
        "pruned": _PRUNERS.get(record.pruner, "").format(metric=metric),
        "best": record.best,
        "best_text": value_text(record, record.best.value or 0.0) if record.best else "",
        "history": trials_chart(record, value_text) if record.best else "",
        "importance": importance_chart(record.importance) if record.importance else "",
        "keys": [*record.trials[0].values] if record.trials else [],
        "trials": [_row(record, trial) for trial in shown],
    }


def trials_table(record: SearchRecord) -> pd.DataFrame:
    """One row per trial, in the order of their numbers."""
    rows = [
        {
            "trial": trial.number,
            "state": trial.state,
            "value": math.nan if trial.value is None else trial.value,
            "epochs": len(trial.metrics),
            **trial.values,
            "run_id": trial.run_id,
            "reason": trial.reason,
        }
        for trial in record.trials
    ]
    return pd.DataFrame(rows)


def importance_table(record: SearchRecord) -> pd.DataFrame:
    """The importance of each key of the space: one row per key, the most important first."""
    rows = sorted(record.importance.items(), key=lambda item: -item[1])
    return pd.DataFrame(rows, columns=["factor", "share"])


def value_text(record: SearchRecord, value: float) -> str:
    """A value of the objective for people."""
    return percent(value) if record.objective.endswith("accuracy") else number(value)


def _rank(record: SearchRecord, trial: Trial) -> tuple[bool, float]:
    """Orders trials: complete ones first, by their values."""
    value = trial.value
    return (value is None, 0.0 if value is None else -value if record.maximize else value)


def _row(record: SearchRecord, trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "best": trial == record.best,
        "value": "–" if trial.value is None else value_text(record, trial.value),
        "epochs": len(trial.metrics) or "–",
        "values": [_short(value) for value in trial.values.values()],
        "run_id": trial.run_id or "–",
        "reason": trial.reason,
    }


def _short(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
