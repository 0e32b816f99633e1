"""The metrics of a run, epoch by epoch: `metrics.csv`. Row 0 is the network before training."""

import csv
import dataclasses
import math
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from nerva.errors import NervaError
from nerva.training import MAX_EPOCHS, EpochRecord
from nerva.whole_files import open_regular, whole_or_absent

COLUMNS = (*(field.name for field in dataclasses.fields(EpochRecord)), "time")
# The columns that a replay has to repeat bit for bit.
REPEATABLE = tuple(name for name in COLUMNS if name not in ("epoch", "seconds", "time"))

_LONGEST_LINE = 10_000  # characters; a damaged file may have no end of line
_LATEST = 4e11  # seconds after 1970; beyond the year 9999 there is no calendar


def metrics_row(record: EpochRecord, time: float) -> str:
    """A line of the file: the metrics of an epoch, and when they were measured, in seconds after 1970."""
    # The repr of a float has all of its bits.
    return ",".join([*map(repr, vars(record).values()), f"{time:.3f}"])


def write_metrics(path: Path, rows: Sequence[str]) -> None:
    """Write lines that `metrics_row` returned."""
    with whole_or_absent(path) as temporary:
        temporary.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")


def read_metrics(path: Path, repair_hint: str) -> list[dict[str, float]]:
    """One dictionary per epoch, by column. What was not measured is nan.

    Raises:
        NervaError: if the file is missing or damaged.
    """
    rows: list[dict[str, float]] = []
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as file:
            reader = csv.DictReader(iter(lambda: file.readline(_LONGEST_LINE), ""))
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise ValueError(f"the columns should be {', '.join(COLUMNS)}")
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
