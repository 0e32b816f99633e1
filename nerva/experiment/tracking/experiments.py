"""Experiments in MLflow."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient

from nerva.errors import NervaError
from nerva.experiment.records.privacy import private
from nerva.experiment.tracking import entities
from nerva.experiment.tracking.address import database_path


def find_experiment(client: MlflowClient, title: str, question: str, uri: str, results_dir: Path) -> str:
    """The id of an experiment, which is created if necessary.

    Args:
        client: the store.
        title: the name of the experiment.
        question: the question that it asks, which becomes its description.
        uri: the address of the store.
        results_dir: the folder of all results.

    Raises:
        NervaError: if the experiment has been deleted in MLflow, or the database has been moved.
    """
    artifacts = (results_dir / "mlartifacts" / title).absolute()
    found = client.get_experiment_by_name(title)
    if found is None:
        # A server knows where its artifacts belong. MLflow would put those of a database into the current folder.
        location = artifacts.as_uri() if database_path(uri) else None
        experiment_id = str(client.create_experiment(title, artifact_location=location))
    elif found.lifecycle_stage == "deleted":
        raise NervaError(
            f"the experiment {title} was deleted in MLflow at {private(uri)}; restore it there (mlflow experiments "
            f"restore --experiment-id {found.experiment_id}), or choose another experiment_name"
        )
    else:
        experiment_id = str(found.experiment_id)
        _check_location(uri, found.artifact_location, artifacts, results_dir)
    question = entities.short(question)
    if question and (found is None or found.tags.get("mlflow.note.content") != question):
        client.set_experiment_tag(experiment_id, "mlflow.note.content", question)
    return experiment_id


def _check_location(uri: str, location: str, artifacts: Path, results_dir: Path) -> None:
    """Raise a NervaError if results have been moved or copied: MLflow would look for artifacts at the former place."""
    path = database_path(uri)
    if path is None or not location.startswith("file:") or location == artifacts.as_uri():
        return
    former = Path(url2pathname(urlsplit(location).path))
    if path.absolute().is_relative_to(results_dir.absolute()) or not former.parent.exists():
        raise NervaError(
            f"{private(str(path))} was created elsewhere, and its artifacts are expected in {private(str(former))}; "
            "move the database away, and `nerva track` creates a new one"
        )
