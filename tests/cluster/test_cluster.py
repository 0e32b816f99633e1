"""A sweep on a cluster, with a tracking server: `make test-cluster`.

Slurm, PostgreSQL and MLflow's server run on this machine.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster import services
from tests.cluster.services import Server, kill, output_of
from tests.helpers import ROOT, command_in, environment, failed_plainly, started, until

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]
pytest.importorskip("snakemake_executor_plugin_slurm", reason="the plugin for Slurm is not installed")
pytest.importorskip("psycopg2", reason="the driver for PostgreSQL is not installed")
if reason := services.why_unavailable():
    pytest.skip(reason, allow_module_level=True)

SNAKEMAKE = ("snakemake", "--snakefile", ROOT / "Snakefile")
ON_SLURM = (*SNAKEMAKE, "--profile", ROOT / "profiles" / "slurm")
QUICK = ("--config", "data=digits", "experiment=quick", "batch=4")
# Unique texts, so that a search for them finds only what has leaked: a run records this file if it is not committed.
PASSWORD, DATABASE_PASSWORD = ("-".join(("the", "password", "of", owner)) for owner in ("ada", "postgres"))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the user of PostgreSQL can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="nerva-cluster-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def slurm(folder: Path) -> Iterator[None]:
    """A cluster of one node."""
    (folder / "slurm").mkdir()
    with services.slurm(folder / "slurm"):
        yield


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A tracking server that is not running, on a database that is."""
    with services.postgresql(folder / "postgresql", DATABASE_PASSWORD) as store:
        variables = {
            "PGPASSWORD": DATABASE_PASSWORD,
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
        }
        server = Server(folder / "server", store, environment(folder, **variables))
        server.create_tables()
        yield server


def records(folder: Path) -> dict[str, dict]:
    """The record of each run in a folder."""
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("results/runs/*/run.json")}


def running_jobs() -> list[str]:
    """The ids of the jobs that run on the cluster."""
    return output_of("squeue", "--noheader", "--states=RUNNING", "--format=%i").split()


class Processes:
    """The command lines of all processes of this machine, while the context is active."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.seen.update(output_of("ps", "-eo", "args").splitlines())

    def __enter__(self) -> "Processes":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_sweep_that_is_disturbed_is_completed_by_the_same_command(slurm: None, server: Server, folder: Path) -> None:
    """A job is cancelled and the server is killed. In the end each run exists once, with the bits of a local run."""
    work = folder / "work"
    work.mkdir()
    variables = {"MLFLOW_TRACKING_URI": server.address}
    credentials = work / "home" / ".mlflow" / "credentials"
    credentials.parent.mkdir(parents=True)
    credentials.write_text(f"[mlflow]\nmlflow_tracking_username = admin\nmlflow_tracking_password = {PASSWORD}\n")
    command = (*ON_SLURM, *QUICK, "overrides=tracking=server train.epochs=40")
    scripts: dict[str, str] = {}

    with Processes() as processes:
        with server.running() as mlflow:
            pipeline = started(work, *command, **variables)
            until(lambda: records(work) and running_jobs(), pipeline)
            (cancelled, *_) = running_jobs()
            scripts[cancelled] = output_of("scontrol", "write", "batch_script", cancelled, "-")
            subprocess.run(["scancel", cancelled], check=True)
            kill(mlflow)
            output, _ = pipeline.communicate()
        assert pipeline.returncode == 1, output
        assert f"SLURM-job '{cancelled}' failed, SLURM status is: 'CANCELLED'" in output
        assert re.search(r"failed: track \(see results/logs/track/\S+\.log\)", output), output
        assert f"MLflow's store at {server.address}: [Errno 111] Connection refused" in output, output
        assert "RuleException" not in output, output

        with server.running():
            result = command_in(work)(*command, **variables)
            assert result.returncode == 0, result.stderr
            assert "digits-quick" in result.stdout
            logged = logged_runs(work, variables)

    found = records(work)
    assert len(found) == 12
    assert {record["status"] for record in found.values()} == {"finished"}
    assert sorted(logged) == sorted(found)

    local = folder / "local"
    local.mkdir()
    result = command_in(local)(*SNAKEMAKE, "--cores", "2", *QUICK, "overrides=tracking=off train.epochs=40")
    assert result.returncode == 0, result.stderr
    assert {run_id: record["weights"] for run_id, record in records(local).items()} == {
        run_id: record["weights"] for run_id, record in found.items()
    }

    assert re.search(r"plan=\S*results/sweeps/digits-quick-\w+\.plan", scripts[cancelled]), scripts[cancelled]
    assert "overrides" not in scripts[cancelled]
    assert any("nerva" in line for line in processes.seen)
    secrets = (PASSWORD, DATABASE_PASSWORD)
    assert not [line for line in (*processes.seen, *scripts.values()) if any(secret in line for secret in secrets)]
    assert not [path for path in files_with(folder, secrets) if path != credentials]


def logged_runs(folder: Path, variables: dict[str, str]) -> list[str]:
    """The ids of the runs on the server. Asserts that no tag and no parameter has a password."""
    program = """
