"""Runs in MLflow."""

import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import requests
from filelock import FileLock

from nerva.experiment.report.predictions import load
from nerva.experiment.run.train import run
from nerva.utilities import load_dict_from_npz
from tests.helpers import (
    EndError,
    client_of,
    configured,
    end,
    failed_plainly,
    free_port,
    kill,
    logged_in,
    served,
    started,
    until,
)


def test_runs_are_logged_once(results, uri) -> None:
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

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
    assert "mlflow.parentRunId" not in logged.data.tags
    history = client.get_metric_history(logged.info.run_id, "validation/accuracy")
    assert [(m.step, m.value) for m in history] == [
        (row["epoch"], row["validation_accuracy"]) for row in good.read_metrics()
    ]
    assert logged.data.metrics["best/test_accuracy"] == good.read_summary()["best"]["test_accuracy"]
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


def test_what_was_left_half_logged_is_logged_again(results, uri) -> None:
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    folder = run(configured(), [])
    track([], "digits-test", uri, results)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits-test").experiment_id
    client.create_run(experiment, tags={"nerva.run_id": folder.run_id})  # and then its process was killed
    assert track([folder], "digits-test", uri, results) == 1
    assert [r.info.status for r in client.search_runs([experiment])] == ["FINISHED"]


def test_a_long_run_is_logged_whole(results, uri) -> None:
    """More metrics than MLflow takes at once."""
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    folder = run(configured("train.epochs=130", "model=linear"), [])
    track([folder], "digits-test", uri, results)
    client = MlflowClient(uri)
    logged = client.search_runs([client.get_experiment_by_name("digits-test").experiment_id])[0]
    for name in ("train/loss", "time/seconds_per_epoch", "test/accuracy"):
        assert [m.step for m in client.get_metric_history(logged.info.run_id, name)] == list(range(131))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, empty_store):
    """A sweep in MLflow: two seeds by two rates, one of which diverges."""
    from nerva.experiment.config.schema import Sweep
    from nerva.experiment.tracking import track

    results = tmp_path_factory.mktemp("sweep") / "results"
    results.mkdir()
    shutil.copy(empty_store, results)
    overrides = [f"results_dir={results}", "question=Which rate?"]
    points = [(rate, seed) for rate in ("0.1", "1e30") for seed in (1, 2)]
    folders = [run(configured(f"learning_rate.lr={rate}", f"seed={seed}", *overrides), []) for rate, seed in points]
    uri = f"sqlite:///{results}/mlflow.db"
    assert track(folders, "digits-test", uri, results, Sweep("0123abcd", "test seed=1,2"), "Which rate?") == 4
    return results, uri, folders


def test_a_sweep_is_a_parent_with_its_points_as_children(sweep) -> None:
    _, uri, folders = sweep
    client = client_of(uri)
    runs = logged_in(client)
    assert set(runs) == {"sweep", *(folder.run_id for folder in folders)}
    parent = runs.pop("sweep")
    assert (parent.info.run_name, parent.info.status) == ("test seed=1,2", "FINISHED")
    assert parent.data.tags["mlflow.note.content"].startswith(
        "Which rate?  \n4 runs, of which 2 failed  \nbest: lr=0.1"
    )
    assert {r.data.tags["mlflow.parentRunId"] for r in runs.values()} == {parent.info.run_id}
    assert not parent.data.params
    assert client.get_experiment_by_name("digits-test").tags["mlflow.note.content"] == "Which rate?"


def test_a_runs_metrics_and_data(sweep) -> None:
    _, uri, folders = sweep
    logged = logged_in(client_of(uri))[folders[0].run_id]
    groups = {name.partition("/")[0] for name in logged.data.metrics}
    assert groups == {"train", "validation", "test", "best", "time"}
    assert logged.data.metrics["time/images_per_second"] > 0
    contexts = {i.tags[0].value: i.dataset for i in logged.inputs.dataset_inputs}
    assert set(contexts) == {"train", "validation", "test"}
    sha256 = folders[0].read_provenance()["data"]["sha256"]
    for dataset in contexts.values():
        assert sha256.startswith(dataset.digest)
        assert sha256 in dataset.source
    assert '"num_rows": 300' in contexts["validation"].profile
    assert logged.info.user_id == ""


def test_pictures(sweep) -> None:
    _, uri, folders = sweep
    client = client_of(uri)
    run_id = logged_in(client)[folders[0].run_id].info.run_id
    names = {artifact.path.removeprefix("pictures/") for artifact in client.list_artifacts(run_id, "pictures")}
    assert names == {"learning_curves.png", "first_layer.png", "confusion_matrix.png", "worst_images.png"}
    local = Path(client.download_artifacts(run_id, "pictures/confusion_matrix.png"))
    assert local.read_bytes().startswith(b"\x89PNG")


