"""Recorded runs as tables, and their networks: what `runs` and `launch` return.

Reading needs neither Hydra nor MLflow.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, overload

import pandas as pd

from nerva.errors import NervaError
from nerva.experiment.config.metrics import PARTS, SCORES, metric_of
from nerva.experiment.config.schema import Config, specification
from nerva.experiment.identity import user_modules
from nerva.experiment.identity.canonical import flat
from nerva.experiment.records.files import file_checksum
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import EpochMetrics, RunRecord
from nerva.experiment.report.factors import swept_values
from nerva.experiment.report.loading import LoadedRun
from nerva.experiment.report.predictions import load_network
from nerva.experiment.report.text import cut, plural
from nerva.multilayer_perceptron import MultilayerPerceptron

# The groups of the configuration that a row does not repeat: `data` is its name, and the others are no parameters.
_NOT_PARAMETERS = (
    *("data", "tracking", "sweep", "experiment_name", "question", "results_dir", "force"),
    *("objective", "direction"),
)
_COMPONENTS = ("optimizer", "learning_rate", "loss")
# The columns of which less is better.
_LESS_IS_BETTER = ("loss", "seconds", "seconds_per_epoch", "memory_mb")


class Run:
    """A recorded run that has ended."""

    def __init__(self, loaded: LoadedRun, trusted: frozenset[str] = frozenset()) -> None:
        """
        Args:
            loaded: the records of the run.
            trusted: the user-defined modules that the caller's own configuration names.
        """
        self._loaded = loaded
        self._trusted = trusted

    def __repr__(self) -> str:
        best, reason = self.record.best, cut(self.record.reason or "", 200)
        metric = metric_of(self.config)
        outcome = f"{metric.label} {metric.text(getattr(best, metric.name))}" if best else f"failed: {reason}"
        return f"<Run {self.id}: {outcome}>"

    @property
    def id(self) -> str:
        """The id of the run."""
        return self.folder.run_id

    @property
    def folder(self) -> RunFolder:
        """The folder of the run; `folder.path` is its path, and `folder.log` that of its log file."""
        return self._loaded.folder

    @property
    def record(self) -> RunRecord:
        """The result: `status`, `best` and `last` metrics, times."""
        return self._loaded.record

    @property
    def config(self) -> Config:
        """The recorded configuration, without what only says where the run is put."""
        return self._loaded.config

    @property
    def provenance(self) -> Provenance:
        """What determined the run: overrides, code, data and environment."""
        return self._loaded.provenance

    def metrics(self) -> pd.DataFrame:
        """The metrics: one row per epoch, with the columns of `metrics.csv`. Epoch 0 is the network before training."""
        return pd.DataFrame(self._loaded.metrics).astype({"epoch": int})

    def load(self, trust: bool = False) -> MultilayerPerceptron:
        """The network with the weights of the best epoch: `run.load().evaluate(X)` are its outputs for the rows of X.

        Args:
            trust: whether the user-defined modules that the run names may be executed. It is not necessary for a run
                that `launch` has returned, as long as its modules have not changed.

        Raises:
            NervaError: if the file is damaged, or the network needs user-defined modules that are not trusted.
        """
        names = self.config.imports
        if names and not trust:
            self._require_own_modules(names)
        if file_checksum(self.folder.best) != self.record.files.get(self.folder.best.name):
            raise NervaError(f"{self.folder.best} was changed after the run had ended; {self.folder.repair_hint}")
        if names:
            user_modules.restore(names, self.folder.read_imports())
        return load_network(self.folder, self.config)

    def _require_own_modules(self, names: Sequence[str]) -> None:
        """Raise a NervaError unless the caller's configuration named these modules, and they are still the same."""
        listed = ", ".join(name if name.isprintable() else ascii(name) for name in names)
        text = f"their text is in {self.folder.imports}; read it, and use load(trust=True)"
        if not self._trusted.issuperset(names):
            raise NervaError(f"the network of the run {self.id} needs user-defined modules: {listed}; {text}")
        if user_modules.texts(names) != self.folder.read_imports():
            raise NervaError(f"user-defined modules have changed since the run {self.id} was trained: {listed}; {text}")

    @functools.cached_property
    def _row(self) -> dict[str, Any]:
        """The row of the run in `Runs.to_frame`."""
        record = self.record
        columns = [f"{part}_{name}" for part in PARTS for name in ("loss", SCORES[self.config.data.task])]
        return {
            "run_id": self.id,
            "configuration_id": self.provenance.configuration_id,
            "status": record.status,
            **self._parameters(),
            **_metrics_of(record.best, "", columns),
            **_metrics_of(record.last, "last_", columns),
            "training_seconds": record.training_seconds,
            "seconds_per_epoch": math.nan if record.seconds_per_epoch is None else record.seconds_per_epoch,
            "peak_memory_mb": record.peak_memory_mb,
            "started": record.started,
            "ended": record.ended,
            "reason": cut(record.reason or "", 1000),
            "folder": str(self.folder.path),
        }

    def _parameters(self) -> dict[str, Any]:
        """The configuration by its keys, as in overrides. Lists are texts, because pandas can't group by lists."""
        config = self.config
        content = {key: getattr(config, key) for key in vars(config) if key not in _NOT_PARAMETERS}
        content = {key: dataclasses.asdict(x) if dataclasses.is_dataclass(x) else x for key, x in content.items()}  # type: ignore[arg-type]
        parameters = {"data": config.data.name}
        for key, value in flat(content).items():
            parameters[key] = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else value
        return parameters | {name: specification(getattr(config, name)) for name in _COMPONENTS}


