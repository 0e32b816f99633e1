"""A run in MLflow's terms: its name, tags, parameters, metrics and datasets."""

import dataclasses
import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.types import Schema, TensorSpec

from nerva.experiment.config.metrics import PARTS, SCORES
from nerva.experiment.config.metrics import Metric as NervaMetric
from nerva.experiment.config.schema import Config, specification
from nerva.experiment.identity.canonical import flat
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.records.run_record import RunRecord
from nerva.training import evaluates_training_set

# The parts of a configuration that do not describe the run, or are too long for a parameter.
_NOT_PARAMETERS = (
    *("data.files", "data.mirrors", "data.candidates", "data.class_names", "data.note"),
    *("tracking", "experiment_name", "question", "sweep", "results_dir", "force", "objective", "direction"),
)

_LONGEST = 6000  # characters of a value that MLflow accepts
_LONGEST_NAME = 250

# The names of the columns of metrics.csv in MLflow, whose charts are grouped by the part before the slash.
METRICS = {
    **{f"{part}_loss": f"{part}/loss" for part in PARTS},
    **{f"{part}_{score}": f"{part}/{score}" for part in PARTS for score in SCORES.values()},
    "learning_rate": "train/learning_rate",
    "seconds": "time/seconds_per_epoch",
}


_OF_TRAINING_SET = ("train_loss", *(f"train_{score}" for score in SCORES.values()))


def parameters(config: Config) -> list[Param]:
    """The parameters of a configuration, by their dotted names."""
    values = flat(dataclasses.asdict(config) | {"data": config.data.stated()}).items()
    return [Param(name, short(str(value))) for name, value in values if not name.startswith(_NOT_PARAMETERS)]


def run_name(config: Config) -> str:
    """A name that differs from those of similar runs in its first words, because lists show only these."""
    schedule = config.learning_rate
    is_constant = schedule.get("name") == "Constant" and "lr" in schedule
    rate = f"lr={schedule['lr']}" if is_constant else specification(schedule)
    library = "" if config.backend.name == "numpy" else f" {config.backend.name}"
    return short_name(f"{rate} seed={config.seed} {specification(config.optimizer)}{library}")


def tags(provenance: Provenance) -> dict[str, str]:
    """The tags that say where a run comes from."""
    values = {
        "nerva.run_id": provenance.run_id,
        "nerva.configuration_id": provenance.configuration_id,
        "nerva.overrides": " ".join(provenance.overrides),
        "nerva.data.name": provenance.data.name,
        "nerva.data.sha256": provenance.data.sha256,
        "nerva.code": provenance.code.fingerprint,
        "nerva.dirty": provenance.code.dirty,
        **{f"nerva.environment.{key}": value for key, value in provenance.environment.items()},
        "mlflow.source.name": "nerva",
        "mlflow.source.git.commit": provenance.code.git_commit,
        "mlflow.user": "",  # nothing says who trained the run
    }
    return {key: short(str(value)) for key, value in values.items() if value is not None}


def epoch_metrics(rows: Iterable[dict[str, float]], config: Config) -> list[Metric]:
    """The metrics of epochs, with the epoch as step."""
    samples = config.data.train - config.data.validation
    metrics = []
    for row in rows:
        due = evaluates_training_set(int(row["epoch"]), config.train.evaluate_training, config.train.epochs)
        values = {name: row[c] for c, name in METRICS.items() if c in row and (due or c not in _OF_TRAINING_SET)}
        if row["seconds"] > 0:
            values["time/samples_per_second"] = samples / row["seconds"]
        metrics += [Metric(name, value, round(row["time"] * 1000), int(row["epoch"])) for name, value in values.items()]
    return metrics


def best_metrics(record: RunRecord) -> list[Metric]:
    """The metrics of the best epoch, all at step 0: MLflow draws metrics of one step as bars, side by side."""
    if record.best is None:
        return []
    best = dataclasses.asdict(record.best).items()
    time = milliseconds(record.ended)
    return [Metric(f"best/{name}", float(value), time, 0) for name, value in best if value is not None]


def datasets(config: Config, provenance: Provenance) -> list[DatasetInput]:
    """The three parts of a run's data, each identified by the checksum of all data."""
    data, features, sha256 = config.data, config.data.features, provenance.data.sha256
    parts = {"train": data.train - data.validation, "validation": data.validation, "test": data.test}
    regression = data.task == "regression"
    targets = TensorSpec(np.dtype(np.float32 if regression else np.int64), (-1, *data.shapes["Ttest"][1:]), "targets")
    schema = {
        "mlflow_tensorspec": {
            "features": Schema([TensorSpec(np.dtype(np.float32), (-1, features), "features")]).to_json(),
            "targets": Schema([targets]).to_json(),
        }
    }
    source = json.dumps({"sha256": sha256, "title": data.title, "source": provenance.data.source})
    return [
        DatasetInput(
            Dataset(
                name=f"{data.name} ({part})",
                digest=sha256[:36],  # the longest that MLflow accepts
                source_type="nerva",
                source=source,
                schema=json.dumps(schema),
                profile=json.dumps(
                    {
                        "num_rows": rows,
                        "features_shape": [rows, features],
                        "targets_shape": [rows, *data.shapes["Ttest"][1:]],
                    }
                ),
            ),
            [InputTag("mlflow.data.context", part)],
        )
        for part, rows in parts.items()
    ]


def short(value: str) -> str:
    """A value that MLflow accepts: cut with a note if it is too long, and without what is not Unicode."""
    value = value.encode(errors="replace").decode()
    note = f"… ({len(value)} characters: config.yaml has them all)"
    return value if len(value) <= _LONGEST else value[: _LONGEST - len(note)] + note


def short_name(name: str) -> str:
    """A name that MLflow accepts."""
    return short(name)[:_LONGEST_NAME]


def best_value(run: Run, metric: NervaMetric) -> float:
    """The metric of a run in its best epoch; nan if it has none."""
    return float(run.data.metrics.get(f"best/{metric.name}", math.nan))


def milliseconds(time: datetime) -> int:
    """A time as MLflow has it: in milliseconds after 1970. Without a time zone, it is in UTC."""
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
