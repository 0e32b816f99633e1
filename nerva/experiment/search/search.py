"""A search: its identity, its rounds of trials, and its record."""

import dataclasses
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from nerva.data.locks import locked
from nerva.errors import NervaError
from nerva.experiment.config.composition import Composer
from nerva.experiment.config.hydra_errors import translated
from nerva.experiment.config.metrics import metric_of
from nerva.experiment.config.objective import objective_of
from nerva.experiment.config.overrides import check_overrides
from nerva.experiment.config.schema import Config, Sweep
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import identify
from nerva.experiment.records.privacy import private
from nerva.experiment.records.search_record import (
    SearchRecord,
    Trial,
    Value,
    read_search,
    search_path,
    write_search,
)
from nerva.experiment.records.sweep_record import record_sweep
from nerva.experiment.search.space import read_space
from nerva.experiment.search.study import importance, propose
from nerva.experiment.search.trials import TrialRun, train_together
from nerva.experiment.sweep.launcher import Launcher
from nerva.experiment.sweep.plan import Point

_TRIALS = 20  # unless the user says how many, or the grid has a size
_SECONDS_BETWEEN_LOGS = 10.0


@dataclass(frozen=True)
class Request:
    """What the user asks for."""

    overrides: Sequence[str]
    trials: int | None = None  # of the whole search; None: 20, or all points of a grid
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 1  # of the sampler
    jobs: int = 1  # trials at the same time


