"""Runs in MLflow."""

from pathlib import Path

import pytest

from nerva.errors import NervaError
from nerva.experiment.run import run
from tests.experiment.conftest import configured


def test_runs_are_logged_once(results) -> None:
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    uri = f"sqlite:///{results}/mlflow.db"
    good, bad = run(configured(), []), run(configured("learning_rate.lr=1e30"), [])
    assert track([good], "digits-test", uri, results) == 1
    assert track([good, bad], "digits-test", uri, results) == 1
    assert track([good, bad], "digits-test", uri, results) == 0
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits-test")
    runs = {r.data.tags["nerva.run_id"]: r for r in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 2

    logged = runs[good.run_id]
    assert logged.info.status == "FINISHED"
    assert logged.data.params["optimizer.mu"] == "0.9"
    assert logged.data.params["model.hidden"] == "[64]"
    assert logged.data.tags["nerva.data.sha256"] == good.read_provenance()["data"]["sha256"]
    assert logged.data.tags["nerva.sweep"] == "digits-test"
    history = client.get_metric_history(logged.info.run_id, "validation/accuracy")
    assert [(m.step, m.value) for m in history] == [
        (row["epoch"], row["validation_accuracy"]) for row in good.read_metrics()
    ]
    assert logged.data.metrics["best/test_accuracy"] == good.read_summary()["best"]["test_accuracy"]
    names = {artifact.path for artifact in client.list_artifacts(logged.info.run_id)}
    assert names == {path.name for path in good.path.iterdir()} > {"config.yaml", "run.json", "weights.npz"}
    local = client.download_artifacts(logged.info.run_id, "weights.npz")
    assert Path(local).read_bytes() == good.weights.read_bytes()
    assert logged.info.artifact_uri.startswith((results / "mlartifacts" / "digits-test").as_uri())

    assert runs[bad.run_id].info.status == "FAILED"
    assert "training diverged" in runs[bad.run_id].data.tags["mlflow.note.content"]


def test_what_was_left_half_logged_is_logged_again(results) -> None:
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    uri = f"sqlite:///{results}/mlflow.db"
    folder = run(configured(), [])
    track([], "digits-test", uri, results)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits-test").experiment_id
    client.create_run(experiment, tags={"nerva.run_id": folder.run_id})  # and then its process was killed
    assert track([folder], "digits-test", uri, results) == 1
    assert [r.info.status for r in client.search_runs([experiment])] == ["FINISHED"]


def test_a_long_run_is_logged_whole(results) -> None:
    """More metrics than MLflow takes at once."""
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    folder = run(configured("train.epochs=130", "model=linear"), [])
    uri = f"sqlite:///{results}/mlflow.db"
    track([folder], "digits-test", uri, results)
    client = MlflowClient(uri)
    logged = client.search_runs([client.get_experiment_by_name("digits-test").experiment_id])[0]
    for name in ("train/loss", "time/seconds", "test/accuracy"):
        assert [m.step for m in client.get_metric_history(logged.info.run_id, name)] == list(range(131))


def test_a_store_that_cannot_be_had_is_told(results) -> None:
    from nerva.experiment.tracking import track

    results.mkdir()
    (results / "mlflow.db").write_text("this is no database, but long enough to be taken for one at first sight")
    with pytest.raises(NervaError, match=r"mlflow\.db"):
        track([], "digits-test", f"sqlite:///{results}/mlflow.db", results)
