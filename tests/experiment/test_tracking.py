"""Runs in MLflow."""

import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests

from nerva.errors import NervaError
from nerva.experiment.analysis import load
from nerva.experiment.run import run
from nerva.utilities import load_dict_from_npz
from tests.conftest import Command, command_in, failed_plainly, free_port, kill, served, started, until
from tests.experiment.conftest import configured
from tests.workflow.test_pipeline import SNAKEMAKE


@pytest.fixture
def run_command(tmp_path, monkeypatch) -> Command:
    """Runs a command in a folder of the test's own."""
    monkeypatch.delenv("NERVA_RESULTS_DIR")
    return command_in(tmp_path)


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


def test_a_store_that_cannot_be_had_is_told(results) -> None:
    from nerva.experiment.tracking import track

    results.mkdir()
    (results / "mlflow.db").write_text("this is no database, but long enough to be taken for one at first sight")
    with pytest.raises(NervaError, match=r"mlflow\.db"):
        track([], "digits-test", f"sqlite:///{results}/mlflow.db", results)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, empty_store):
    """A sweep in MLflow: two seeds by two rates, one of which diverges."""
    from nerva.experiment.config import Sweep
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


def client_of(uri: str):
    from mlflow import MlflowClient

    return MlflowClient(uri)


def logged_in(client, title: str = "digits-test") -> dict:
    """The runs of an experiment, by nerva's ids; the sweep's own has none."""
    experiment = client.get_experiment_by_name(title)
    return {r.data.tags.get("nerva.run_id", "sweep"): r for r in client.search_runs([experiment.experiment_id])}


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
    from nerva.experiment import live

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


def test_a_database_is_whole_or_absent(results, monkeypatch) -> None:
    """However early the first logging ends."""
    from nerva.experiment import tracking

    folder = run(configured(), [])
    uri = f"sqlite:///{results}/mlflow.db"

    class EndError(BaseException):
        pass

    def end(*_: object) -> None:
        raise EndError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", end)
        with pytest.raises(EndError):
            tracking.track([folder], "digits-test", uri, results)
    assert not (results / "mlflow.db").exists()
    assert tracking.track([folder], "digits-test", uri, results) == 1
    assert not list(results.glob(".mlflow.db.*.tmp*"))


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


def damage(uri: str, kind: str) -> str:
    """Makes a store one that can't be used; returns what should be said."""
    path = uri.removeprefix("sqlite:///")
    if kind == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute("update alembic_version set version_num = 'ffffffffffff'")
        connection.close()
        return "it was made by a newer MLflow than "
    client = client_of(uri)
    client.delete_experiment(client.get_experiment_by_name("digits-single").experiment_id)
    return "was deleted in MLflow"


@pytest.mark.parametrize("kind", ["newer", "deleted"])
def test_a_store_that_refuses(results, kind: str) -> None:
    from nerva.experiment.tracking import track

    # A store of its own: MLflow keeps those that it has opened.
    uri = f"sqlite:///{results}/{kind}.db"
    folder = run(configured(), [])
    track([folder], "digits-single", uri, results)
    message = damage(uri, kind)
    shutil.copy(results / f"{kind}.db", results / "copy.db")
    with pytest.raises(NervaError, match=message):
        track([folder], "digits-single", f"sqlite:///{results}/copy.db", results)


