"""Replay: a run is trained again from its records, and every metric and every weight is compared.

A run folder may come from a stranger. Nothing in it is executed, unless the caller trusts it: see `replay`.
"""

import dataclasses
import itertools
import json
import math
import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from nerva.data import Prepared, load_prepared, prepare
from nerva.data.sources import FILES
from nerva.data.steps import without_steps
from nerva.errors import NervaError
from nerva.experiment.config.composition import compose
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.canonical import flat
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import CODE_SCHEME, Identity, identify
from nerva.experiment.identity.user_modules import restore
from nerva.experiment.paths import options
from nerva.experiment.records.files import file_checksum
from nerva.experiment.records.metrics import repeatable
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.run.run import run
from nerva.matrix_operations import Matrix
from nerva.training import evaluates_training_set
from nerva.utilities import load_dict_from_npz

# Epochs with values, of a metric.
History = list[tuple[int, float]]


@dataclass
class Verdict:
    """The result of a replay."""

    run_id: str
    compared: str = ""  # how much was compared
    differences: list[str] = field(default_factory=list)  # the first of each kind
    context: list[str] = field(default_factory=list)  # what differs in the code and the environment
    advice: list[str] = field(default_factory=list)  # how to restore the code that computed the run

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def replay(
    recorded: RunFolder,
    results_dir: str | Path,
    logged: Mapping[str, History] | None = None,
    trust: bool = False,
) -> Verdict:
    """Train a recorded run again, in a temporary folder, and compare.

    Args:
        recorded: the run's folder, or a copy of it from MLflow.
        results_dir: where prepared data are.
        logged: metrics that MLflow has, to be compared as well.
        trust: whether the user-defined modules that the run names may be imported, and so executed. Without it, a run
            that has some is not trained, and only its records are compared with each other.

    Raises:
        NervaError: if the run has not ended, a record can't be read, or the data can't be obtained.
    """
    result, origin = recorded.read_record(), recorded.read_provenance()
    verdict = Verdict(recorded.run_id)
    for file, run_id in ((recorded.record, result.run_id), (recorded.provenance, origin.run_id)):
        if run_id != recorded.run_id:
            verdict.differences.append(f"{file.name} is that of the run {run_id}")
    verdict.differences += _id(recorded)
    config = dataclasses.replace(recorded.read_config(), results_dir=str(results_dir))
    if (config.imports or origin.determined_by.get("imports")) and not trust:
        verdict.differences += [*_untrusted(recorded, config), *_files(recorded, result)]
        verdict.differences += itertools.islice(
            _logged(logged or {}, recorded.read_metrics(), config, "metrics.csv has"), 1
        )
        return verdict
    try:
        if config.imports:
            restore(config.imports, recorded.read_imports())
        identity = identify(config)
    except NervaError as error:
        # The code here may not know what was recorded.
        verdict.differences.append(str(error))
        verdict.advice += _how_to_restore(recorded, origin)
        return verdict
    verdict.context += _changed_code(recorded, origin, identity)
    if verdict.context:
        verdict.advice += _how_to_restore(recorded, origin)
    verdict.differences += _configuration(identity, origin)
    if not verdict.differences:
        _prepare(config)
        verdict.differences += _data(config, origin)
    if verdict.differences:
        return verdict  # what was trained then can't be trained now
    with tempfile.TemporaryDirectory(prefix="nerva-replay-") as folder:
        again = RunFolder(Path(folder) / recorded.run_id)
        outcome = run(config, identity, origin.overrides, again)
        verdict.context += _changed_environment(origin, again.read_provenance())
        rows = again.read_metrics()
        differences = [_metrics(recorded, rows), _logged(logged or {}, rows, config, "the replay gives")]
        arrays = {name: load_dict_from_npz(again.path / name) for name in ("weights.npz", "best.npz")}
    differences += [_arrays(recorded.path / name, new) for name, new in arrays.items()]
    verdict.differences += itertools.chain(*(itertools.islice(kind, 1) for kind in differences))
    verdict.differences += _outcome(result, outcome)
    if verdict.differences and (library := identity.backend["name"]) != "numpy":
        verdict.context.append(
            f"backend={library} repeats its bits on the same CPU with the same versions only: portable numerics, which "
            "repeat them on other machines, need backend=numpy"
        )
    if not verdict.differences:
        # What training does not use, such as a comment in the configuration.
        verdict.differences += _files(recorded, result)
    count = sum(array.size for new in arrays.values() for array in new.values() if array.dtype.kind == "f")
    verdict.compared = f"{len(repeatable(rows[0]))} metrics of {len(rows)} epochs, {count:,} weights"
    return verdict