def test_the_model_predicts_what_the_engine_does(sweep, tmp_path) -> None:
    """In another process, from another folder: the engine is in the model."""
    results, uri, folders = sweep
    config = folders[0].load_config()
    X = load_dict_from_npz(results / "data" / "digits.npz")["Xtest"][:20]
    expected = load(folders[0], config).evaluate(X)
    np.savez(tmp_path / "X.npz", X=X, Y=expected)
    program = (
        "import os; os.environ['MLFLOW_DISABLE_TELEMETRY'] = 'true'\n"
        "import mlflow, numpy as np\n"
        f"mlflow.set_tracking_uri({uri!r})\n"
        "model = mlflow.pyfunc.load_model('models:/digits-test@champion')\n"
        "data = np.load('X.npz')\n"
        "np.testing.assert_allclose(model.predict(data['X']), data['Y'], rtol=1e-5, atol=1e-6)\n"
        "print(model.metadata.signature)\n"
        "import nerva; print(nerva.__file__)\n"
    )
    # -I: neither the current folder nor PYTHONPATH; the environment has nerva, but the model's own comes first.
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Tensor('float32', (-1, 64))" in result.stdout
    model = next((results / "mlartifacts").rglob("MLmodel")).parent
    assert not list(model.rglob("*.pkl"))
    assert not list(model.rglob("*.pickle"))
    texts = "".join(path.read_text() for path in (*model.glob("*.y*ml"), model / "MLmodel", model / "requirements.txt"))
    assert str(results) not in texts
    assert {line.partition("==")[0] for line in (model / "requirements.txt").read_text().split()} == {
        *("mlflow", "numpy", "scipy")
    }


@pytest.fixture(params=["here", pytest.param("clean", marks=pytest.mark.slow)])
def python(request, sweep, tmp_path) -> Path:
    """A Python to serve models with: the one that runs the tests, or one that has only what a model declares."""
    if request.param == "here":
        return Path(sys.executable)
    results, *_ = sweep
    requirements = next((results / "mlartifacts").rglob("model/requirements.txt"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "clean"], check=True)
    python = tmp_path / "clean" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    assert subprocess.run([python, "-I", "-c", "import nerva"], capture_output=True, check=False).returncode == 1
    return python


def test_the_champion_is_served(sweep, tmp_path, python) -> None:
    """By `mlflow models serve`, which answers over HTTP what the engine computes."""
    results, uri, folders = sweep
    version = client_of(uri).get_model_version_by_alias("digits-test", "champion")
    (champion,) = (folder for folder in folders if folder.run_id == version.tags["nerva.run_id"])
    X = load_dict_from_npz(results / "data" / "digits.npz")["Xtest"]
    expected = load(champion, champion.load_config()).evaluate(X)
    address = f"http://127.0.0.1:{free_port()}"
    command = (python, "-m", "mlflow", "models", "serve", "--model-uri", "models:/digits-test@champion")
    options = ("--env-manager", "local", "--port", address.rpartition(":")[2])
    with (tmp_path / "serve.log").open("w") as log:
        server = started(tmp_path, *command, *options, stdout=log, MLFLOW_TRACKING_URI=uri)
    try:
        until(lambda: served(f"{address}/ping"), server)
        for body, status in (({"inputs": X.tolist()}, 200), ({"inputs": X[:, 1:].tolist()}, 400)):
            answer = requests.post(f"{address}/invocations", json=body, timeout=60)
            assert answer.status_code == status, answer.text
            if status == 200:
                predictions = np.array(answer.json()["predictions"])
                np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-6)
                assert (predictions.argmax(axis=1) == expected.argmax(axis=1)).all()
    finally:
        kill(server)


def test_the_champion_moves_only_for_a_better_one(sweep) -> None:
    from nerva.experiment.tracking import track

    results, uri, folders = sweep
    client = client_of(uri)

    def champion():
        return client.get_model_version_by_alias("digits-test", "champion")

    best = max(folders[:2], key=lambda folder: folder.read_summary()["best"]["validation_accuracy"])
    first = champion()
    assert first.tags["nerva.run_id"] == best.run_id
    assert "the first champion" in first.description
    overrides = [f"results_dir={results}", "learning_rate.lr=0.1"]
    worse = run(configured("train.epochs=1", *overrides), [])
    better = run(configured("train.epochs=6", *overrides), [])
    track([worse], "digits-test", uri, results)
    assert champion().version == first.version
    track([better], "digits-test", uri, results)
    assert champion().tags["nerva.run_id"] == better.run_id
    assert f"better than the {float(first.tags['validation_accuracy']):.4%} of version 1" in champion().description


def test_parameters_that_are_too_many_or_too_long(results, monkeypatch, uri) -> None:
    from nerva.experiment import tracking
    from nerva.experiment.tracking import entities

    long = "x" * 100_000
    many = {f"key{n}": n for n in range(250)}
    flat = entities.flat
    monkeypatch.setattr(entities, "flat", lambda config: flat(config) | many | {"long": long})
    folder = run(configured(), [])
    tracking.track([folder], "digits-test", uri, results)
    params = logged_in(client_of(uri))[folder.run_id].data.params
    assert {key: params[key] for key in many} == {key: str(value) for key, value in many.items()}
    assert params["long"].endswith("… (100000 characters: config.yaml has them all)")
    assert len(params["long"]) == 6000


