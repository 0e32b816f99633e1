"""Measurements of a benchmark, written as Markdown and CSV under `results/benchmarks/`."""

import csv
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "results" / "benchmarks"


@dataclass
class Measurement:
    """Something that is measured in several rounds."""

    section: str
    what: str
    unit: str = "s"
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        text = f"{_number(self.median)} {self.unit}"
        if len(self.values) > 1:
            text += f" ({_number(min(self.values))} to {_number(max(self.values))})"
        return text


class Table:
    """The measurements of one benchmark. Each value is printed as it is measured."""

    def __init__(self, name: str, description: str) -> None:
        self.name = name
        self.description = description
        self.measurements: dict[tuple[str, str], Measurement] = {}
        self.summary: list[str] = []  # lines of Markdown above the table
        self.remarks: list[str] = []  # sentences below the table

    def add(self, section: str, what: str, value: float, unit: str = "s") -> None:
        """Add a value to a measurement."""
        self.measurements.setdefault((section, what), Measurement(section, what, unit)).values.append(value)
        print(f"{section}: {what}: {_number(value)} {unit}", flush=True)

    def write(self) -> None:
        """Write `NAME.csv`, with one row per value, and `NAME.md`, with the medians."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / f"{self.name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["section", "what", "round", "value", "unit"])
            for m in self.measurements.values():
                writer.writerows([m.section, m.what, i, value, m.unit] for i, value in enumerate(m.values, 1))
        (FOLDER / f"{self.name}.md").write_text("\n".join(self._markdown()) + "\n")
        print(f"written: {FOLDER / self.name}.md and .csv")

    def _markdown(self) -> Iterable[str]:
        yield f"# {self.description}"
        yield f"\n{machine()}. Medians, with the least and the greatest value of several rounds.\n"
        yield from self.summary
        yield "| what | | measured |"
        yield "|---|---|---|"
        section = None
        for m in self.measurements.values():
            yield f"| {m.section if m.section != section else ''} | {m.what} | {m} |"
            section = m.section
        yield ""
        yield from self.remarks


def machine() -> str:
    """The machine, the versions and the commit, in a line."""
    from nerva.experiment.config.numerics import cpu

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return (
        f"{cpu()}, {len(os.sched_getaffinity(0))} cores, {platform.system()}, Python {platform.python_version()}, "
        f"commit {commit.stdout.strip() or 'unknown'}"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
