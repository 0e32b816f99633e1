"""What a folder says of a run, as MLflow names it: parameters, metrics and datasets."""

import json
from datetime import datetime
from typing import Any

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.types import Schema, TensorSpec

from nerva.experiment.config.schema import Config, flat, specification
from nerva.experiment.records.run_folder import RunFolder

# What of a configuration says nothing about a run.
_NOT_PARAMETERS = ("data.files", "data.mirrors", "data.candidates", "data.class_names")

_LONGEST = 6000  # characters of a value, which MLflow takes

# Columns of metrics.csv, by what they are called in MLflow. Its charts are grouped by what stands before the slash.
METRICS = {
    **{f"{part}_loss": f"{part}/loss" for part in ("train", "validation", "test")},
    **{f"{part}_accuracy": f"{part}/accuracy" for part in ("train", "validation", "test")},
    "learning_rate": "train/learning_rate",
    "seconds": "time/seconds_per_epoch",
}


def parameters(config: dict[str, Any]) -> list[Param]:
    """A configuration's parameters, by their dotted names."""
    values = {name: value for name, value in flat(config).items() if not name.startswith(_NOT_PARAMETERS)}
    return [Param(name, short(str(value))) for name, value in values.items()]


def name(config: dict[str, Any]) -> str:
    """What tells a run from its neighbours in a list, which shows the first words only."""
    schedule = config["learning_rate"]
    rate = f"lr={schedule['lr']}" if schedule["name"] == "Constant" else specification(schedule)
    return f"{rate} seed={config['seed']} {specification(config['optimizer'])}"[:250]


def short(value: str) -> str:
    """A value, cut if MLflow would, but so that it can be seen."""
    note = f"… ({len(value)} characters: config.yaml has them all)"
    return value if len(value) <= _LONGEST else value[: _LONGEST - len(note)] + note


def metrics(rows: list[dict[str, float]], folder: RunFolder, summary: dict[str, Any]) -> list[Metric]:
    """A run's metrics, with the epoch as step."""
    metrics = [
        Metric(name, row[column], round(row["time"] * 1000), int(row["epoch"]))
        for row in rows
        for column, name in METRICS.items()
    ]
    data = folder.load_config().data
    images = data.train - data.validation
    metrics += [
        Metric("time/images_per_second", images / row["seconds"], round(row["time"] * 1000), int(row["epoch"]))
        for row in rows
        if row["seconds"] > 0
    ]
    # One figure a run, all at step 0: MLflow draws those as bars, side by side.
    best = summary.get("best") or {}
    return metrics + [Metric(f"best/{key}", value, milliseconds(summary["ended"]), 0) for key, value in best.items()]


def datasets(config: Config, origin: dict[str, Any]) -> list[DatasetInput]:
    """The three parts of a run's data, each known by the checksum of them all."""
    data, features = config.data, config.data.features
    sha256 = origin["data"]["sha256"]
    parts = {"train": data.train - data.validation, "validation": data.validation, "test": data.test}
    schema = {
        "mlflow_tensorspec": {
            "features": Schema([TensorSpec(np.dtype(np.float32), (-1, features), "features")]).to_json(),
            "targets": Schema([TensorSpec(np.dtype(np.int64), (-1,), "targets")]).to_json(),
        }
    }
    source = json.dumps({"sha256": sha256, "title": data.title, "source": origin["data"]["source"]})
    return [
        DatasetInput(
            Dataset(
                name=f"{data.name} ({part})",
                digest=sha256[:36],  # the longest that MLflow takes
                source_type="nerva",
                source=source,
                schema=json.dumps(schema),
                profile=json.dumps({"num_rows": rows, "features_shape": [rows, features], "targets_shape": [rows]}),
            ),
            [InputTag("mlflow.data.context", part)],
        )
        for part, rows in parts.items()
    ]


def accuracy(run: Run) -> float:
    """A run's best validation accuracy; 0 if it has none."""
    return float(run.data.metrics.get("best/validation_accuracy", 0))


def milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time).timestamp() * 1000)