from mlflow import MlflowClient
client = MlflowClient()
(experiment,) = client.search_experiments(filter_string="name = 'digits-quick'")
for run in client.search_runs([experiment.experiment_id]):
    print(run.data.tags.get("nerva.run_id", ""), run.data.tags | run.data.params)
"""
    result = command_in(folder)(sys.executable, "-c", program, **variables)
    assert result.returncode == 0, result.stderr
    assert PASSWORD not in result.stdout
    assert DATABASE_PASSWORD not in result.stdout
    ids = [line.partition(" ")[0] for line in result.stdout.splitlines()]
    return [run_id for run_id in ids if run_id]


def files_with(folder: Path, secrets: tuple[str, ...]) -> list[Path]:
    """The files that contain a secret."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 100  # those of the sweep are among them
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


SMALL = "overrides=tracking=off seed=1 optimizer=momentum learning_rate.lr=0.1"


def test_another_scheduler(slurm: None, tmp_path: Path) -> None:
    """A job that is cancelled is submitted again."""
    profile = ROOT / "profiles" / "cluster-generic"
    pipeline = started(
        tmp_path, *SNAKEMAKE, "--profile", profile, "--config", "data=digits", f"{SMALL} train.epochs=2000"
    )
    until(lambda: running_jobs() and [*tmp_path.glob("results/runs/*/checkpoint.npz")], pipeline)
    subprocess.run(["scancel", *running_jobs()], check=True)
    output, _ = pipeline.communicate()
    assert pipeline.returncode == 0, output
    assert "The job is submitted again." in output
    (record,) = records(tmp_path).values()
    assert record["continued"]


def test_an_unknown_partition(slurm: None, tmp_path: Path) -> None:
    options = ["--retries", "0", "--default-resources", "slurm_partition=nosuch", "runtime=5", "mem_mb=500"]
    result = command_in(tmp_path)(*ON_SLURM, *options, "--config", "data=digits", SMALL)
    assert result.returncode == 1
    assert "failed: SLURM sbatch failed." in result.stderr
    assert "invalid partition specified: nosuch" in result.stderr
    assert "sbatch call" not in result.stderr


def test_a_process_that_is_killed_on_a_node(slurm: None, tmp_path: Path) -> None:
    """The terminal shows its run and its logs. A job with twice the memory and time follows, and resumes the run."""
    command = (*ON_SLURM, "--retries", "1", "--config", "data=digits", f"{SMALL} train.epochs=3000")
    pipeline = started(tmp_path, *command)
    until(lambda: [*tmp_path.glob("results/runs/*/checkpoint.npz")], pipeline)
    training = [
        process for process in psutil.process_iter(["cwd", "cmdline"])
        if process.info["cwd"] == str(tmp_path) and "--plan" in (process.info["cmdline"] or ())
    ]  # fmt: skip
    assert training
    for process in training:
        process.kill()
    output, _ = pipeline.communicate()
    assert pipeline.returncode == 0, output
    (run_id,) = records(tmp_path)
    (failed,) = re.findall(r"failed: SLURM-job '(\d+)' failed, SLURM status is: 'FAILED'", output)
    memory, minutes = limits(failed)
    assert limits(str(int(failed) + 1)) == (2 * memory, 2 * minutes)
    assert re.search(r"\(see results/logs/train/\S+\.log\) \(see \S+/\.snakemake/slurm_logs/\S+\.log\)", output), output
    assert f"the process ended without a message; its last run was {run_id} of digits-quick" in output
    assert "The job is submitted again." in output
    assert records(tmp_path)[run_id]["continued"]


def limits(job: str) -> tuple[int, int]:
    """The memory of a job in MB, and its time in minutes."""
    shown = output_of("scontrol", "show", "job", job)
    (memory,) = re.findall(r"MinMemoryNode=(\d+)M", shown)
    ((hours, minutes),) = re.findall(r"TimeLimit=(\d+):(\d+):00", shown)
    return int(memory), 60 * int(hours) + int(minutes)


def test_a_plan_that_a_node_cannot_see(slurm: None, tmp_path: Path) -> None:
    pipeline = started(tmp_path, *ON_SLURM, "--retries", "0", "--config", "data=digits", SMALL)
    until(lambda: [*tmp_path.glob("results/logs/train/*.plan")], pipeline)
    (tmp_path / "results" / "sweeps").rename(tmp_path / "elsewhere")
    output, _ = pipeline.communicate()
    assert pipeline.returncode == 1, output
    assert re.search(r"the plan results/sweeps/\S+\.plan can't be read: No such file or directory", output), output


def test_without_slurm(tmp_path: Path) -> None:
    """Like this machine, but without the programs of Slurm."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in Path("/usr/bin").iterdir():
        if not re.fullmatch("s(batch|info|queue|acct|acctmgr|run|cancel|control|share)", program.name):
            (programs / program.name).symlink_to(program)
    path = f"{Path(sys.executable).parent}:{programs}"
    result = command_in(tmp_path)(*ON_SLURM, "--retries", "0", "--config", "data=digits", SMALL, PATH=path)
    failed_plainly(result, "there is no Slurm here: sbatch is not in PATH")
