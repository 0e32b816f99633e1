"""What tracking costs: the seconds that a sweep takes with MLflow and without, from nothing to the end.

    python benchmarks/tracking.py
    python benchmarks/tracking.py --flagship shared/data --rounds 3

`quick` on digits, by both doors; with --flagship also that experiment on MNIST, whose files are in the folder's
`mnist`. Each sweep has results, and so a store, of its own; with and without take turns, and the medians count.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
# What may be added, in seconds or as a part of the time without.
ALLOWED = {"quick": "12 s", "flagship": "10%"}


def seconds(door: str, experiment: str, data: str, tracking: str, data_dir: str | None, cores: int) -> float:
    """How long a sweep takes, from nothing."""
    with tempfile.TemporaryDirectory(prefix="nerva-benchmark-") as folder:
        environment = {**os.environ, "NERVA_RESULTS_DIR": str(Path(folder) / "results")}
        environment |= {"NERVA_DATA_DIR": data_dir} if data_dir else {}
        environment.pop("MLFLOW_TRACKING_URI", None)
        if door == "snakemake":
            command = ["-m", "snakemake", "--cores", str(cores), "--snakefile", str(ROOT / "Snakefile"), "--config"]
            command += [f"experiment={experiment}", f"data={data}", f"overrides=tracking={tracking}"]
        else:
            command = ["-m", "nerva", "train", "-m", f"+experiment={experiment}", f"data={data}"]
            command += [f"tracking={tracking}"]
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        taken = time.perf_counter() - start
        if result.returncode != 0:
            sys.exit(result.stdout + result.stderr)
        assert (Path(folder) / "results" / "mlflow.db").exists() == (tracking == "mlflow")
        return taken


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flagship", metavar="FOLDER", help="where mnist/ is")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=4, help="for snakemake")
    asked = parser.parse_args()
    sweeps: list[tuple[str, str, str, str | None]] = [
        ("quick", "digits", "snakemake", None),
        ("quick", "digits", "nerva train -m", None),
    ]
    if asked.flagship:
        sweeps.append(("flagship", "mnist", "snakemake", str(Path(asked.flagship).absolute())))
    print(f"{'sweep':<10} {'door':<15} {'off':>14} {'mlflow':>14} {'added':>14}   allowed")
    for experiment, data, door, data_dir in sweeps:
        taken: dict[str, list[float]] = {"off": [], "mlflow": []}
        for _ in range(asked.rounds):
            for tracking, times in taken.items():
                times.append(seconds(door, experiment, data, tracking, data_dir, asked.cores))
        off, on = (statistics.median(times) for times in taken.values())
        shown = [f"{off:.1f} s", f"{on:.1f} s", f"{on - off:.1f} s, {on / off - 1:.0%}"]
        print(f"{experiment:<10} {door:<15} " + " ".join(f"{text:>14}" for text in shown), end="")
        print(f"   {ALLOWED[experiment]}   " + "; ".join(
            f"{name} {min(times):.1f}-{max(times):.1f}" for name, times in taken.items()), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