class Runs(Sequence[Run]):
    """Recorded runs. They can be counted, iterated over, and indexed by a number, a slice or a run id."""

    def __init__(self, runs: Sequence[Run], name: str = "") -> None:
        """
        Args:
            runs: the runs.
            name: what they are, for messages.
        """
        self._runs = list(runs)
        self.name = name

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @overload
    def __getitem__(self, index: int | str) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> "Runs": ...
    def __getitem__(self, index: int | str | slice) -> "Run | Runs":
        if isinstance(index, slice):
            return Runs(self._runs[index], self.name)
        if isinstance(index, str):
            for run in self._runs:
                if run.id == index:
                    return run
            raise NervaError(f"there is no run {index} among {self._described()}")
        return self._runs[index]

    def __repr__(self) -> str:
        failed = sum(run.record.failed for run in self._runs)
        return f"<{self._described()}{f', {failed} failed' if failed else ''}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return str(self.to_frame().to_html(max_rows=20, notebook=True))

    def _described(self) -> str:
        return plural(len(self._runs), "run") + (f" of {self.name}" if self.name else "")

    @functools.cached_property
    def swept(self) -> list[str]:
        """The columns whose values differ between the runs, such as `optimizer`, `learning_rate.lr` and `seed`."""
        rows = [run._row for run in self._runs]
        data = ["data"] if len({row["data"] for row in rows}) > 1 else []
        known = dict.fromkeys(key for row in rows for key in row)
        return [*data, *(key for key in swept_values([run.config for run in self._runs]) if key in known)]

    def to_frame(self) -> pd.DataFrame:
        """One row per run.

        Returns:
            A table with the columns `run_id`, `configuration_id` (of the runs that differ only in the seed), `status`;
            the keys whose values differ, then all other keys of the configuration, named as in overrides;
            `best_epoch` and the metrics of that epoch, such as `validation_accuracy`; the same of the last epoch, with
            `last_` before their names; `training_seconds`, `seconds_per_epoch`, `peak_memory_mb`, `started`, `ended`;
            the `reason` of a failure; and the path of the `folder`. The best metrics of a failed run are missing.
        """
        table = pd.DataFrame([run._row for run in self._runs], columns=None if self._runs else ["run_id", "status"])
        if not self._runs:
            return table
        # Runs have different parameters if a component was swept. Their columns belong together.
        parameters = sorted(dict.fromkeys(key for run in self._runs for key in run._parameters()), key=_group)
        first = ["run_id", "configuration_id", "status", *self.swept]
        first += [key for key in parameters if key not in first]
        table = table[[*first, *(column for column in table.columns if column not in first)]]
        return table.astype({"best_epoch": "Int64"})

    def metrics(self) -> pd.DataFrame:
        """All metrics in tidy form: one row per run and epoch, and one column per metric.

        This is what the plots of pandas and seaborn take: `x="epoch", y="validation_accuracy", hue="optimizer"`.
        `pandas.melt` turns it into one row per metric.

        Returns:
            A table with the columns `run_id`, the keys whose values differ, and those of `metrics.csv`: `epoch` (0 is
            the network before training), `learning_rate`, the metrics, `seconds`, and `time` in seconds after 1970. If
            schedules of the learning rate were swept, the schedule is in the column `schedule`.
        """
        if not self._runs:
            return pd.DataFrame(columns=["run_id", "epoch"])
        names = {key: "schedule" if key == "learning_rate" else key for key in self.swept}
        rows = [
            {"run_id": run.id, **{names[key]: run._row.get(key) for key in self.swept}, **metrics}
            for run in self._runs
            for metrics in run._loaded.metrics
        ]
        return pd.DataFrame(rows).astype({"epoch": int})

    def filter(self, condition: Callable[[Run], object] | None = None, /, **conditions: Any) -> "Runs":
        """The runs that satisfy all conditions.

        Args:
            condition: a function of a run.
            conditions: for a column of `to_frame`, its value, a collection of values, or a function of a value:
                `filter(seed=1, validation_accuracy=lambda a: a > 0.9)`. The last part of a key is enough if it is
                unambiguous: `lr=0.1` means `learning_rate.lr`. Other keys need `**{"learning_rate.lr": 0.1}`.

        Returns:
            The runs, which may be none.

        Raises:
            NervaError: if there is no such column, or several.
        """
        if condition is not None and not callable(condition):
            raise NervaError(f"a condition should be a function of a run, or column=value, not {condition!r:.100}")
        chosen = self._runs if condition is None else [run for run in self._runs if condition(run)]
        for name, wanted in conditions.items():
            column = self._column(name)
            chosen = [run for run in chosen if _satisfies(run._row.get(column), wanted)]
        return Runs(chosen, self.name)

    def best(self, by: str = "") -> Run:
        """The run that is best by a metric; the first of equals. Failed runs do not count.

        Args:
            by: a column of `to_frame` with numbers. Default: the metric by which the first run is compared with others,
                such as `validation_accuracy`. Of losses, seconds and memory less is better, and of all others
                more. A choice by a test metric makes that metric too good: choose by a validation metric.

        Raises:
            NervaError: if no run has finished, or there is no such column of numbers.
        """
        finished = [run for run in self._runs if not run.record.failed]
        if not finished:
            raise NervaError(f"there is no best run, because none of {self._described()} has finished")
        column = self._column(by or metric_of(finished[0].config).name)
        less = column.endswith(_LESS_IS_BETTER)
        measured = []
        for run in finished:
            value = run._row.get(column, math.nan)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise NervaError(f"{column} is not a column of numbers, so that no run is the best by it")
            if not math.isnan(value):
                measured.append((run, -value if less else value))
        if not measured:
            raise NervaError(f"there is no best run, because none of {self._described()} has a value of {column}")
        return max(measured, key=lambda pair: pair[1])[0]

    def _column(self, name: str) -> str:
        """The column that is `name`, or has `name` as its last part.

        Raises:
            NervaError: if there is no such column, or several.
        """
        columns = [*dict.fromkeys(key for run in self._runs for key in run._row)]
        if not columns:
            raise NervaError(f'there are no runs, and so no column "{name}"')
        found = [c for c in columns if c == name] or [c for c in columns if c.rpartition(".")[2] == name]
        if len(found) > 1:
            raise NervaError(f'"{name}" can mean {" or ".join(found)}')
        if not found:
            raise NervaError(f'there is no column "{name}"; the columns are: {", ".join(columns)}')
        return found[0]


def _metrics_of(metrics: EpochMetrics | None, prefix: str, columns: Sequence[str]) -> dict[str, Any]:
    epoch = {f"{prefix or 'best_'}epoch": metrics.epoch if metrics else None}
    return epoch | {
        f"{prefix}{name}": math.nan if value is None else value
        for name in columns
        for value in [getattr(metrics, name, None)]
    }


def _group(key: str) -> int:
    """The place of a parameter's group in a row."""
    order = ("data", "model", *_COMPONENTS, "train", "seed")
    name = key.partition(".")[0]
    return order.index(name) if name in order else len(order)


def _satisfies(value: Any, wanted: Any) -> bool:
    if callable(wanted):
        return bool(wanted(value))
    if isinstance(wanted, Collection) and not isinstance(wanted, str):
        return value in wanted
    return bool(value == wanted)
