"""The champion: the best network of an experiment, in MLflow's registry of models."""

import math

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from nerva.experiment.config.metrics import Metric
from nerva.experiment.tracking import entities

# What every value is better than. An accuracy of 0 says nothing.
_WORST = {"accuracy": "0", "r2": "-1e300", "loss": "1e300"}

BEST = 3  # how many runs count as the best of an experiment


def best_runs(client: MlflowClient, experiment_id: str, metric: Metric) -> list[Run]:
    """The best runs of an experiment by a metric, the best one first."""
    logged = f"metrics.`best/{metric.name}`"
    return [
        *client.search_runs(
            [experiment_id],
            # The comparison selects the runs that have the metric.
            f"attributes.status = 'FINISHED' and {logged} {'>' if metric.maximize else '<'} {_WORST[metric.quantity]}",
            order_by=[f"{logged} {'DESC' if metric.maximize else 'ASC'}", "attributes.start_time ASC"],
            max_results=BEST,
        )
    ]


def promote_champion(client: MlflowClient, best: Run, name: str, metric: Metric) -> None:
    """Register the model of the best run as a version with the alias `champion`, if it is better than the champion.

    If there is no champion, the best run becomes the champion.

    Args:
        client: the store.
        best: the best run. Its model has been logged.
        name: the name of the registered model.
        metric: the metric by which runs are compared.
    """
    found = [model for model in client.search_registered_models(f"name = '{name}'") if model.name == name]
    description = f"The best network of the experiment {name}, by {metric.label}."
    if not found:
        client.create_registered_model(name, description=description)
    value = entities.best_value(best, metric)
    reason = f"{metric.label[0].upper()}{metric.label[1:]} {_text(value, metric)} {_sample(best)}"
    if found and "champion" in found[0].aliases:
        champion = client.get_model_version_by_alias(name, "champion")
        before, sample = _measured(client, champion, metric)
        if not metric.is_better(value, before):
            return
        reason += f", better than the {_text(before, metric)} of version {champion.version}"
        reason += f" {sample}" if sample != _sample(best) else ""
    else:
        reason += ": there was no champion"
    run_id = best.data.tags.get("nerva.run_id", "")
    promoted = client.create_model_version(
        name,
        source=f"{best.info.artifact_uri}/model",
        run_id=best.info.run_id,
        tags={metric.name: repr(value), "measured": _sample(best), "nerva.run_id": run_id},
        description=f"{reason}. {best.info.run_name}, run {run_id}.",
    )
    client.set_registered_model_alias(name, "champion", promoted.version)
    if found and found[0].description != description:
        client.update_registered_model(name, description=description)


def _measured(client: MlflowClient, version: ModelVersion, metric: Metric) -> tuple[float, str]:
    """The metric of a model's version, and on what it was measured; nan if it is not known."""
    if metric.name in version.tags:
        return _number(version.tags[metric.name]), version.tags.get("measured", "")
    # A person made this version and gave it the alias. Its model may be of another kind.
    if not version.run_id:
        return math.nan, ""
    run = client.get_run(version.run_id)
    return entities.best_value(run, metric), _sample(run)


def _text(value: float, metric: Metric) -> str:
    """A value with more digits than in a table: champions differ little."""
    return f"{value:.4%}" if metric.is_fraction else f"{value:.6g}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _sample(run: Run) -> str:
    """On what the metric of a run was measured."""
    return f"on {run.data.params.get('data.validation', '?')} samples"
