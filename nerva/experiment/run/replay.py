"""Replay: a run is trained again from what was recorded of it, and every figure and every weight is compared."""

import atexit
import dataclasses
import itertools
import math
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nerva.data import load_prepared, prepare
from nerva.errors import NervaError
from nerva.experiment.config.schema import Config, canonical, flat
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import code_parts
from nerva.experiment.identity.user_modules import is_there, write_texts
from nerva.experiment.records.run_folder import RunFolder, file_checksum
from nerva.experiment.run.train import run
from nerva.matrix_operations import Matrix
from nerva.training import EpochRecord
from nerva.utilities import load_dict_from_npz

# What an epoch came to: all that is recorded of it but the time it took.
FIGURES = tuple(field.name for field in dataclasses.fields(EpochRecord) if field.name not in ("epoch", "seconds"))


@dataclass
class Verdict:
    """What came of a replay."""

    run_id: str
    compared: str = ""  # how much was compared
    differences: list[str] = field(default_factory=list)  # the first of each kind
    context: list[str] = field(default_factory=list)  # what differs in code and environment
    advice: list[str] = field(default_factory=list)  # how to have the code of then

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def replay(
    recorded: RunFolder, results_dir: str | Path, logged: Mapping[str, list[tuple[int, float]]] | None = None
) -> Verdict:
    """Trains a recorded run again, in a place of its own, and compares.

    Args:
        recorded: the run's folder, or what MLflow has of it.
        results_dir: where prepared data are.
        logged: figures that were logged elsewhere, too: of each, epochs with values.

    Raises:
        NervaError: if the run has not ended, a file of its folder can't be read, or its data can't be had.
    """
    summary, origin = recorded.read_summary(), recorded.read_provenance()
    verdict = Verdict(recorded.run_id)
    try:
        _restore_modules(recorded, origin)
        verdict.context, verdict.advice = _code(recorded, origin)
        for name, what in ((recorded.summary.name, summary), (recorded.provenance.name, origin)):
            if what["run_id"] != recorded.run_id:
                verdict.differences.append(f"{name} is that of the run {what['run_id']}")
        config = dataclasses.replace(recorded.load_config(), results_dir=str(results_dir))
        verdict.differences += _config(config, origin)
    except NervaError as error:
        # Other code may not know what was recorded.
        verdict.differences.append(str(error))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        verdict.differences.append(f"{recorded.provenance.name} is damaged: {error!r} is missing or of another kind")
    if not verdict.differences:
        prepare(config.data, config.data_dir)
        verdict.differences += _data(config, origin)
    if verdict.differences:
        # What was trained then can't be trained now.
        return verdict
    with tempfile.TemporaryDirectory(prefix="nerva-replay-") as folder:
        again = run(config, origin["overrides"], RunFolder(Path(folder) / recorded.run_id))
        verdict.context += _environment(origin, again.read_provenance())
        rows, new = recorded.read_metrics(), again.read_metrics()
        weights = [(load_dict_from_npz(a), load_dict_from_npz(b), a.name) for a, b in _weights(recorded, again)]
        outcome = again.read_summary()
    verdict.differences += itertools.chain(
        itertools.islice(_metrics(rows, new), 1),
        itertools.islice(_logged(logged or {}, new), 1),
        *(itertools.islice(_arrays(a, b, name), 1) for a, b, name in weights),
        _outcome(summary, outcome),
    )
    if not verdict.differences:
        # What the replay can't see, such as a comment in the configuration.
        verdict.differences += _files(recorded, summary)
    count = sum(array.size for arrays, _, _ in weights for array in arrays.values() if array.dtype.kind == "f")
    verdict.compared = f"{len(FIGURES)} figures of {len(rows)} epochs, {count:,} weights"
    return verdict


