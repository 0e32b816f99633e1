"""The metrics of a run, epoch by epoch: `metrics.csv`. Row 0 is the network before training."""

import csv
import math
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from pathlib import Path

from nerva.errors import NervaError
from nerva.experiment.config.metrics import PARTS, SCORES
from nerva.training import MAX_EPOCHS, EpochRecord
from nerva.whole_files import open_regular, whole_or_absent

# The columns of a run, by what it measures beside the loss.
COLUMNS = {
    score: (
        "epoch",
        "learning_rate",
        *(f"{part}_{name}" for part in PARTS for name in ("loss", score)),
        "seconds",
        "time",
    )
    for score in SCORES.values()
}

_LONGEST_LINE = 10_000  # characters; a damaged file may have no end of line
_LATEST = 4e11  # seconds after 1970; beyond the year 9999 there is no calendar


def metrics_row(record: EpochRecord, time: float) -> str:
    """A line of the file: the metrics of an epoch, and when they were measured, in seconds after 1970."""
    columns = COLUMNS[score_of(record)][:-1]
    # The repr of a float has all of its bits.
    return ",".join([*(repr(getattr(record, name)) for name in columns), f"{time:.3f}"])


def score_of(record: EpochRecord) -> str:
    """What an epoch measured beside the loss: its accuracies, or R²."""
    return "accuracy" if record.test_r2 is None else "r2"


def write_metrics(path: Path, rows: Sequence[str], score: str) -> None:
    """Write lines that `metrics_row` returned. All of them have the columns of a score."""
    with whole_or_absent(path) as temporary:
        temporary.write_text("\n".join([",".join(COLUMNS[score]), *rows]) + "\n")


def repeatable(columns: Iterable[str]) -> list[str]:
    """The columns that a replay has to repeat bit for bit."""
    return [name for name in columns if name not in ("epoch", "seconds", "time")]


def read_metrics(path: Path, repair_hint: str) -> list[dict[str, float]]:
    """One dictionary per epoch, by column. What was not measured is nan.

    Raises:
        NervaError: if the file is missing or damaged.
    """
    rows: list[dict[str, float]] = []
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as file:
            reader = csv.DictReader(iter(lambda: file.readline(_LONGEST_LINE), ""))
            if tuple(reader.fieldnames or ()) not in COLUMNS.values():
                raise ValueError(f"the columns should be {' or '.join(', '.join(x) for x in COLUMNS.values())}")
            for epoch, texts in enumerate(reader):
                row = {key: _number(text) for key, text in texts.items()}
                if row["epoch"] != epoch or epoch > MAX_EPOCHS:
                    raise ValueError(f"row {epoch} is that of epoch {row['epoch']:g}")
                if not 0 <= row["time"] < _LATEST:
                    raise ValueError(f"row {epoch} has the time {row['time']:g}")
                rows.append(row)
        if not rows:
            raise ValueError("there are no rows")
    except OSError as error:
        raise NervaError(f"{path} can't be read ({error.strerror}); {repair_hint}") from None
    except (ValueError, TypeError, csv.Error) as error:
        raise NervaError(f"{path} is damaged ({str(error)[:300]}); {repair_hint}") from None
    return rows


def _number(text: str) -> float:
    return math.nan if text == "None" else float(text)
