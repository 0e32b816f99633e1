"""Logging runs: each once, completely, and again when it has been trained again."""

import json
import re
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.tracking import track
from tests.experiment.tracking.sweeps import epochs_in, nerva_track, trained_runs
from tests.helpers import EndError, client_of, configured, end, logged_in, trained


def test_runs_are_logged_once(results, uri) -> None:
    good, bad = trained(configured()), trained(configured("learning_rate.lr=1e30"))
    assert track([good], "digits-test", uri, results) == 1
    assert track([good, bad], "digits-test", uri, results) == 1
    assert track([good, bad], "digits-test", uri, results) == 0
    client = client_of(uri)
    runs = logged_in(client)
    assert len(runs) == 2

    logged = runs[good.run_id]
    assert logged.info.status == "FINISHED"
    assert logged.data.params["optimizer.mu"] == "0.9"
    assert logged.data.params["model.hidden"] == "[64]"
    assert logged.data.params["numerics.mode"] in ("portable", "native")
    assert {name.partition(".")[0] for name in logged.data.params} == {
        *("data", "model", "optimizer", "learning_rate", "loss", "train", "seed", "imports", "backend", "numerics")
    }
    assert logged.data.tags["nerva.data.sha256"] == good.read_provenance().data.sha256
    assert logged.data.tags["nerva.ended"] == json.loads(good.record.read_text())["ended"]
    assert logged.data.tags["nerva.weights"] == good.read_record().weights["weights.npz"]
    assert "mlflow.parentRunId" not in logged.data.tags
    history = client.get_metric_history(logged.info.run_id, "validation/accuracy")
    assert [(m.step, m.value) for m in history] == [
        (row["epoch"], row["validation_accuracy"]) for row in good.read_metrics()
    ]
    assert logged.data.metrics["best/test_accuracy"] == good.read_record().best.test_accuracy
    names = {artifact.path for artifact in client.list_artifacts(logged.info.run_id)}
    assert (
        names - {"model", "pictures"}
        == {path.name for path in good.path.iterdir()}
        > {"config.yaml", "run.json", "weights.npz"}
    )
    local = client.download_artifacts(logged.info.run_id, "weights.npz")
    assert Path(local).read_bytes() == good.weights.read_bytes()
    assert logged.info.artifact_uri.startswith((results / "mlartifacts" / "digits-test").as_uri())

    assert runs[bad.run_id].info.status == "FAILED"
    assert "training diverged" in runs[bad.run_id].data.tags["mlflow.note.content"]


def test_metrics_that_were_not_measured_are_not_logged(results, uri) -> None:
    folder = trained(configured("train.epochs=3", "train.evaluate_training=2"))
    track([folder], "digits-test", uri, results)
    client = client_of(uri)
    run_id = logged_in(client)[folder.run_id].info.run_id
    for metric, epochs in (("train/loss", [0, 2, 3]), ("train/accuracy", [0, 2, 3]), ("validation/loss", [0, 1, 2, 3])):
        assert [m.step for m in client.get_metric_history(run_id, metric)] == epochs


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, empty_store):
    """A sweep in MLflow: two learning rates, one of which diverges."""
    results = tmp_path_factory.mktemp("sweep") / "results"
    results.mkdir()
    shutil.copy(empty_store, results)
    rates = ("0.1", "1e30")
    folders = [trained(configured(f"learning_rate.lr={rate}", f"results_dir={results}")) for rate in rates]
    uri = f"sqlite:///{results}/mlflow.db"
    assert track(folders, "digits-test", uri, results, Sweep("0123abcd", "test rates"), "Which rate?") == 2
    return uri, folders


def test_a_sweep_is_the_parent_of_its_runs(sweep) -> None:
    uri, folders = sweep
    client = client_of(uri)
    runs = logged_in(client)
    assert set(runs) == {"sweep", *(folder.run_id for folder in folders)}
    parent = runs.pop("sweep")
    assert (parent.info.run_name, parent.info.status) == ("test rates", "FINISHED")
    assert parent.data.tags["mlflow.note.content"].startswith(
        "Which rate?  \n2 runs, of which 1 failed  \nbest: lr=0.1"
    )
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert not parent.data.params
    assert client.get_experiment_by_name("digits-test").tags["mlflow.note.content"] == "Which rate?"


