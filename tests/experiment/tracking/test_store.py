"""MLflow's stores: created, shared, damaged, and refusing."""

import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock, Timeout
from mlflow import MlflowClient

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.tracking import track
from tests.experiment.tracking.sweeps import FIRST, epochs_in, nerva_track, track_sweep, trained_runs
from tests.helpers import (
    HANGS,
    EndError,
    can_mount,
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

NO_DATABASE = "this is no database, but long enough to be taken for one at first sight"


def test_a_file_that_is_no_database(results) -> None:
    results.mkdir()
    (results / "mlflow.db").write_text(NO_DATABASE)
    with pytest.raises(NervaError, match=r"mlflow\.db"):
        track([], "digits-test", f"sqlite:///{results}/mlflow.db", results)


def test_a_database_is_complete_or_absent(results, monkeypatch, empty_store) -> None:
    """However early the first logging is interrupted."""
    from nerva.experiment.tracking import store

    def create(tracking_uri: str) -> MlflowClient:
        shutil.copy(empty_store, tracking_uri.removeprefix("sqlite:///"))
        return MlflowClient(tracking_uri)

    folders = trained_runs(1)
    uri = f"sqlite:///{results}/mlflow.db"
    with monkeypatch.context() as patch:
        patch.setattr(store, "MlflowClient", create)
        patch.setattr(Path, "replace", end)
        with pytest.raises(EndError):
            track(folders, "digits-test", uri, results)
    assert not (results / "mlflow.db").exists()
    (results / ".mlflow.db.1.tmp").touch()  # of a process that was killed
    assert track(folders, "digits-test", uri, results) == 1
    assert not list(results.glob(".mlflow.db.*.tmp*"))


def test_a_database_that_several_folders_of_results_share_has_one_lock(tmp_path, results) -> None:
    from nerva.experiment.tracking.store import locked

    uri = f"sqlite:///{tmp_path}/shared/x.db"
    lock = FileLock(tmp_path / "shared" / ".x.db.lock", timeout=0)
    with locked(uri, results), pytest.raises(Timeout):
        lock.acquire()
    lock.acquire()
    with locked("http://127.0.0.1:9", results):
        assert (results / ".mlflow.lock").exists()


def damage(uri: str, kind: str) -> str:
    """Make a store unusable; returns the message that is expected."""
    if kind == "newer":
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection, connection:
            connection.execute("update alembic_version set version_num = 'ffffffffffff'")
        return "it was created by a newer MLflow than "
    client = client_of(uri)
    client.delete_experiment(client.get_experiment_by_name("digits-single").experiment_id)
    return "was deleted in MLflow"


@pytest.mark.parametrize("kind", ["newer", "deleted"])
def test_a_store_that_refuses(results, empty_store, kind: str) -> None:
    # MLflow caches the stores that it has opened, so that each has another name.
    results.mkdir()
    shutil.copy(empty_store, results / f"{kind}.db")
    uri = f"sqlite:///{results}/{kind}.db"
    track([], "digits-single", uri, results)
    message = damage(uri, kind)
    shutil.copy(results / f"{kind}.db", results / "copy.db")
    with pytest.raises(NervaError, match=message):
        track([], "digits-single", f"sqlite:///{results}/copy.db", results)


def test_results_that_were_moved(results, uri, tmp_path) -> None:
    folders = trained_runs(1)
    track_sweep(results, uri, FIRST, folders)
    moved = tmp_path / "moved"
    shutil.copytree(results, moved)
    with pytest.raises(NervaError, match=r"moved/mlflow\.db was created elsewhere, .* move the database away"):
        track_sweep(moved, f"sqlite:///{moved}/mlflow.db", FIRST, folders)


def test_an_experiment_that_is_deleted_does_not_keep_the_others_from_being_logged(results, uri) -> None:
    one, two = trained_runs(1, 2)
    track_sweep(results, uri, Sweep(), [one], "digits-a")
    track_sweep(results, uri, Sweep(), [two], "digits-b")
    client = client_of(uri)
    client.delete_experiment(client.get_experiment_by_name("digits-a").experiment_id)
    client.delete_run(logged_in(client, "digits-b")[two.run_id].info.run_id)
    code, output = nerva_track()
    assert code == 1
    assert "the experiment digits-a was deleted" in output
    assert "digits-b: 1 run logged" in output


@pytest.mark.long
def test_a_server_that_does_not_answer_does_not_stop_a_run(run_command, monkeypatch, empty_store, tmp_path) -> None:
    """Its runs can be logged later, here to a database."""
    uri = "http://jane:secret@127.0.0.1:9"
    environment = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    result = run_command("nerva", "train", "-m", "seed=2,3", "data=digits", "train.epochs=1", **environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("nerva: MLflow's store at http://127.0.0.1:9: ") == 1, result.stderr
    assert result.stderr.count("`nerva track` logs the runs later") == 1
    assert "secret" not in result.stdout + result.stderr
    assert len(list(tmp_path.glob("results/runs/*/run.json"))) == 2
    with monkeypatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        code, output = nerva_track()
    assert code == 1
    assert "http://127.0.0.1:9: [Errno 111] Connection refused" in output
    assert "secret" not in output
    shutil.copy(empty_store, tmp_path / "results")
    code, output = nerva_track()
    assert output.startswith("digits-single: 2 runs logged to sqlite:///results/mlflow.db"), output


def test_a_database_that_is_locked(results, uri, monkeypatch) -> None:
    from nerva.experiment.tracking import store

    monkeypatch.setattr(store, "_PATIENCE", 0.2)
    folders = trained_runs(1)
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("begin exclusive")
        with pytest.raises(NervaError, match=r"MLflow's store at sqlite:///.*mlflow\.db: database is locked"):
            track(folders, "digits-test", uri, results)
        connection.rollback()
    assert track(folders, "digits-test", uri, results) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "authentication failed; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "),
        (403, "permission denied"),
    ],
)
def test_a_server_that_refuses(results, status: int, message: str) -> None:
    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"Refused")

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        with pytest.raises(NervaError) as raised:
            track([], "digits-test", f"http://jane:secret@{address}", results)
        server.shutdown()
    assert str(raised.value).startswith(f"MLflow's store at http://{address}: {message}")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mysql://u:secret@h/x", "MLflow's store at mysql://h/x: ModuleNotFoundError: No module named"),
        ("sqlite:///:memory:", "sqlite:///:memory: is not the address of a database file"),
        ("sqlite:x.db", "sqlite:x.db is not the address of a database file"),
        ("sqlite://u:secret@h:port/x", "sqlite://h:port/x is not the address of a database file"),
        ("nonsense://x", "MLflow's store at nonsense://x: "),
        ("sqlite:////proc/x.db", "MLflow's store at sqlite:////proc/x.db: /proc: "),
        ("http://nosuch.invalid", "MLflow's store at http://nosuch.invalid: [Errno "),
    ],
)
def test_addresses_without_a_store(results, monkeypatch, uri: str, message: str) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(NervaError) as raised:
        track([], "digits-test", uri, results)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_address_with_options(results, empty_store) -> None:
    results.mkdir()
    shutil.copy(empty_store, results / "other.db")
    assert track_sweep(results, f"sqlite:///{results}/other.db?timeout=3", FIRST, trained_runs(1)) == 1
    assert len(logged_in(client_of(f"sqlite:///{results}/other.db"))) == 2