def _untrusted(recorded: RunFolder, config: Config) -> list[str]:
    """Which recorded code would have to run."""
    texts = recorded.read_imports()
    return [
        "it was not trained: recorded modules run only with --trust (in Python, trust=True)",
        f"it imports {_listed(config.imports) or 'nothing, but its provenance names modules'}",
        *(
            f"{_listed([path])} (sha256 {_hash(text)}): its text is in {recorded.imports}"
            for path, text in texts.items()
        ),
    ]


def _listed(names: Iterable[str]) -> str:
    """Names that may be a stranger's: control characters in them could rewrite what a terminal shows."""
    return ", ".join(name if name.isprintable() else ascii(name) for name in names)


def _hash(text: str) -> str:
    return sha256(text.encode(errors="surrogateescape")).hexdigest()


def _id(recorded: RunFolder) -> list[str]:
    """Whether the id of the run is the hash of what is recorded."""
    # As it was written: a later version of the schema may add defaults.
    origin = json.loads(recorded.provenance.read_text(encoding="utf-8"))
    try:
        run_id = digest({"config": origin["determined_by"], "code": origin["code"]["fingerprint"]})[:12]
    except ValueError:
        return ["provenance.json has numbers that JSON does not have"]
    return [] if run_id == origin["run_id"] else [f"provenance.json describes the run {run_id}, not {origin['run_id']}"]


def _configuration(identity: Identity, origin: Provenance) -> list[str]:
    """Where config.yaml is not the configuration that determined the run."""
    recorded, now = flat(origin.determined_by), flat(identity.determined_by)
    return [
        f"{key}: the run was trained with {recorded.get(key)}, but config.yaml has {now.get(key)}"
        for key in sorted({*recorded, *now})
        if recorded.get(key) != now.get(key) and not key.startswith("imports.")
    ]


def _prepare(config: Config) -> None:
    """Prepare the data, if they are not prepared yet, as conf/data describes them.

    The recorded description is only compared with it: a stranger may have written another source under a known name.
    """
    data, data_dir = config.data, config.data_dir
    if Prepared.of(data, data_dir).exists():
        return
    if data.name in options("data"):
        own = compose([f"data={data.name}"]).data
        if (own.source, own.checksum) == (data.source, data.checksum):
            prepare(dataclasses.replace(data, path=own.path, files=own.files, mirrors=own.mirrors), data_dir)
            return
    # What is read is compared with the recorded checksum.
    if Prepared.of(without_steps(data), data_dir).exists() or (data.source in FILES and Path(data.path).exists()):
        prepare(data, data_dir)
        return
    where = f"; {data.path} is not here either" if data.source in FILES else ""
    raise NervaError(
        f"the dataset {data.name} of this run is not prepared in {data_dir}, and conf/data has no dataset of this name "
        f"with the same source and checksum{where}"
    )


def _data(config: Config, origin: Provenance) -> list[str]:
    """Where the data are not those that the run had."""
    try:
        _, checksum = load_prepared(config.data, config.data_dir, recompute=True)
    except NervaError as error:
        return [f"data: {error}"]
    return [] if checksum == origin.data.sha256 else [f"data: their sha256 was {origin.data.sha256}, and is {checksum}"]


def _changed_code(recorded: RunFolder, origin: Provenance, identity: Identity) -> list[str]:
    """Which functions have changed since the run was trained."""
    if origin.code.fingerprint == identity.code_fingerprint:
        return []
    if origin.code.scheme != CODE_SCHEME:
        return ["code: an earlier version of nerva hashed it, in a way that can't be compared function by function"]
    before, now = recorded.read_code(), identity.code
    changes = {part: _change(before.get(part), now.get(part)) for part in sorted({*before, *now})}
    return [f"code: {change} {part}" for part, change in changes.items() if change]


def _change(before: str | None, now: str | None) -> str:
    return "" if before == now else "new" if before is None else "removed" if now is None else "changed"


def _how_to_restore(recorded: RunFolder, origin: Provenance) -> list[str]:
    """Commands and files that restore the code that computed the run."""
    advice = []
    # The record may be a stranger's, and a person copies these lines to a shell.
    if re.fullmatch("[0-9a-f]{40,64}", origin.code.git_commit or ""):
        advice.append(f"git checkout {origin.code.git_commit}")
        if origin.code.dirty and recorded.patch.exists():
            advice.append(shlex.join(["git", "apply", str(recorded.patch)]))
        elif origin.code.dirty:
            advice.append("(the changes that were not committed are not recorded)")
    if recorded.imports.exists():
        advice.append(f"{_listed(recorded.read_imports())}: the texts in {recorded.imports}")
    return advice


