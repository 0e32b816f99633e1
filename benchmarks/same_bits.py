"""One point through every door: one id, and one hash of its weights.

    python benchmarks/same_bits.py                                            all doors, on this CPU
    python benchmarks/same_bits.py --cpu Haswell --cpu EPYC-Milan --cpu max   and on emulated ones

Emulation is qemu-user's (Debian: apt install qemu-user). It takes some 35 s a CPU; the doors take 30 s together.
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

ROOT = Path(__file__).parent.parent
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
# What a machine may set for all of its programs, and what must not matter.
MACHINE_WIDE = {"OPENBLAS_CORETYPE": "Sandybridge", "OMP_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}

Result = tuple[str, str, str]  # the door, the run's id, the hash of its weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="append", default=[], help="a CPU that qemu-x86_64 knows; may be repeated")
    cpus = parser.parse_args().cpu
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for result in (*doors(Path(folder)), *emulated(Path(folder), cpus)):
            results.append(result[1:])
            print(f"{result[0]:<48}{result[1]}  {result[2]}", flush=True)
    print("identical" if len(set(results)) == 1 else "different")
    sys.exit(len(set(results)) != 1)


def doors(folder: Path) -> Iterator[Result]:
    """The doors of this machine, each with results of its own."""
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
        "from nerva.experiment.config.composition import compose\n"
        "from nerva.experiment.run.train import run\n"
        f"run(compose({point}), [])\n"
    )
    yield run("Python, NumPy already imported", [sys.executable, "-c", notebook], folder / "python")
    copy = folder / "copy of the repository"
    for name in ("nerva", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    yield run("a copy of the repository", [*nerva, "train", *point], folder / "copied", {"PYTHONPATH": str(copy)})


def emulated(folder: Path, cpus: Sequence[str]) -> Iterator[Result]:
    """The same on CPUs that qemu emulates."""
    for cpu in cpus:
        # The interpreter itself: an emulated process' children would run on the real CPU.
        command = ["qemu-x86_64", "-cpu", cpu, os.path.realpath(sys.executable), "-m", "nerva", "train", *POINT]
        packages = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
        yield run(f"nerva train, emulated {cpu}", command, folder / cpu, {"PYTHONPATH": packages})


def run(door: str, command: list[object], folder: Path, changes: dict[str, str] | None = None) -> Result:
    """Calls a command in a new folder; the run with seed 1 is the one that counts."""
    folder.mkdir(parents=True)
    environment = {key: value for key, value in os.environ.items() if key != "NERVA_RESULTS_DIR"} | (changes or {})
    result = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        sys.exit(f"{door}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
    for path in folder.glob("results/runs/*/provenance.json"):
        origin = json.loads(path.read_text())
        if origin["determined_by"]["seed"] == 1:
            summary = json.loads((path.parent / "run.json").read_text())
            return door, origin["run_id"], summary["weights"]["weights.npz"]
    sys.exit(f"{door}: there is no run\n{result.stdout}\n{result.stderr}")


if __name__ == "__main__":
    main()
