"""The time of a sweep, compared with that of its training loops alone.

    python benchmarks/sweep.py
    python benchmarks/sweep.py --rounds 1 --points 10 100 --sections planning quick

The sections:

- planning: time and memory to plan sweeps of several sizes.
- quick: the 12 runs of `quick`, with Snakemake and with `nerva train -m`, with and without tracking. The peer is a
  sweep of 12 scikit-learn networks.
- thousand: 1,002 runs, from planning to the report.

"Bare loops" are the same trainings in two processes. Only the seconds in the loops count. The candidates take turns,
and the medians count. Compare only numbers from one call.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tables import ROOT, Table

# The peer needs Hydra's joblib launcher.
PEER = importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is not None
QUICK = ["+experiment=quick", "data=digits"]
PLAN = """
import sys
from nerva.experiment.sweep.planning import load_or_write_plan
load_or_write_plan("quick", sys.argv[1:])
"""
BARE = """
import sys, time
from pathlib import Path
from nerva.experiment.config import numerics
numerics.pin(numerics.resolve_mode("auto"))
import numpy as np
from threadpoolctl import threadpool_limits
from nerva.data import load_prepared
from nerva.experiment.run.build import build
from nerva.experiment.sweep.plan import read_plan
points = read_plan(Path(sys.argv[1])).points[int(sys.argv[2])::2]
config = points[0].config
arrays, _ = load_prepared(config.data, config.data_dir)
start = time.perf_counter()
with threadpool_limits(1), np.errstate(all="ignore"):
    for point in points:
        for _ in build(point.config, arrays).epochs(point.config.train.epochs):
            pass
