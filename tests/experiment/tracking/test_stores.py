"""MLflow's stores: made, shared, and refusing."""

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

import pytest
from filelock import FileLock, Timeout

from nerva.errors import NervaError
from nerva.experiment.run.train import run
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
from tests.workflow.test_pipeline import SNAKEMAKE


def test_a_store_that_cannot_be_had_is_told(results) -> None:
    from nerva.experiment.tracking import track

    results.mkdir()
    (results / "mlflow.db").write_text("this is no database, but long enough to be taken for one at first sight")
    with pytest.raises(NervaError, match=r"mlflow\.db"):
        track([], "digits-test", f"sqlite:///{results}/mlflow.db", results)


def test_a_database_is_whole_or_absent(results, monkeypatch) -> None:
    """However early the first logging ends."""
    from nerva.experiment import tracking

    folder = run(configured(), [])
    uri = f"sqlite:///{results}/mlflow.db"

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", end)
        with pytest.raises(EndError):
            tracking.track([folder], "digits-test", uri, results)
    assert not (results / "mlflow.db").exists()
    assert tracking.track([folder], "digits-test", uri, results) == 1
    assert not list(results.glob(".mlflow.db.*.tmp*"))


def test_a_database_that_several_folders_share_has_one_lock(tmp_path, results) -> None:
    from nerva.experiment.tracking.store import locked

    uri = f"sqlite:///{tmp_path}/shared/x.db"
    lock = FileLock(tmp_path / "shared" / ".x.db.lock", timeout=0)
    with locked(uri, results), pytest.raises(Timeout):
        lock.acquire()
    lock.acquire()
    with locked("http://127.0.0.1:9", results):
        assert (results / ".mlflow.lock").exists()


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