def test_a_store_that_refuses_does_not_stop_a_run(run_command, tmp_path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mlflow.db").write_text("no database, but long enough to be taken for one at first sight")
    result = run_command("nerva", "train", "-m", "seed=2,3", "data=digits", "train.epochs=1")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("MLflow's store at sqlite:///results/mlflow.db: ") == 1, result.stderr
    assert result.stderr.count("`nerva track` logs them later") == 1
    assert len(list(tmp_path.glob("results/runs/*/run.json"))) == 2


def test_a_server_that_is_away(run_command, tmp_path) -> None:
    uri = "http://jane:secret@127.0.0.1:9"
    environment = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    result = run_command("nerva", "train", "data=digits", "train.epochs=1", **environment)
    assert result.returncode == 0
    assert "nerva: MLflow's store at http://127.0.0.1:9: " in result.stderr
    assert "secret" not in result.stdout + result.stderr
    failed_plainly(run_command("nerva", "track", **environment), "http://127.0.0.1:9: [Errno 111] Connection refused")
    # And later it is logged, where it was made.
    result = run_command("nerva", "track")
    assert result.stdout.startswith("digits-single: 1 run logged to sqlite:///results/mlflow.db"), result.stderr


def test_a_database_that_is_locked(results, uri, monkeypatch) -> None:
    from nerva.experiment.tracking import store, track

    monkeypatch.setattr(store, "_PATIENCE", 0.2)
    folder = run(configured(), [])
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("begin exclusive")
        with pytest.raises(NervaError, match=r"MLflow's store at sqlite:///.*mlflow\.db: database is locked"):
            track([folder], "digits-test", uri, results)
        connection.rollback()
    assert track([folder], "digits-test", uri, results) == 1


class Refusal(BaseHTTPRequestHandler):
    """A server that lets nobody in."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"Authorization Required")

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_wrong_credentials(results) -> None:
    from nerva.experiment.tracking import track

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        with pytest.raises(NervaError) as raised:
            track([], "digits-test", f"http://jane:secret@{address}", results)
        server.shutdown()
    message = str(raised.value)
    assert message.startswith(f"MLflow's store at http://{address}: it lets nobody in with these credentials; ")
    assert "MLFLOW_TRACKING_USERNAME" in message
    assert "secret" not in message


MAY_MOUNT = shutil.which("unshare") and not subprocess.run(["unshare", "-rm", "true"], check=False).returncode


@pytest.mark.skipif(not MAY_MOUNT, reason="unshare can't make a small disk here")
def test_a_full_disk(run_command, tmp_path) -> None:
    """First there is no room for the first run, then none for the store, and then there is enough."""
    (tmp_path / "results").mkdir()
    train = "nerva train -m seed=1,2 data=digits model=linear train.epochs=1"
    script = f"""
        mount -t tmpfs -o size=500k none results
        {train} > first.txt 2>&1; echo $?
        mount -o remount,size=1100k none results
        {train} > second.txt 2>&1; echo $?
        mount -o remount,size=50m none results
        nerva track
    """
    result = run_command("unshare", "-rm", "sh", "-c", script)
    assert result.returncode == 0, result.stdout + result.stderr
    first, second = ((tmp_path / f"{time}.txt").read_text() for time in ("first", "second"))
    assert "Traceback" not in first + second
    assert re.search(r"\nnerva: results/.*: No space left on device\n", first), first
    assert second.count("`nerva track` logs them later") == 1, second
    codes, logged = result.stdout.splitlines()[:2], result.stdout.splitlines()[2]
    assert codes == ["1", "0"]
    assert logged == "digits-single: 2 runs logged to sqlite:///results/mlflow.db, 0 were there already"


def titles(uri: str) -> set[str]:
    return {experiment.name for experiment in client_of(uri).search_experiments()}


def server_on(port: int, folder: Path) -> subprocess.Popen[str]:
    """A tracking server, ready to answer."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    with (folder / "server.log").open("a") as log:
        server = started(folder, *command, *places, stdout=log)
    until(lambda: served(f"http://127.0.0.1:{port}/health"), server)
    return server


@pytest.mark.slow
@pytest.mark.parametrize("door", ["multirun", "pipeline"])
def test_a_server_that_is_killed_in_mid_sweep_and_started_again(run_command, tmp_path, door: str) -> None:
    """Runs take long enough to be followed. The pipeline makes up for what was lost, and after a multirun `track`."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    points = ("train.epochs=2500", "seed=1,2,3", f"tracking.uri={uri}")
    if door == "multirun":
        command = ("nerva", "train", "-m", "data=digits", "experiment_name=quick", *points)
    else:
        overrides = " ".join((*points, "optimizer=momentum", "learning_rate.lr=0.1"))
        command = (*SNAKEMAKE, "--config", "data=digits", f"overrides={overrides}")

    def logged() -> dict:
        runs = logged_in(client_of(uri), "digits-quick") if "digits-quick" in titles(uri) else {}
        return {name: run for name, run in runs.items() if name != "sweep" and "train/loss" in run.data.metrics}

    server = server_on(port, tmp_path)
    sweep = started(tmp_path, *command)
    try:
        until(logged, sweep)
        kill(server)
        time.sleep(3)
        server = server_on(port, tmp_path)
        output, _ = sweep.communicate(timeout=240)
        assert sweep.returncode == 0, output
        if door == "multirun":
            assert run_command("nerva", "track", f"tracking.uri={uri}").returncode == 0
        client = client_of(uri)
        runs = logged()
        assert len(runs) == 3, output
        for run in logged_in(client, "digits-quick").values():
            assert run.info.status == "FINISHED"
        for run in runs.values():
            assert [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")] == list(range(2501))
            names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
            assert {"weights.npz", "model", "pictures", "provenance.json"} <= names
        assert client.get_model_version_by_alias("digits-quick", "champion").source.startswith("mlflow-artifacts:")
    finally:
        kill(server)
        if sweep.poll() is None:
            kill(sweep)


def test_nothing_to_log(run_command) -> None:
    failed_plainly(run_command("nerva", "track"), "there are no runs; train them first")
    failed_plainly(run_command("nerva", "track", "quick", "flagship"), "One experiment at a time", code=2)