def test_a_run_that_is_made_again_is_logged_again(results, uri) -> None:
    from nerva.experiment.tracking import track

    folder = run(configured(), [])
    track([folder], "digits-test", uri, results)
    first = logged_in(client_of(uri))[folder.run_id]
    run(configured("force=true"), [])
    assert track([folder], "digits-test", uri, results) == 1
    assert logged_in(client_of(uri))[folder.run_id].info.run_id != first.info.run_id


class Empty:
    metrics = ()


def test_a_run_is_seen_while_it_trains_and_killed_with_its_process(results, monkeypatch) -> None:
    """The follower is another process: it lives on when the training's is gone, and says so."""
    from nerva.experiment.tracking import follower as live

    monkeypatch.setattr(live, "SOON", 0.1)
    config = configured("train.epochs=1", "tracking=mlflow", "sweep.id=0123abcd", "sweep.name=mine")
    uri = config.tracking.uri
    folder = run(config, [])
    summary = folder.summary.read_text()
    folder.summary.unlink()  # as if it were still being trained
    with live.followed(config, folder):
        deadline = time.monotonic() + 60
        while "train/loss" not in getattr(all_in(uri).get(folder.run_id), "data", Empty).metrics:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        runs = all_in(uri)
        assert runs[folder.run_id].info.status == "RUNNING"
        assert runs["sweep"].info.status == "RUNNING"
    runs = all_in(uri)
    assert runs[folder.run_id].info.status == "KILLED"
    assert runs["sweep"].info.status == "KILLED"
    folder.summary.write_text(summary)
    with live.followed(config, folder):
        time.sleep(1)
    runs = all_in(uri)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def all_in(uri: str) -> dict:
    """The runs of a store; asked only when its tables are there, as asking would make them."""
    path = uri.removeprefix("sqlite:///")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            if not connection.execute("select 1 from experiments where name = 'digits-single'").fetchall():
                return {}
    except sqlite3.OperationalError:
        return {}
    return logged_in(client_of(uri), "digits-single")


def test_a_run_that_was_begun_anew_is_logged_once(results, uri) -> None:
    """Its epochs have other times than those that MLflow has of the attempt before."""
    from nerva.experiment.tracking import track

    folder = run(configured(), [])
    summary = folder.summary.read_text()
    folder.summary.unlink()
    track([folder], "digits-test", uri, results)
    client = client_of(uri)
    assert logged_in(client)[folder.run_id].info.status == "KILLED"
    folder.metrics.write_text(folder.metrics.read_text().replace(".", ".1"))
    folder.summary.write_text(summary)
    track([folder], "digits-test", uri, results)
    (logged,) = logged_in(client).values()
    assert [m.step for m in client.get_metric_history(logged.info.run_id, "train/loss")] == [0, 1, 2]


def test_what_was_left_running_is_ended(results, uri) -> None:
    from nerva.experiment.tracking import track

    killed, other = run(configured(), []), run(configured("seed=2"), [])
    track([killed], "digits-test", uri, results)
    client = client_of(uri)
    logged = logged_in(client)[killed.run_id]
    client.delete_tag(logged.info.run_id, "nerva.ended")
    client.update_run(logged.info.run_id, "RUNNING")
    killed.summary.unlink()
    track([other], "digits-test", uri, results)
    assert logged_in(client)[killed.run_id].info.status == "KILLED"


@pytest.mark.parametrize("call", ["log_batch", "log_inputs", "log_artifact", "set_terminated"])
def test_what_was_killed_while_it_logged_is_logged_whole(results, uri, monkeypatch, call: str) -> None:
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    folder = run(configured(), [])
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, end)
        with pytest.raises(EndError):
            track([folder], "digits-test", uri, results)
    assert track([folder], "digits-test", uri, results) == 1
    assert track([folder], "digits-test", uri, results) == 0
    (logged,) = logged_in(client_of(uri)).values()
    assert logged.info.status == "FINISHED"
    assert logged.data.params["optimizer.mu"] == "0.9"
    assert len(logged.inputs.dataset_inputs) == 3  # for training, validation and testing
    assert [m.step for m in client_of(uri).get_metric_history(logged.info.run_id, "train/loss")] == [0, 1, 2]


def test_who_waits_for_a_run_does_not_end_it(results, uri) -> None:
    """Nor does one whose metrics are gone, such as Snakemake takes away after a job that failed, go on for ever."""
    from nerva.experiment.tracking import track

    folder = run(configured(), [])
    folder.summary.unlink()
    with FileLock(folder.lock):  # another process makes it
        track([folder], "digits-test", uri, results)
        assert logged_in(client_of(uri))[folder.run_id].info.status == "RUNNING"
    folder.metrics.unlink()
    track([folder], "digits-test", uri, results)
    assert logged_in(client_of(uri))[folder.run_id].info.status == "KILLED"


def test_nothing_to_log(run_command) -> None:
    failed_plainly(run_command("nerva", "track"), "there are no runs; train them first")
    failed_plainly(run_command("nerva", "track", "quick", "flagship"), "One experiment at a time", code=2)