def test_an_empty_environment_variable_counts_as_unset(monkeypatch, results) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert configured("tracking=mlflow").tracking.uri == f"sqlite:///{results}/mlflow.db"


@pytest.mark.long
@pytest.mark.skipif(not can_mount(), reason="unshare can't mount a small disk here")
def test_a_full_disk(run_command, tmp_path) -> None:
    """At first there is no room for the first run, then none for the store, and then there is enough."""
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
    assert second.count("`nerva track` logs the runs later") == 1, second
    codes, logged = result.stdout.splitlines()[:2], result.stdout.splitlines()[2]
    assert codes == ["28", "0"]
    assert logged == "digits-single: 2 runs logged to sqlite:///results/mlflow.db, 0 runs already logged"


def server_on(port: int, folder: Path) -> subprocess.Popen[str]:
    """A tracking server that is ready to answer."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = [
        *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with (folder / "server.log").open("a") as log:
        server = started(folder, *command, *places, stdout=log)
    until(lambda: served(f"http://127.0.0.1:{port}/health"), server)
    return server


@pytest.mark.slow
@pytest.mark.parametrize("entry_point", ["multirun", "pipeline"])
def test_a_server_that_is_killed_during_a_sweep_and_started_again(run_command, tmp_path, entry_point: str) -> None:
    """Runs take long enough to be followed. The pipeline logs what was missed; after a multirun, `nerva track` does."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    points = ("train.epochs=2500", "seed=1,2,3", f"tracking.uri={uri}")
    if entry_point == "multirun":
        command = ("nerva", "train", "-m", "data=digits", "experiment_name=quick", *points)
    else:
        overrides = " ".join((*points, "optimizer=momentum", "learning_rate.lr=0.1"))
        command = (*SNAKEMAKE, "--config", "data=digits", f"overrides={overrides}")

    def logged() -> dict:
        known = {experiment.name for experiment in client_of(uri).search_experiments()}
        runs = logged_in(client_of(uri), "digits-quick") if "digits-quick" in known else {}
        return {name: run for name, run in runs.items() if name != "sweep" and "train/loss" in run.data.metrics}

    server = server_on(port, tmp_path)
    output = tmp_path / "sweep.log"  # a pipe that nobody reads would stop the sweep
    with output.open("w") as log:
        sweep = started(tmp_path, *command, stdout=log)
    try:
        until(logged, sweep)
        kill(server)
        # The server is away until a run has ended, which is then not logged.
        until(lambda: list(tmp_path.glob("results/runs/*/run.json")), sweep)
        server = server_on(port, tmp_path)
        assert sweep.wait(HANGS) == 0, output.read_text()
        if entry_point == "multirun":
            assert run_command("nerva", "track", f"tracking.uri={uri}").returncode == 0
        client = client_of(uri)
        runs = logged()
        assert len(runs) == 3, output.read_text()
        for run in logged_in(client, "digits-quick").values():
            assert run.info.status == "FINISHED"
        for run in runs.values():
            assert epochs_in(client, run) == list(range(2501))
            names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
            assert {"weights.npz", "model", "pictures", "provenance.json"} <= names
        assert client.get_model_version_by_alias("digits-quick", "champion").source.startswith("mlflow-artifacts:")
    finally:
        kill(server)
        if sweep.poll() is None:
            kill(sweep)


def test_the_ui_of_a_server(run_command) -> None:
    uri = "http://jane:secret@127.0.0.1:9"
    result = run_command("nerva", "ui", MLFLOW_TRACKING_URI=uri)
    failed_plainly(result, "http://127.0.0.1:9 is a server with a UI of its own")
    assert "secret" not in result.stderr
