"""Examples for the tests of reports: comparisons without runs, and run folders that were changed by hand."""

import json
import math
import random
from collections.abc import Callable
from typing import Any

import pandas as pd

from nerva.experiment.config.metrics import ACCURACY
from nerva.experiment.records.files import file_checksum
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.ranking import Comparison, leaderboard

NAN = math.nan


def runs_table(**accuracies: list[float]) -> pd.DataFrame:
    """Runs of configurations with these validation accuracies; nan is a failed run."""
    return pd.DataFrame(
        [
            {
                "configuration": name,
                "configuration_id": name,
                "seed": seed,
                "status": "failed" if math.isnan(accuracy) else "finished",
                "validation_accuracy": accuracy,
                "test_accuracy": accuracy,
                "training_seconds": 1.0,
            }
            for name, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]
    )


def example_comparison(**accuracies: list[float]) -> Comparison:
    """A comparison of configurations with these validation accuracies; nan is a failed run."""
    runs = runs_table(**accuracies)
    board = leaderboard(runs, ACCURACY)
    runs["rank"] = runs["configuration_id"].map(board.set_index("configuration_id")["rank"])
    return Comparison("digits-test", "digits", "", ACCURACY, runs, board)


def update_checksums(folder: RunFolder) -> None:
    """Let a record have the checksums of the files as they are now: what somebody does who forges a run."""
    record = json.loads(folder.record.read_text())
    record["files"] = {path.name: file_checksum(path) for path in folder.evidence}
    folder.record.write_text(json.dumps(record))


def edit_json(path: Any, edit: Callable[[Any], None]) -> None:
    """Change the content of a JSON file."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


WRONG_VALUES: list[Any] = [
    None, True, -1, 0, 2**70, 10**400, 1.5, -1e308, 1e308, math.nan, math.inf, "", "nan", "x" * 10_000, "../../x",
    "a\0b", "\ud800", [], [1], {}, {"a": []}, "<script>alert(1)</script>", "${oc.env:HOME}",
]  # fmt: skip


def damage_bytes(content: bytes, generator: random.Random) -> bytes:
    """A truncated, overwritten, nested, or replaced file."""
    place = generator.randrange(len(content))
    return generator.choice(
        [
            lambda: content[:place],
            lambda: content[:place] + generator.randbytes(generator.randint(1, 50)) + content[place + 1 :],
            lambda: content[:place] + content[place + generator.randint(1, 50) :],
            lambda: generator.randbytes(1000),
            lambda: b"",
            lambda: b"[" * 10_000 + b"]" * 10_000,
            lambda: b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
            lambda: content + content,
            lambda: content.replace(b"0", b"9" * 400, 1),
            lambda: content.replace(b".", b"e", 3),
        ]
    )()


def damage_json(value: Any, generator: random.Random) -> Any:
    """The value with one key missing, renamed or replaced by a value of another type, at any depth."""
    if isinstance(value, dict) and value and generator.random() < 0.8:
        key = generator.choice(list(value))
        if isinstance(value[key], dict | list) and value[key] and generator.random() < 0.6:
            return value | {key: damage_json(value[key], generator)}
        others = {name: item for name, item in value.items() if name != key}
        return generator.choice(
            [others, others | {f"{key}x": value[key]}, value | {key: generator.choice(WRONG_VALUES)}]
        )
    if isinstance(value, list) and value and generator.random() < 0.8:
        place = generator.randrange(len(value))
        return [*value[:place], damage_json(value[place], generator), *value[place + 1 :]]
    return generator.choice(WRONG_VALUES)