def test_metrics_datasets_and_privacy(sweep) -> None:
    uri, folders = sweep
    logged = logged_in(client_of(uri))[folders[0].run_id]
    groups = {name.partition("/")[0] for name in logged.data.metrics}
    assert groups == {"train", "validation", "test", "best", "time"}
    assert logged.data.metrics["time/samples_per_second"] > 0
    contexts = {i.tags[0].value: i.dataset for i in logged.inputs.dataset_inputs}
    assert set(contexts) == {"train", "validation", "test"}
    sha256 = folders[0].read_provenance().data.sha256
    for dataset in contexts.values():
        assert sha256.startswith(dataset.digest)
        assert sha256 in dataset.source
    assert '"num_rows": 300' in contexts["validation"].profile
    assert logged.info.user_id == ""


def test_pictures(sweep) -> None:
    uri, folders = sweep
    client = client_of(uri)
    run_id = logged_in(client)[folders[0].run_id].info.run_id
    names = {artifact.path.removeprefix("pictures/") for artifact in client.list_artifacts(run_id, "pictures")}
    assert names == {"learning_curves.png", "first_layer.png", "confusion_matrix.png", "worst_images.png"}
    local = Path(client.download_artifacts(run_id, "pictures/confusion_matrix.png"))
    assert local.read_bytes().startswith(b"\x89PNG")


def test_a_run_that_was_only_created_is_completed(results, uri) -> None:
    (folder,) = trained_runs(1)
    track([], "digits-test", uri, results)
    client = client_of(uri)
    experiment = client.get_experiment_by_name("digits-test").experiment_id
    client.create_run(experiment, tags={"nerva.run_id": folder.run_id})  # and then the process was killed
    assert track([folder], "digits-test", uri, results) == 1
    assert [run.info.status for run in client.search_runs([experiment])] == ["FINISHED"]


def test_a_long_run_is_logged_completely(results, uri) -> None:
    """It has more metrics than MLflow accepts at once."""
    folder = trained(configured("train.epochs=130", "model=linear"))
    track([folder], "digits-test", uri, results)
    client = client_of(uri)
    (logged,) = logged_in(client).values()
    assert epochs_in(client, logged) == list(range(131))


def test_parameters_that_are_too_many_or_too_long(results, uri, monkeypatch) -> None:
    from nerva.experiment.tracking import entities

    long = "x" * 100_000
    many = {f"key{n}": n for n in range(250)}
    flat = entities.flat
    monkeypatch.setattr(entities, "flat", lambda config: flat(config) | many | {"long": long})
    (folder,) = trained_runs(1)
    track([folder], "digits-test", uri, results)
    params = logged_in(client_of(uri))[folder.run_id].data.params
    assert {key: params[key] for key in many} == {key: str(value) for key, value in many.items()}
    assert params["long"].endswith("… (100000 characters: config.yaml has them all)")
    assert len(params["long"]) == 6000


def test_a_run_that_is_trained_again_is_logged_again(results, uri) -> None:
    folder = trained(configured())
    track([folder], "digits-test", uri, results)
    first = logged_in(client_of(uri))[folder.run_id]
    trained(configured("force=true"))
    assert track([folder], "digits-test", uri, results) == 1
    assert logged_in(client_of(uri))[folder.run_id].info.run_id != first.info.run_id


def test_a_run_that_restarted_is_logged_once(results, uri) -> None:
    """Its epochs have other times than those that MLflow has of the earlier attempt."""
    folder = trained(configured())
    record = folder.record.read_text()
    folder.record.unlink()
    track([folder], "digits-test", uri, results)
    client = client_of(uri)
    assert logged_in(client)[folder.run_id].info.status == "KILLED"
    folder.metrics.write_text(folder.metrics.read_text().replace(".", ".1"))
    folder.record.write_text(record)
    track([folder], "digits-test", uri, results)
    (logged,) = logged_in(client).values()
    assert epochs_in(client, logged) == [0, 1, 2]


