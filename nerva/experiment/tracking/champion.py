"""The champion: the best network of an experiment, in MLflow's registry."""

import math

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from nerva.experiment.tracking import entities


def crown(client: MlflowClient, experiment_id: str, name: str) -> None:
    """Lets the alias `champion` name the best run by validation accuracy, if that is better than the one before."""
    runs = client.search_runs(
        [experiment_id],
        "attributes.status = 'FINISHED' and metrics.`best/validation_accuracy` > 0",
        order_by=["metrics.`best/validation_accuracy` DESC", "attributes.start_time ASC"],
        max_results=1,
    )
    if not runs:
        return
    best = runs[0]
    found = [model for model in client.search_registered_models(f"name = '{name}'") if model.name == name]
    if not found:
        client.create_registered_model(
            name, description=f"The best network of the experiment {name}, by validation accuracy."
        )
    reason = f"Validation accuracy {entities.accuracy(best):.4%} {_split(best)}"
    if found and "champion" in found[0].aliases:
        before = client.get_model_version_by_alias(name, "champion")
        accuracy, on = _measured(client, before)
        if not entities.accuracy(best) > accuracy:
            return
        reason += f", better than the {accuracy:.4%} of version {before.version}"
        reason += f" {on}" if on != _split(best) else ""
    else:
        reason += ": the first champion"
    champion = client.create_model_version(
        name,
        source=f"{best.info.artifact_uri}/model",
        run_id=best.info.run_id,
        tags={
            "validation_accuracy": repr(entities.accuracy(best)),
            "measured": _split(best),
            "nerva.run_id": best.data.tags["nerva.run_id"],
        },
        description=f"{reason}. {best.info.run_name}, run {best.data.tags['nerva.run_id']}.",
    )
    client.set_registered_model_alias(name, "champion", champion.version)


def _measured(client: MlflowClient, version: ModelVersion) -> tuple[float, str]:
    """The validation accuracy of a version, nan if it isn't known, and on how much it was measured."""
    if "validation_accuracy" in version.tags:
        return float(version.tags["validation_accuracy"]), version.tags.get("measured", "")
    # The alias was given by hand, to a model of whatever kind.
    if not version.run_id:
        return math.nan, ""
    run = client.get_run(version.run_id)
    return run.data.metrics.get("best/validation_accuracy", math.nan), _split(run)


def _split(run: Run) -> str:
    """On how much a run's validation accuracy was measured."""
    return f"on {run.data.params.get('data.validation', '?')} images"
