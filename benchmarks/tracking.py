"""The cost of tracking: the seconds that a whole sweep takes with and without MLflow.

    python benchmarks/tracking.py
    python benchmarks/tracking.py --flagship shared/data --rounds 3

The sweep is `quick` on digits, by both entry points. --flagship adds that experiment on MNIST, whose files are in the
subfolder `mnist` of the given folder. Each sweep starts with an empty results folder. Sweeps with and without tracking
take turns, and the medians count.
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
# The cost that is allowed: seconds, or a percentage of the time without tracking.
ALLOWED = {"quick": "12 s", "flagship": "10%"}


def seconds(entry_point: str, experiment: str, data: str, tracking: str, data_dir: str | None, cores: int) -> float:
    """The seconds that a sweep takes."""
    with tempfile.TemporaryDirectory(prefix="nerva-benchmark-") as folder:
        environment = {**os.environ, "NERVA_RESULTS_DIR": str(Path(folder) / "results")}
        environment |= {"NERVA_DATA_DIR": data_dir} if data_dir else {}
        environment.pop("MLFLOW_TRACKING_URI", None)
        if entry_point == "snakemake":
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
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flagship", metavar="FOLDER", help="the folder that contains mnist/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=4, help="for snakemake")
    arguments = parser.parse_args()
    sweeps: list[tuple[str, str, str, str | None]] = [
        ("quick", "digits", "snakemake", None),
        ("quick", "digits", "nerva train -m", None),
    ]
    if arguments.flagship:
        sweeps.append(("flagship", "mnist", "snakemake", str(Path(arguments.flagship).absolute())))
    print(f"{'sweep':<10} {'entry point':<15} {'off':>14} {'mlflow':>14} {'added':>14}   allowed")
    for experiment, data, entry_point, data_dir in sweeps:
        taken: dict[str, list[float]] = {"off": [], "mlflow": []}
        for _ in range(arguments.rounds):
            for tracking, times in taken.items():
                times.append(seconds(entry_point, experiment, data, tracking, data_dir, arguments.cores))
        off, on = (statistics.median(times) for times in taken.values())
        shown = [f"{off:.1f} s", f"{on:.1f} s", f"{on - off:.1f} s, {on / off - 1:.0%}"]
        print(f"{experiment:<10} {entry_point:<15} " + " ".join(f"{text:>14}" for text in shown), end="")
        print(f"   {ALLOWED[experiment]}   " + "; ".join(
            f"{name} {min(times):.1f}-{max(times):.1f}" for name, times in taken.items()), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
