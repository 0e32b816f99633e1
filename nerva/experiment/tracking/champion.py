"""The champion: the best network of an experiment, in MLflow's registry of models."""

import math

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from nerva.experiment.tracking import entities

BEST = 3  # how many runs count as the best of an experiment


def best_runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    """The runs of an experiment with the highest validation accuracy, the best one first."""
    return [
        *client.search_runs(
            [experiment_id],
            "attributes.status = 'FINISHED' and metrics.`best/validation_accuracy` > 0",
            order_by=["metrics.`best/validation_accuracy` DESC", "attributes.start_time ASC"],
            max_results=BEST,
        )
    ]


def promote_champion(client: MlflowClient, best: Run, name: str) -> None:
    """Register the model of the best run as a version with the alias `champion`, if it is better than the champion.

    Better means a higher validation accuracy. If there is no champion, the best run becomes the champion.

    Args:
        client: the store.
        best: the best run. Its model has been logged.
        name: the name of the registered model.
    """
    found = [model for model in client.search_registered_models(f"name = '{name}'") if model.name == name]
    if not found:
        client.create_registered_model(
            name, description=f"The best network of the experiment {name}, by validation accuracy."
        )
    reason = f"Validation accuracy {entities.accuracy(best):.4%} {_sample(best)}"
    if found and "champion" in found[0].aliases:
        champion = client.get_model_version_by_alias(name, "champion")
        accuracy, sample = _measured(client, champion)
        if not entities.accuracy(best) > accuracy:
            return
        reason += f", better than the {accuracy:.4%} of version {champion.version}"
        reason += f" {sample}" if sample != _sample(best) else ""
    else:
        reason += ": there was no champion"
    run_id = best.data.tags.get("nerva.run_id", "")
    promoted = client.create_model_version(
        name,
        source=f"{best.info.artifact_uri}/model",
        run_id=best.info.run_id,
        tags={"validation_accuracy": repr(entities.accuracy(best)), "measured": _sample(best), "nerva.run_id": run_id},
        description=f"{reason}. {best.info.run_name}, run {run_id}.",
    )
    client.set_registered_model_alias(name, "champion", promoted.version)


def _measured(client: MlflowClient, version: ModelVersion) -> tuple[float, str]:
    """The validation accuracy of a model's version, and on what it was measured; nan if it is not known."""
    if "validation_accuracy" in version.tags:
        return _number(version.tags["validation_accuracy"]), version.tags.get("measured", "")
    # A person made this version and gave it the alias. Its model may be of another kind.
    if not version.run_id:
        return math.nan, ""
    run = client.get_run(version.run_id)
    return run.data.metrics.get("best/validation_accuracy", math.nan), _sample(run)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _sample(run: Run) -> str:
    """On what the validation accuracy of a run was measured."""
    return f"on {run.data.params.get('data.validation', '?')} images"
