"""A cluster of one node on this machine, and a tracking server: Slurm, PostgreSQL and MLflow, on loopback only.

Everything that is started here is stopped at the end, and what it wrote outside a temporary folder is removed.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.helpers import ROOT, free_port, served, until

# The plugin removes the variables of Slurm from its job steps, so that the file must be where Slurm looks by default.
SLURM_CONF = Path("/etc/slurm/slurm.conf")
START_TIMEOUT = 120.0  # seconds within which a server starts
POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), default=None)


def why_unavailable() -> str:
    """Why the cluster can't be started here; empty if it can."""
    if os.name != "posix" or os.getuid() != 0:
        return "only root can start Slurm"
    for program in ("slurmctld", "slurmd", "munged", "sbatch"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if POSTGRESQL is None:
        return "PostgreSQL is not installed"
    if SLURM_CONF.exists():
        return f"{SLURM_CONF} exists: this machine may belong to a cluster"
    return ""


def output_of(*command: str) -> str:
    """What a command prints; empty if it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@contextmanager
def process(
    command: list[str | Path], log: Path, env: Mapping[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A program with its children, which are stopped at the end."""
    with log.open("ab") as file:
        started = subprocess.Popen(
            list(map(str, command)), stdout=file, stderr=file, env=env, start_new_session=True, **options
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGINT)  # with which PostgreSQL closes its connections
        with suppress(subprocess.TimeoutExpired):
            started.wait(10)
        kill(started)


def kill(started: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children, as a power failure would."""
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


@contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Slurm with one node, this machine, and the partition `main`."""
    ports = free_port(), free_port()
    host = socket.gethostname()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    for name in ("state", "spool"):
        (folder / name).mkdir()
    munge = Path("/run/munge")
    with ExitStack() as stack:
        if not output_of("pgrep", "-x", "munged"):
            munge.mkdir(exist_ok=True)
            shutil.chown(munge, "munge", "munge")
            command = ["runuser", "-u", "munge", "--", "munged", "--foreground"]
            munged = stack.enter_context(process([*command], folder / "munged.log"))
            until((munge / "munge.socket.2").exists, munged, START_TIMEOUT)
        stack.callback(SLURM_CONF.unlink, missing_ok=True)
        SLURM_CONF.write_text(
            f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MinJobAge=300
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory}
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
        )
        stack.enter_context(process(["slurmctld", "-D"], folder / "slurmctld.log"))
        slurmd = stack.enter_context(process(["slurmd", "-D"], folder / "slurmd.log"))
        until(lambda: "idle" in output_of("sinfo", "--noheader", "--format=%T"), slurmd, START_TIMEOUT)
        stack.callback(output_of, "scancel", "--user=root")
        yield


@contextmanager
def postgresql(folder: Path, password: str) -> Iterator[str]:
    """A PostgreSQL server with the database `mlflow`. Gives its address, without the password."""
    assert POSTGRESQL is not None
    port = free_port()
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    with ExitStack() as stack:
        authentication = ["--auth-local=peer", "--auth-host=scram-sha-256"]
        initdb = [*as_postgres, POSTGRESQL / "initdb", "-D", folder / "data", *authentication]
        subprocess.run(initdb, capture_output=True, check=True)
        server = [*as_postgres, POSTGRESQL / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder]
        started = stack.enter_context(process([*server, "-h", "127.0.0.1"], folder.parent / "postgresql.log"))
        psql = [*as_postgres, "psql", "-h", str(folder), "-p", str(port), "-v", "ON_ERROR_STOP=1"]
        # Over stdin: the password is in no list of processes.
        sql = f"ALTER USER postgres PASSWORD '{password}'; CREATE DATABASE mlflow;"

        def create() -> bool:
            return subprocess.run(psql, input=sql, text=True, capture_output=True, check=False).returncode == 0

        until(create, started, START_TIMEOUT)
        yield f"postgresql://postgres@127.0.0.1:{port}/mlflow"


class Server:
    """An MLflow server with passwords, on a PostgreSQL database."""

    def __init__(self, folder: Path, store: str, environment: Mapping[str, str]) -> None:
        """
        Args:
            folder: a folder for its files.
            store: the address of its database.
            environment: variables with its passwords.
        """
        folder.mkdir()
        self.folder, self.store, self.port = folder, store, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **environment,
            "MLFLOW_AUTH_CONFIG_PATH": str(ROOT / "workflow" / "deploy" / "auth.ini"),
            "MLFLOW_BACKEND_STORE_URI": store,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def create_tables(self) -> None:
        """Create the tables of the database. The workers of a server would try that at the same time."""
        command = ["mlflow", "db", "upgrade", self.store]
        subprocess.run(command, env=self.environment, capture_output=True, check=True)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The server, while it runs."""
        command: list[str | Path] = [
            "mlflow", "server", "--app-name", "basic-auth", "--artifacts-destination", self.folder / "artifacts",
            "--host", "127.0.0.1", "--port", str(self.port), "--workers", "2",
        ]  # fmt: skip
        with process(command, self.folder / "server.log", self.environment, cwd=self.folder) as started:
            until(lambda: served(f"{self.address}/health"), started, START_TIMEOUT)
            yield started


if __name__ == "__main__":  # python -m tests.cluster.services COMMAND: run a command while a cluster is there
    if reason := why_unavailable():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="nerva-cluster-") as name, slurm(Path(name)):
        sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
