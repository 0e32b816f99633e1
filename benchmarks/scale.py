"""The cost of a large sweep: its plan, its jobs, its files and its tracking.

    python benchmarks/scale.py
    python benchmarks/scale.py --points 10 1000 --runs 1000
    python -m tests.cluster.services python benchmarks/scale.py --sections slurm

The sections:

- points: planning, a dry run of Snakemake, and what a job of a cluster costs before its first epoch, for sweeps of
  several sizes.
- runs: a sweep of runs of one epoch, which are trained, compared and logged. Then MLflow's UI is opened.
- slurm: 240 runs, by the pipeline on this machine and through Slurm. It needs a cluster.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sweep import PLAN, Folder, exactly, pipeline, seeds
from tables import ROOT, Table

CHROMIUM = shutil.which("chromium")
# What Snakemake starts on a node for the batch `one`.
JOB = [
    *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--mode", "remote", "--cores", "1"),
    *("--target-jobs", "train:batch=one", "--allowed-rules", "train", "--force", "--nolock", "--no-hooks"),
    *("--ignore-incomplete", "--max-inventory-time", "0", "--config"),
]
BATCH = """
import sys
from pathlib import Path
from nerva.experiment.sweep.plan import Plan, read_plan, write_plan
plan = read_plan(Path(sys.argv[1]))
write_plan(Plan(plan.points[:1], plan.sweep, plan.modified), Path(sys.argv[2]))
"""


def points(table: Table, sizes: list[int]) -> None:
    """Measure planning, a dry run, and the start of a job, for sweeps of several sizes."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as path:
            folder = Folder(Path(path), "nerva prepare digits")
            name = f"{exactly(size)} points"
            seconds, memory = folder.run(sys.executable, "-c", PLAN, "data=digits", seeds(size))
            table.add("planning", name, seconds)
            table.add("planning, memory", name, memory, "MB")
            seconds, memory = folder.run(*pipeline(seeds(size)), "batch=1", "-n")
            table.add("snakemake -n, a job per point", name, seconds)
            table.add("snakemake -n, a job per point, memory", name, memory, "MB")
            seconds, memory = job(folder)
            table.add("a job on a node, until its run starts", name, seconds)
            table.add("a job on a node, memory of its largest process", name, memory, "MB")


def job(folder: Folder) -> tuple[float, float]:
    """The seconds from the start of a job on a node to the start of its first run, and its memory in MB."""
    (plan,) = folder.path.glob("results/sweeps/*.plan")
    batch = folder.path / "results" / "logs" / "train" / "one.plan"
    batch.parent.mkdir(parents=True)
    folder.run(sys.executable, "-c", BATCH, str(plan), str(batch))
    started = time.time()
    _, memory = folder.run(*JOB, f"plan={plan.relative_to(folder.path)}")
    (record,) = folder.path.glob("results/runs/*/run.json")
    return datetime.fromisoformat(json.loads(record.read_text())["started"]).timestamp() - started, memory


def runs(table: Table, size: int) -> None:
    """Measure a sweep of runs that take about no time themselves."""
    with tempfile.TemporaryDirectory() as path:
        folder = Folder(Path(path), "nerva prepare digits")
        overrides = f"{seeds(size)} train.epochs=1"
        section = f"{exactly(size)} runs of one epoch"
        table.add(section, "train and compare them", folder.run(*pipeline(f"{overrides} tracking=off"))[0])
        table.add(section, "nothing to do", folder.run(*pipeline(f"{overrides} tracking=off"))[0])
        seconds, memory = folder.run("nerva", "compare", "quick", "data=digits", *overrides.split())
        table.add(section, "nerva compare", seconds)
        table.add(section, "nerva compare, memory", memory, "MB")
        table.add(section, "log them to a new SQLite database, and compare", folder.run(*pipeline(overrides))[0])
        table.add(section, "files", sum(len(files) for _, _, files in os.walk(folder.path / "results" / "runs")), "")
        for what in ("runs", "mlartifacts", "sweeps", "mlflow.db"):
            table.add(section, f"size of {what}", size_in_mb(folder.path / "results" / what), "MB")
        for name in ("report.html", "leaderboard.csv", "learning_curves.csv"):
            (file, *_) = folder.path.glob(f"results/digits-quick*/{name}")
            table.add(section, f"size of {name}", size_in_mb(file), "MB")
        with mlflow_ui(folder) as address:
            measure_ui(table, section, address)


def size_in_mb(path: Path) -> float:
    """The size of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


@contextmanager
def mlflow_ui(folder: Folder) -> Iterator[str]:
    """The address of MLflow's UI."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["nerva", "ui", "--port", str(port)], cwd=folder.path, env=folder.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit("`nerva ui` stopped unexpectedly")
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def measure_ui(table: Table, section: str, address: str) -> None:
    """Measure how long MLflow's UI takes until it shows the runs of the experiment."""
    if CHROMIUM is None:
        table.remarks.append("MLflow's UI was not measured: chromium is not installed.")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(f"{address}/#/experiments/1/runs", timeout=300_000)
        page.get_by_role("link", name="seed", exact=False).first.wait_for(timeout=300_000)
        table.add(section, "MLflow's UI, until it shows the first runs", time.perf_counter() - start)
        browser.close()


def slurm(table: Table) -> None:
    """Measure 240 runs, on this machine and through Slurm."""
    for how in ("on this machine", "through Slurm"):
        with tempfile.TemporaryDirectory() as path:
            folder = Folder(Path(path), "nerva prepare digits")
            command = pipeline(f"{seeds(240)} tracking=off")
            if how == "through Slurm":
                at = command.index("--cores")
                command[at : at + 2] = ["--profile", str(ROOT / "profiles" / "slurm")]
            table.add("240 runs of digits", how, folder.run(*command)[0])
            assert folder.runs == 240


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, nargs="*", default=[10, 1000, 10000], help="the sizes of plans")
    parser.add_argument("--runs", type=int, default=10000, help="the number of runs that are trained")
    parser.add_argument("--sections", nargs="*", choices=("points", "runs", "slurm"), default=("points", "runs"))
    arguments = parser.parse_args()
    table = Table("scale", "The cost of a large sweep")
    if "points" in arguments.sections:
        points(table, arguments.points)
    if "runs" in arguments.sections:
        runs(table, arguments.runs)
    if "slurm" in arguments.sections:
        slurm(table)
    table.write()


if __name__ == "__main__":
    main()
