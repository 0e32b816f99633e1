"""Run folders that were edited by hand, or come from a stranger: reading and replaying them ends in words."""

import copy
import json
import random
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import read_sweeps, record_sweep
from nerva.experiment.config.schema import Sweep
from nerva.experiment.run.replay import replay

NESTED = 10_000
WRONG = [None, True, 0, -1, 1.5, 1e308, "", "x", "../../etc/passwd", "2026-01-01T00:00:00", [], {}, [[]], {"": None}]
# Texts that JSON can't express, or that Python's parser and YAML's read in their own ways. @ marks their places.
RAW = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1" * 5_000,
    "1e999999",
    "[" * NESTED + "]" * NESTED,
    '{"a":' * NESTED + "1" + "}" * NESTED,
]
RAW += ['"\\ud800"', '"\\u0000"', '"' + "x" * 100_000 + '"']


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """The containers in a value, with each of their keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)


def mutated_json(text: str, rng: random.Random) -> bytes:
    """A JSON text with one mutation."""
    content = json.loads(text)
    container, key = rng.choice([*places(content)])
    match rng.randrange(8):
        case 0:
            del container[key]
        case 1 | 2:
            container[key] = rng.choice(WRONG)
        case 3:
            container[key] = "@"
            return json.dumps(content).replace('"@"', rng.choice(RAW)).encode()
        case 4:
            other, other_key = rng.choice([*places(json.loads(text))])
            container[key] = other[other_key]
        case 5:
            return text.encode()[: rng.randrange(len(text))]
        case 6:
            start = rng.randrange(len(text))
            return text.encode()[:start] + rng.randbytes(rng.randint(1, 9)) + text.encode()[start:]
        case 7:  # the last of equal keys counts
            return text.rstrip()[:-1].encode() + f", {json.dumps(str(key))}: {json.dumps(rng.choice(WRONG))}}}".encode()
    return json.dumps(content).encode()


YAML_VALUES = [
    "!!python/object/apply:os.system ['touch executed']", "!!python/name:os.system", "!!binary x", "!!set {a}",
    "*a", "&a [*a]", "&a {b: *a}", "${oc.env:HOME}", "${seed}", "${nosuch:1}", "{[}", "[1, [2]]", "{a: {b: 1}}",
    "null", "~", "true", "1e400", ".nan", ".inf", "-1", "9" * 5_000, "0x10", "1:30", "2026-01-01", "'", '"\\ud800"',
    "../../etc/passwd", "os.path", "[mine]", "|\n  x", "???", "[" * 2_000 + "]" * 2_000, "? 1", "<<", "@", "`", "\0",
]  # fmt: skip


def mutated_yaml(text: str, rng: random.Random) -> bytes:
    """A configuration with one mutation."""
    lines = text.splitlines()
    i = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[i]
        case 1 | 2 | 3:
            lines[i] = re.sub(r"(:|-)( .*)?$", rf"\1 {re.escape(rng.choice(YAML_VALUES))}", lines[i]).replace("\\", "")
        case 4:
            lines.insert(i, rng.choice([lines[i], "a: 1", "<<: *a", "imports: [mine]", "? [a]", "- 1", "---", "\t"]))
        case 5:
            return text.encode()[:i] + rng.randbytes(3) + text.encode()[i:]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def mutated_csv(text: str, rng: random.Random) -> bytes:
    """A table of metrics with one mutation."""
    rows = [line.split(",") for line in text.splitlines()]
    row = rng.choice(rows)
    row[rng.randrange(len(row))] = rng.choice(
        ["", "x", "nan", "inf", "-1", "1e400", '"', "\0", "9" * 5_000, "None", "1,2", "\n"]
    )
    content = "\n".join(map(",".join, rows)).encode()
    return content[: rng.randrange(len(content))] if rng.randrange(4) == 0 else content


MUTATIONS: dict[str, Callable[[str, random.Random], bytes]] = {
    "run.json": mutated_json,
    "provenance.json": mutated_json,
    "code.json": mutated_json,
    "config.yaml": mutated_yaml,
    "metrics.csv": mutated_csv,
}


def read_everything(folder: RunFolder) -> None:
    """Read all records of a run. Any error but a NervaError is a bug."""
    for read in (
        folder.read_record,
        folder.read_provenance,
        folder.read_code,
        folder.read_imports,
        folder.read_config,
        folder.read_metrics,
    ):
        with suppress(NervaError):
            read()
    folder.is_complete()
    read_sweeps(folder.path.parent.parent)


def mutated(path: Path, text: str, rng: random.Random) -> None:
    path.write_bytes(MUTATIONS[path.name](text, rng))
    print(path.name, path.read_bytes()[:5_000])  # the last one is that of a failure


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_records_are_read_or_refused(recorded, name: str) -> None:
    rng = random.Random(name)
    path = recorded.path / name
    text = path.read_text()
    for _ in range(100):
        mutated(path, text, rng)
        read_everything(recorded)


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_records_are_replayed_or_refused(recorded, results, name: str) -> None:
    rng = random.Random(f"replay {name}")
    path = recorded.path / name
    text = path.read_text()
    for _ in range(12):
        mutated(path, text, rng)
        changed = path.read_text(errors="replace") != text
        with suppress(NervaError):
            verdict = replay(recorded, results)
            assert not changed or verdict.differences
    assert not (results.parent / "executed").exists()
