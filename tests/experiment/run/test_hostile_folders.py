"""Run folders that were edited by hand, or come from a stranger: reading and replaying them ends in words."""

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
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.sweep_record import read_sweeps, record_sweep
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


Mutation = Callable[[str, random.Random], bytes]
MUTATIONS: dict[str, Mutation] = {
    "run.json": mutated_json,
    "provenance.json": mutated_json,
    "code.json": mutated_json,
    "imports.json": mutated_json,
    "config.yaml": mutated_yaml,
    "metrics.csv": mutated_csv,
}


def mutate(path: Path, text: str, rng: random.Random) -> None:
    """Write a mutated text, and print it: the last one that is shown is that of a failure."""
    path.write_bytes(MUTATIONS[path.name](text, rng))
    print(path.name, path.read_bytes()[:2_000])


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_records_are_read_or_refused(recorded, name: str) -> None:
    rng = random.Random(name)
    recorded.imports.write_text('{"mine.py": "x = 1", "pkg/helper.py": ""}')
    path = recorded.path / name
    text = path.read_text()
    read = {
        "run.json": recorded.read_record,
        "provenance.json": recorded.read_provenance,
        "code.json": recorded.read_code,
        "imports.json": recorded.read_imports,
        "config.yaml": recorded.read_config,
        "metrics.csv": recorded.read_metrics,
    }[name]
    refused = 0
    for _ in range(150):
        mutate(path, text, rng)
        try:
            read()
        except NervaError as error:
            refused += str(path) in str(error)
        recorded.is_complete()
    assert refused > 15
    read_sweeps(recorded.path.parent.parent)


def test_mutated_sweep_records_are_read_or_ignored(results) -> None:
    rng = random.Random(1)
    record_sweep(results, "digits-quick", Sweep("01234567", "quick"), "Why?", ["0" * 12, "1" * 12])
    (path,) = results.glob("sweeps/*.json")
    text = path.read_text()
    for _ in range(150):
        path.write_bytes(mutated_json(text, rng))
        print(path.read_bytes()[:2_000])
        assert len(read_sweeps(results)) <= 1
        # A damaged record is replaced when the sweep is asked for again.
        record_sweep(results, "digits-quick", Sweep("01234567", "quick"), "Why?", ["2" * 12])
        (record,) = read_sweeps(results)
        assert "2" * 12 in record.runs


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_records_are_replayed_or_refused(recorded, results, name: str) -> None:
    rng = random.Random(f"replay {name}")
    path = recorded.path / name
    text = path.read_text() if path.exists() else '{"mine.py": "x = 1"}'
    for _ in range(12):
        mutate(path, text, rng)
        with suppress(NervaError):
            verdict = replay(recorded, results)
            # The result has checksums of the other files, but not of itself.
            assert verdict.differences or name == "run.json" or path.read_text() == text
    assert not Path("executed").exists()


# What would take all memory or time if it were read carelessly.
BOMBS = {
    "aliases": (
        "config.yaml",
        "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)),
    ),
    "merges": (
        "config.yaml",
        "".join(f"b{i}: &b{i} {{<<: [{'*b' + str(i - 1) + ', ' if i else ''}]}}\n" for i in range(99)),
    ),
    "a long list": ("config.yaml", "model: {hidden: [" + "1, " * 500_000 + "]}"),
    "deep lists": ("config.yaml", "optimizer: {a: " + "[" * 30_000 + "]" * 30_000 + "}"),
    "deep blocks": ("config.yaml", "\n".join(" " * i + "a:" for i in range(300))),
    "a long number": ("config.yaml", "seed: " + "1" * 60_000),
    "a number in base 60": ("config.yaml", "seed: " + "1:" * 30_000 + "1.5"),
    "many parts of code": ("code.json", json.dumps({f"a{i}": "" for i in range(500_000)})),
    "a long text": ("imports.json", json.dumps({"a.py": "x" * (15 << 20)})),
    "a longer text": ("imports.json", json.dumps({"a.py": "x" * (17 << 20)})),
    "deep JSON": ("provenance.json", "[" * (1 << 23)),
    "many resumptions": ("run.json", '{"continued": [' + '{"after_epoch": 1, "at": ""},' * 400_000 + "]}"),
    "a table without an end of line": ("metrics.csv", "epoch," * 10_000_000),
    "a quote that is not closed": ("metrics.csv", '"' + "x\n" * 30_000_000),
}
PROGRAM = """
import sys
from pathlib import Path
from tests.helpers import peak_memory
from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
import nerva.experiment.run.replay
folder = RunFolder(Path(sys.argv[1]))
reads = {"config.yaml": folder.read_config, "code.json": folder.read_code, "imports.json": folder.read_imports,
         "provenance.json": folder.read_provenance, "run.json": folder.read_record, "metrics.csv": folder.read_metrics}
for name in sys.argv[2:]:
    (folder.path / name.partition(":")[2]).rename(folder.path / name.partition(":")[0])
    try:
        reads[name.partition(":")[0]]()
    except NervaError as error:
        assert len(str(error)) < 1000, name
    print(name, peak_memory() // 2**20)
"""


def test_hostile_records_take_little_memory(tmp_path) -> None:
    """In a process of its own, the peak memory of which is that of these files; a hang would end it after a minute."""
    names = []
    for i, (name, text) in enumerate(BOMBS.values()):
        (tmp_path / f"{i}").write_text(text)
        names.append(f"{name}:{i}")
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), *names],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (60 * len(BOMBS), 60 * len(BOMBS))),
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(result.stdout.splitlines()) == len(BOMBS)
    assert max(int(line.split()[-1]) for line in result.stdout.splitlines()) < 500, result.stdout