def _changed_environment(origin: Provenance, now: Provenance) -> list[str]:
    before, after = origin.environment, now.environment
    return [
        f"environment: {key} was {before.get(key)}, is {after.get(key)}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _metrics(recorded: RunFolder, rows: list[dict[str, float]]) -> Iterator[str]:
    """Where the metrics differ, epoch by epoch."""
    try:
        before = recorded.read_metrics()
    except NervaError as error:
        yield str(error)
        return
    if before[0].keys() != rows[0].keys():
        yield f"{recorded.metrics.name} has the columns {', '.join(before[0])}, and the replay {', '.join(rows[0])}"
        return
    for a, b in zip(before, rows, strict=False):
        for metric in repeatable(b):
            if not _same(a[metric], b[metric]):
                yield f"epoch {int(b['epoch'])}, {metric}: recorded {a[metric]!r}, replayed {b[metric]!r}"
    if len(before) != len(rows):
        yield f"{len(before) - 1} epochs were recorded, and the replay gives {len(rows) - 1}"


def _logged(logged: Mapping[str, History], rows: list[dict[str, float]], config: Config, source: str) -> Iterator[str]:
    """Where metrics in MLflow differ."""
    train = config.train
    evaluated = [
        row for row in rows if evaluates_training_set(int(row["epoch"]), train.evaluate_training, train.epochs)
    ]
    for metric, values in logged.items():
        measured = evaluated if metric.startswith("train_") else rows
        if len(values) != len(measured):
            yield f"{metric}: MLflow has {len(values)} values, and {source} {len(measured)}"
        for (epoch, value), row in zip(values, measured, strict=False):
            if epoch != row["epoch"] or not _same(value, row.get(metric, math.nan)):
                yield f"epoch {epoch}, {metric}: MLflow has {value!r}, and {source} {row.get(metric)!r}"


def _arrays(path: Path, now: dict[str, Matrix]) -> Iterator[str]:
    """Where weights differ, bit for bit."""
    try:
        recorded = load_dict_from_npz(path)
    except NervaError as error:
        yield str(error)
        return
    name = path.name
    for key in sorted({*recorded, *now}):
        a, b = recorded.get(key), now.get(key)
        if a is None or b is None:
            yield f"{name}: {key} was not recorded" if a is None else f"{name}: {key} is not in the replay"
        elif (a.shape, a.dtype) != (b.shape, b.dtype):
            yield f"{name}: {key} was {a.dtype} {a.shape}, and is {b.dtype} {b.shape}"
        elif a.tobytes() != b.tobytes():
            size = a.dtype.itemsize
            differing = np.frombuffer(a.tobytes(), f"V{size}") != np.frombuffer(b.tobytes(), f"V{size}")
            place = tuple(int(i) for i in np.unravel_index(int(np.argmax(differing)), a.shape))
            yield (
                f"{name}: {key}{list(place)}: recorded {a[place].item()!r}, replayed "
                f"{b[place].item()!r} ({int(differing.sum()):,} of {a.size:,} differ)"
            )


def _outcome(recorded: RunRecord, now: RunRecord) -> list[str]:
    """The first difference between the results."""
    compared = ("status", "reason", "best", "last", "weights")
    a, b = (_flat_record(record, compared) for record in (recorded, now))
    return [
        f"run.json: {key}: recorded {a.get(key)!r}, replayed {b.get(key)!r}"
        for key in sorted({*a, *b})
        if repr(a.get(key)) != repr(b.get(key))  # nan is not equal to itself, but its repr is
    ][:1]


def _flat_record(record: RunRecord, names: tuple[str, ...]) -> dict[str, Any]:
    return flat({name: value for name, value in dataclasses.asdict(record).items() if name in names})


def _files(recorded: RunFolder, result: RunRecord) -> list[str]:
    """Which files have changed since they were written."""
    found = {path.name: file_checksum(path) for path in recorded.evidence if path.exists()}
    return [
        f"{name} has changed since it was written: its sha256 was {result.files.get(name)}, and is {found.get(name)}"
        for name in sorted({*result.files, *found})
        if result.files.get(name) != found.get(name)
    ]


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))