def _restore_modules(recorded: RunFolder, origin: dict[str, Any]) -> None:
    """Lets modules of one's own be imported from what was recorded, if they are nowhere else."""
    if all(is_there(name) for name in origin["determined_by"].get("imports", {})):
        return
    # As a module is imported once, its file stays for as long as this process.
    folder = tempfile.mkdtemp(prefix="nerva-modules-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_texts(recorded.read_imports(), Path(folder))
    sys.path.append(folder)


def _weights(a: RunFolder, b: RunFolder) -> list[tuple[Path, Path]]:
    return [(a.weights, b.weights), (a.best, b.best)]


def _config(config: Config, origin: dict[str, Any]) -> list[str]:
    """Where the configuration is not the one that made the run."""
    recorded, now = flat(origin["determined_by"]), flat(canonical(config))
    differences = [
        f"{key}: {recorded.get(key)} made the run, but config.yaml says {now.get(key)}"
        for key in sorted({*recorded, *now})
        if recorded.get(key) != now.get(key) and not key.startswith("imports.")
    ]
    made = digest({"config": origin["determined_by"], "code": origin["code"]["fingerprint"]})[:12]
    if made != origin["run_id"]:
        differences.append(f"provenance.json describes the run {made}, and not {origin['run_id']}")
    return differences


def _data(config: Config, origin: dict[str, Any]) -> list[str]:
    """Where the data are not those that the run had."""
    try:
        _, sha256 = load_prepared(config.data, config.data_dir)
    except NervaError as error:
        return [f"data: {error}"]
    if sha256 != (before := origin["data"].get("sha256")):
        return [f"data: their sha256 was {before}, and is {sha256}"]
    return []


def _code(recorded: RunFolder, origin: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Which functions are other ones than those that made the run, and how to have those back."""
    before, code, imports = recorded.read_code(), origin["code"], origin["determined_by"].get("imports", {})
    now = code_parts(imports, "preparation" in origin["determined_by"]["data"])
    changed = sorted(part for part in {*before, *now} if before.get(part) != now.get(part))
    context = [f"code: {_change(before.get(part), now.get(part))} {part}" for part in changed]
    advice = []
    if any(part.startswith("nerva/") for part in changed) and code["git_commit"]:
        advice.append(f"git checkout {code['git_commit']}")
        if code["dirty"]:
            patch = shlex.join(["git", "apply", str(recorded.patch)])
            advice.append(patch if recorded.patch.exists() else "(and what was not committed then)")
    if not all(part.startswith("nerva/") for part in changed) and recorded.imports.exists():
        advice.append(f"{', '.join(recorded.read_imports())}: the texts in {recorded.imports}")
    return context, advice


def _change(before: str | None, now: str | None) -> str:
    return "new" if before is None else "gone" if now is None else "changed"


def _environment(origin: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs in what the run was computed with."""
    before, after = origin["environment"], now["environment"]
    return [
        f"environment: {key} was {before.get(key)}, is {after.get(key)}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _metrics(recorded: list[dict[str, float]], now: list[dict[str, float]]) -> Iterator[str]:
    """Where the figures differ, epoch by epoch."""
    for a, b in zip(recorded, now, strict=False):
        for figure in ("epoch", *FIGURES):
            if not _same(a[figure], b[figure]):
                yield f"epoch {int(b['epoch'])}, {figure}: {a[figure]!r} was recorded, and {b[figure]!r} comes now"
    if len(recorded) != len(now):
        yield f"{len(recorded) - 1} epochs were recorded, and {len(now) - 1} come now"


def _logged(logged: Mapping[str, list[tuple[int, float]]], now: list[dict[str, float]]) -> Iterator[str]:
    """Where figures that were logged elsewhere differ."""
    for figure, values in logged.items():
        if len(values) != len(now):
            yield f"{figure}: MLflow has {len(values)} values, and {len(now)} come now"
        for (epoch, value), row in zip(values, now, strict=False):
            if epoch != row["epoch"] or not _same(value, row[figure]):
                yield f"epoch {epoch}, {figure}: {value!r} is in MLflow, and {row[figure]!r} comes now"


def _arrays(recorded: dict[str, Matrix], now: dict[str, Matrix], name: str) -> Iterator[str]:
    """Where weights differ, bit for bit."""
    for key in sorted({*recorded, *now}):
        a, b = recorded.get(key), now.get(key)
        if a is None or b is None:
            yield f"{name}: {key} was not recorded, and comes now" if a is None else f"{name}: {key} does not come now"
        elif (a.shape, a.dtype) != (b.shape, b.dtype):
            yield f"{name}: {key} was {a.dtype} {a.shape}, and is {b.dtype} {b.shape}"
        elif a.tobytes() != b.tobytes():
            size = a.dtype.itemsize
            differing = np.frombuffer(a.tobytes(), f"V{size}") != np.frombuffer(b.tobytes(), f"V{size}")
            place = tuple(int(i) for i in np.unravel_index(int(np.argmax(differing)), a.shape))
            count = int(differing.sum())
            yield (
                f"{name}: {key}{list(place)}: {a[place].item()!r} was recorded, and {b[place].item()!r} comes now"
                f" ({count:,} of {a.size:,} differ)"
            )


def _outcome(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Where what is said of the run differs."""
    a, b = (
        {key: summary[key] for key in ("status", "reason", "best", "last", "weights")} for summary in (recorded, now)
    )
    before, after = flat(a), flat(b)
    return [
        f"run.json: {key}: {before.get(key)!r} was recorded, and {after.get(key)!r} comes now"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ][:1]


def _files(recorded: RunFolder, summary: dict[str, Any]) -> list[str]:
    """Which files are not as they were written."""
    written, found = summary["files"], {path.name: file_checksum(path) for path in recorded.evidence}
    return [
        f"{name} is not as it was written: its sha256 was {written.get(name)}, and is {found.get(name)}"
        for name in sorted({*written, *found})
        if written.get(name) != found.get(name)
    ]


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
