"""Train one point by every entry point, and check that all runs have the same id and the same weights.

    python tests/checks/same_bits.py                                            on this CPU
    python tests/checks/same_bits.py --cpu Haswell --cpu EPYC-Milan --cpu max   on emulated CPUs as well

The emulator is qemu-user (Debian: apt install qemu-user). An emulated CPU takes about 35 s, and all entry points take
30 s together.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Products of many shapes, dropout, batch normalization, and an optimizer with a square root.
POINT = (
    "data=digits",
    "model.hidden=[100,37]",
    "model.layers=[Sigmoid,BatchNormalization,'Dropout(0.2)',ReLU,Linear]",
    "optimizer=gradient_descent",
    "optimizer.name=Adam",
    "learning_rate.lr=0.003",
    "train.epochs=2",
    "train.batch_size=30",
    "tracking=off",
    "numerics=portable",
)
# A machine may set these for all of its programs. They must not matter.
MACHINE_WIDE = {"OPENBLAS_CORETYPE": "Sandybridge", "OMP_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}

Result = tuple[str, str, str]  # the entry point, the run's id, the hash of its weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="append", default=[], help="a CPU model of qemu-x86_64; may be repeated")
    cpus = parser.parse_args().cpu
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for result in (*entry_points(Path(folder)), *emulated(Path(folder), cpus)):
            results.append(result[1:])
            print(f"{result[0]:<48}{result[1]}  {result[2]}", flush=True)
    print("identical" if len(set(results)) == 1 else "different")
    sys.exit(len(set(results)) != 1)


def entry_points(folder: Path) -> Iterator[Result]:
    """All entry points on this machine, each with its own results folder."""
    nerva, point = [sys.executable, "-m", "nerva"], list(POINT)
    overrides = " ".join(POINT[1:])
    snakemake = [
        *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"),
        *("--config", "data=digits", f"overrides={overrides} seed=1"),
    ]
    yield run("nerva train", [*nerva, "train", *point], folder / "train")
    yield run("nerva train -m", [*nerva, "train", "-m", *point, "seed=1,2"], folder / "multirun")
    yield run("snakemake --cores 1", [*snakemake, "--cores", "1"], folder / "cores-1")
    yield run("snakemake --cores 2", [*snakemake, "--cores", "2"], folder / "cores-2")
    yield run("another directory, machine-wide settings", [*nerva, "train", *point], folder / "a b" / "c", MACHINE_WIDE)
    notebook = (
        "import numpy, logging\n"
        "from nerva.experiment.sweep.launcher import Launcher\n"
        "from nerva.experiment.sweep.planning import plan_sweep\n"
        f"plan = plan_sweep({point})\n"
        "Launcher().launch(plan.points[0])\n"
    )
    yield run("Python, NumPy already imported", [sys.executable, "-c", notebook], folder / "python")
    copy = folder / "copy of the repository"
    for name in ("nerva", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    yield run("a copy of the repository", [*nerva, "train", *point], folder / "copied", {"PYTHONPATH": str(copy)})


def emulated(folder: Path, cpus: Sequence[str]) -> Iterator[Result]:
    """The command line on CPUs that qemu emulates."""
    for cpu in cpus:
        # The interpreter itself, because child processes would run on the real CPU.
        command = ["qemu-x86_64", "-cpu", cpu, os.path.realpath(sys.executable), "-m", "nerva", "train", *POINT]
        packages = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
        yield run(f"nerva train, emulated {cpu}", command, folder / cpu, {"PYTHONPATH": packages})


def run(entry_point: str, command: list[object], folder: Path, changes: dict[str, str] | None = None) -> Result:
    """Run a command in a new folder. The run with seed 1 is compared."""
    folder.mkdir(parents=True)
    environment = {key: value for key, value in os.environ.items() if key != "NERVA_RESULTS_DIR"} | (changes or {})
    result = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        sys.exit(f"{entry_point}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    for path in folder.glob("results/runs/*/provenance.json"):
        origin = json.loads(path.read_text())
        if origin["determined_by"]["seed"] == 1:
            record = json.loads((path.parent / "run.json").read_text())
            return entry_point, origin["run_id"], record["weights"]["weights.npz"]
    sys.exit(f"{entry_point}: there is no run\n{result.stdout}\n{result.stderr}")


if __name__ == "__main__":
    main()