class Search:
    """A search that can be started or continued. Hydra has to be initialized."""

    def __init__(self, request: Request) -> None:
        """Read the space, and compute the id of the search. Nothing is written.

        Raises:
            NervaError: if the space is not valid, or one of its values is not.
        """
        check_overrides(request.overrides)
        self._composer = Composer(settle=True)
        self._jobs = request.jobs
        self.space = read_space(request.overrides)
        size = self.space.grid_size if request.sampler == "grid" else None
        asked = request.trials or size or _TRIALS
        self.trials = min(asked, size or asked)
        # Every value is checked before the first trial is trained.
        try:
            examples = [self._point(values) for values in self.space.examples()]
        except NervaError as error:
            hint = "; an interval of whole numbers is int(interval(…))" if "to Integer" in str(error) else ""
            raise NervaError(f"{error}{hint}") from None
        self.config = _shared_config(examples)
        objective, metric = objective_of(self.config), metric_of(self.config)
        definition = {
            "space": {
                dimension.key: [dimension.values, dimension.interval, dimension.log]
                for dimension in self.space.dimensions
            },
            # They determine the configuration, the data and the code.
            "runs": [point.run_id for point in examples],
            "objective": [objective.name, objective.maximize],
            "sampler": [request.sampler, request.seed],
            "pruner": request.pruner,
        }
        swept = [dimension.text for dimension in self.space.dimensions]
        sweep = Sweep(
            digest([self.config.title, definition])[:8],
            private(" ".join(["search of", self.config.experiment_name, *swept]))[:250],
        )
        self._path = search_path(self.config.results_dir, self.config.title, sweep.id)
        self._new = SearchRecord(
            self.config.title,
            sweep,
            [private(text) for text in swept],
            objective.name,
            objective.maximize,
            metric.name,
            metric.maximize,
            request.sampler,
            request.pruner,
            request.seed,
            _command(request, self.trials),
        )

    @property
    def results(self) -> Path:
        """The folder for the comparison of the runs."""
        return Path(self.config.results_dir) / f"{self.config.title}-{self._new.sweep.id}"

    @contextmanager
    def opened(self) -> Iterator[SearchRecord]:
        """The record of the search so far. No other process changes it meanwhile.

        Raises:
            NervaError: if another process is working on the search, or its file is damaged.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self._path.with_name(f".{self._path.stem}.lock"), timeout=0):
                known = read_search(self._path)
                yield dataclasses.replace(self._new, trials=known.trials if known else [])
        except Timeout:
            raise NervaError(
                f"another process is working on this search, {self._path}; wait until it ends, or interrupt it"
            ) from None

    def run(self, record: SearchRecord, report: Callable[[Trial], object]) -> SearchRecord:
        """Train the trials that are missing, and write the record whenever trials begin or end.

        Args:
            record: the record so far. Trials are added to it.
            report: is called with each trial that has ended.

        Returns:
            The record with the importance of the keys.

        Raises:
            NervaError: if a trial could not be trained, after the others of its round were. The same command tries it
                again.
            OSError: if the disk is full.
            Interrupted: if a signal ends the process. The same command continues.
        """
        launcher = Launcher()
        logged = time.monotonic()
        shown = {trial.number for trial in record.trials if trial.has_ended}

        def show() -> None:
            for trial in record.trials:
                if trial.has_ended and trial.number not in shown:
                    shown.add(trial.number)
                    report(trial)

        try:
            while runs := self._next_round(record):
                errors = self._train(runs, record, launcher)
                show()
                if errors:
                    raise errors[0]
                if time.monotonic() - logged > _SECONDS_BETWEEN_LOGS:
                    launcher.log()
                    logged = time.monotonic()
            show()  # trials whose values give no valid configuration were not trained
            shares, unknown = importance(record, self.space)
            record = dataclasses.replace(record, importance=shares, unknown_importance=unknown)
            write_search(record, self._path)
        finally:
            launcher.log()
        launcher.finish()
        return record

    def _train(self, runs: Sequence[TrialRun], record: SearchRecord, launcher: Launcher) -> list[BaseException]:
        """Train the trials of a round, and record those that have ended; returns the errors of the others."""
        errors: dict[int, BaseException] = {}
        if self._jobs == 1:
            runs[0].train(launcher)
        else:
            errors = train_together(runs, launcher)
        for run in runs:
            if run.trial.number not in errors:
                record.trials[run.trial.number] = run.result()
        write_search(record, self._path)
        return [*errors.values()]

    def _next_round(self, record: SearchRecord) -> list[TrialRun]:
        """The trials to train next. Interrupted trials come first, and new ones are added only to fill their round.

        The rounds are therefore those of a search that was not interrupted.
        """
        while True:
            known = len(record.trials)
            first = next((trial.number for trial in record.trials if not trial.has_ended), known)
            end = min((first // self._jobs + 1) * self._jobs, self.trials)
            for _ in range(known, end):
                record.trials.append(self._new_trial(record))
            running = [trial for trial in record.trials[first:end] if not trial.has_ended]
            if len(record.trials) > known:
                write_search(record, self._path)
                self._record_sweep(record)
            # All new trials may have failed already, because their values give no valid configuration.
            if running or end >= self.trials:
                return [self._trial_run(trial, record) for trial in running]

    def _new_trial(self, record: SearchRecord) -> Trial:
        values, number = propose(record, self.space), len(record.trials)
        try:
            return Trial(number, values, self._point(values).run_id)
        except NervaError as error:
            return Trial(number, values, state="failed", reason=str(error))

    def _trial_run(self, trial: Trial, record: SearchRecord) -> TrialRun:
        point = self._point(trial.values)
        if not point.config.sweep.id:
            point.config.sweep = record.sweep
        return TrialRun(trial, point, record, self.space)

    def _point(self, values: Mapping[str, Value]) -> Point:
        overrides = self.space.overrides(values)
        with translated():
            config, settled = self._composer.configuration(overrides)
        return Point(config, identify(config), tuple(settled), tuple(overrides))

    def _record_sweep(self, record: SearchRecord) -> None:
        run_ids = [trial.run_id for trial in record.trials if trial.run_id]
        record_sweep(self.config.results_dir, record.title, record.sweep, self.config.question, run_ids)


def _shared_config(points: Sequence[Point]) -> Config:
    """The configuration of the first point.

    Raises:
        NervaError: if other points differ in what all trials have to share.
    """
    for what, value in (
        ("dataset and experiment", lambda config: config.title),
        ("results folder", lambda config: config.results_dir),
        ("MLflow store", lambda config: (config.tracking.uri, config.tracking.enabled)),
        ("objective", lambda config: (objective_of(config), metric_of(config))),
    ):
        if len({value(point.config) for point in points}) > 1:
            raise NervaError(f"all trials of a search should have the same {what}, so that they can be compared")
    return points[0].config


def _command(request: Request, trials: int) -> str:
    """The command that continues the search."""
    options = [f"--trials={trials}", f"--sampler={request.sampler}", f"--pruner={request.pruner}"]
    options += [f"--sampler-seed={request.seed}"] if request.seed != 1 else []
    options += [f"--jobs={request.jobs}"] if request.jobs != 1 else []
    return private(shlex.join(["nerva", "search", *request.overrides, *options]))