def test_a_run_that_trains_is_logged_epoch_by_epoch(results, uri, monkeypatch) -> None:
    """Only what is new is sent; and when it has ended, the rest."""
    from mlflow import MlflowClient

    folder = trained(configured())
    record, lines = folder.record.read_text(), folder.metrics.read_text().splitlines(keepends=True)
    folder.record.unlink()
    sent: list[set[int]] = []
    log_batch = MlflowClient.log_batch

    def spy(self, run_id, metrics=(), **rest):
        if metrics:
            sent.append({metric.step for metric in metrics})
        return log_batch(self, run_id, metrics=metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", spy)
    for epochs, logged in ((1, 1), (1, 0), (3, 1)):
        folder.metrics.write_text("".join(lines[: epochs + 1]))
        assert track([folder], "digits-test", uri, results, live=True) == logged
    assert sent == [{0}, {1, 2}]
    client = client_of(uri)
    (logged,) = logged_in(client).values()
    assert logged.info.status == "RUNNING"
    assert not client.list_artifacts(logged.info.run_id)
    folder.record.write_text(record)
    assert track([folder], "digits-test", uri, results) == 1
    (logged,) = logged_in(client).values()
    assert logged.info.status == "FINISHED"
    assert epochs_in(client, logged) == [0, 1, 2]


@pytest.mark.parametrize("call", ["log_batch", "log_inputs", "log_artifact", "set_terminated"])
def test_logging_that_was_killed_is_completed(results, uri, monkeypatch, call: str) -> None:
    from mlflow import MlflowClient

    folder = trained(configured())
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, end)
        with pytest.raises(EndError):
            track([folder], "digits-test", uri, results)
    assert track([folder], "digits-test", uri, results) == 1
    assert track([folder], "digits-test", uri, results) == 0
    client = client_of(uri)
    (logged,) = logged_in(client).values()
    assert logged.info.status == "FINISHED"
    assert logged.data.params["optimizer.mu"] == "0.9"
    assert len(logged.inputs.dataset_inputs) == 3  # for training, validation and testing
    assert epochs_in(client, logged) == [0, 1, 2]


def test_a_process_that_waits_for_a_run_does_not_end_it(results, uri) -> None:
    """A run whose metrics are gone, because Snakemake deletes them after a failed job, is ended nevertheless."""
    (folder,) = trained_runs(1)
    folder.record.unlink()
    with FileLock(folder.lock):  # another process trains the run
        track([folder], "digits-test", uri, results)
        assert logged_in(client_of(uri))[folder.run_id].info.status == "RUNNING"
    folder.metrics.unlink()
    track([folder], "digits-test", uri, results)
    assert logged_in(client_of(uri))[folder.run_id].info.status == "KILLED"


def test_links_are_not_followed(results, uri, tmp_path) -> None:
    """A run folder that was copied here must not upload other files."""
    (folder,) = trained_runs(1)
    (tmp_path / "secret.txt").write_text("secret")
    (folder.path / "notes.txt").symlink_to(tmp_path / "secret.txt")
    (folder.path / "home").symlink_to(tmp_path)
    track([folder], "digits-test", uri, results)
    client = client_of(uri)
    names = {artifact.path for artifact in client.list_artifacts(logged_in(client)[folder.run_id].info.run_id)}
    assert names >= {"run.json", "model"}
    assert not names & {"notes.txt", "home"}


def test_records_of_the_previous_version(results, uri) -> None:
    """Their provenance does not say how functions were hashed."""
    (folder,) = trained_runs(1)
    provenance = json.loads(folder.provenance.read_text())
    del provenance["code"]["scheme"]
    folder.provenance.write_text(json.dumps(provenance))
    assert track([folder], "digits-test", uri, results) == 1
    assert track([folder], "digits-test", uri, results) == 0
    assert logged_in(client_of(uri))[folder.run_id].info.status == "FINISHED"


@pytest.mark.parametrize("title", ["../../elsewhere", "a/b", "", "digits'test", "x" * 300])
def test_titles_that_are_no_names_of_folders(results, uri, title: str) -> None:
    """The title may come from a record that was copied here, and names the folder of the artifacts."""
    with pytest.raises(NervaError, match="is not the title of an experiment"):
        track([], title, uri, results)


@pytest.mark.parametrize("sweep_id", ["a b", "'", "../x", "x" * 65])
def test_sweep_ids_that_would_change_a_filter(results, uri, sweep_id: str) -> None:
    with pytest.raises(NervaError, match=re.escape("sweep.id should be")):
        track([], "digits-test", uri, results, Sweep(sweep_id))


def test_nothing_to_log(results) -> None:
    code, output = nerva_track()
    assert code == 1
    assert f"there are no runs in {results}; train some first" in output