print(time.perf_counter() - start)
"""


class Folder:
    """A working folder for commands, with a results folder of its own."""

    def __init__(self, path: Path, *prepared: str) -> None:
        """The commands `prepared` are run first."""
        self.path = path
        self.environment = {**os.environ, "NERVA_RESULTS_DIR": str(path / "results")}
        self.environment.pop("MLFLOW_TRACKING_URI", None)
        for command in prepared:
            self.run(*command.split())

    def run(self, *command: str) -> tuple[float, float]:
        """The seconds that a command takes, and its peak memory in MB."""
        start = time.perf_counter()
        with (self.path / "output").open("w") as output:
            process = subprocess.Popen(command, cwd=self.path, env=self.environment, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{(self.path / 'output').read_text()}")
        return seconds, usage.ru_maxrss / 1024

    def bare_loops(self, *overrides: str) -> float:
        """The seconds in the loops of two processes that train half of the sweep each."""
        self.run("nerva", "prepare", "digits")
        self.run(sys.executable, "-c", PLAN, "data=digits", *overrides)
        (plan,) = self.path.glob("results/sweeps/*.plan")
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", BARE, plan, half], cwd=self.path, env=self.environment, stdout=subprocess.PIPE
            )
            for half in ("0", "1")
        ]
        outputs = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            sys.exit("the bare loops failed")
        return max(map(float, outputs))

    @property
    def runs(self) -> int:
        """The number of runs that have ended."""
        return len([*self.path.glob("results/runs/*/run.json")])


def pipeline(override: str = "") -> list[str]:
    """The command that runs `quick` as a pipeline."""
    config = ["experiment=quick", "data=digits", *([f"overrides={override}"] if override else [])]
    return ["snakemake", "--cores", "2", "--snakefile", str(ROOT / "Snakefile"), "--config", *config]


def seeds(points: int) -> str:
    """An override that makes `quick` a sweep of about this number of points: its 6 configurations with many seeds."""
    return f"seed=range(1,{_seeds(points) + 1})"


def exactly(points: int) -> str:
    """The number of points of that sweep."""
    return f"{6 * _seeds(points):,}"


def _seeds(points: int) -> int:
    return max(1, round(points / 6))


def planning(table: Table, points: list[int]) -> None:
    """Measure how long sweeps take to plan, with and without a saved plan."""
    with tempfile.TemporaryDirectory() as folder:
        table.add(
            "process", 'python -c "import numpy"', Folder(Path(folder)).run(sys.executable, "-c", "import numpy")[0]
        )
    for size in points:
        with tempfile.TemporaryDirectory() as path:
            folder, name = Folder(Path(path)), f"{exactly(size)} points"
            command = (sys.executable, "-c", PLAN, "data=digits", seeds(size))
            if size <= 1000:
                table.add("snakemake -n, no plan, all missing", name, folder.run(*pipeline(seeds(size)), "-n")[0])
            seconds, memory = folder.run(*command)
            table.add("planning", name, seconds)
            table.add("planning, memory", name, memory, "MB")
            table.add("planning, the plan is there", name, folder.run(*command)[0])
            if size <= 1000:
                table.add(
                    "snakemake -n, the plan is there, all missing", name, folder.run(*pipeline(seeds(size)), "-n")[0]
                )


def quick(table: Table) -> None:
    """Measure the 12 runs of `quick`, and the peer."""
    candidates: dict[str, tuple[tuple[str, ...], list[str]]] = {}
    for tracking in ("off", "mlflow"):
        override = f"tracking={tracking}"
        candidates[f"snakemake, {override}"] = (("nerva prepare digits",), pipeline(override))
        candidates[f"nerva train -m, {override}"] = (
            ("nerva prepare digits",),
            ["nerva", "train", "-m", *QUICK, override],
        )
    # First, one other run creates the database.
    filled = ("nerva prepare digits", "nerva train data=digits seed=99")
    candidates["snakemake, tracking=mlflow, the database is there"] = (filled, pipeline())
    candidates["nerva train -m, tracking=mlflow, the database is there"] = (filled, ["nerva", "train", "-m", *QUICK])
    if PEER:
        peer = [sys.executable, str(Path(__file__).with_name("sklearn_sweep.py")), "-m", "hydra/launcher=joblib"]
        for models in ("true", "false"):
            candidates[f"peer, models {'logged' if models == 'true' else 'not logged'}"] = (
                (),
                [*peer, f"models={models}"],
            )
    for name, (prepared, command) in candidates.items():
        with tempfile.TemporaryDirectory() as path:
            folder = Folder(Path(path), *prepared)
            before = folder.runs
            table.add("quick, 12 runs", name, folder.run(*command)[0])
            assert "peer" in name or folder.runs == before + 12
    with tempfile.TemporaryDirectory() as path:
        table.add("quick, 12 runs", "bare loops", Folder(Path(path)).bare_loops())


def thousand(table: Table) -> None:
    """Measure 1,002 runs: tracked, compared and reported."""
    with tempfile.TemporaryDirectory() as path:
        table.add("1,002 runs", "bare loops", Folder(Path(path)).bare_loops(seeds(1000)))
    with tempfile.TemporaryDirectory() as path:
        folder = Folder(Path(path), "nerva prepare digits")
        table.add("1,002 runs", "snakemake, tracking=mlflow", folder.run(*pipeline(seeds(1000)))[0])
        assert folder.runs == 1002
        again = folder.run(*pipeline(seeds(1000)))[0]
        table.add("1,002 runs", "snakemake again, nothing to do", again)
        (report,) = folder.path.glob("results/*/report.html")
        table.add("1,002 runs", "size of the report", report.stat().st_size / 2**20, "MB")


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, nargs="*", default=[10, 100, 1000, 10000], help="the sizes of plans")
    sections = ("planning", "quick", "thousand")
    parser.add_argument("--sections", nargs="*", choices=sections, default=sections)
    arguments = parser.parse_args()
    table = Table("sweep", "The time of a sweep, compared with that of its training loops alone")
    if not PEER:
        table.remarks.append("The peer was not measured: Hydra's joblib launcher is not installed (make .venv/dev).")
    for _ in range(arguments.rounds):
        if "planning" in arguments.sections:
            planning(table, arguments.points)
        if "quick" in arguments.sections:
            quick(table)
        if "thousand" in arguments.sections:
            thousand(table)
    table.write()


if __name__ == "__main__":
    main()
