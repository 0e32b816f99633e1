"""Optuna's study of a search. It is built from the recorded trials whenever it is needed, and never stored.

A proposal is therefore a function of the record: a search that was killed proposes what an uninterrupted one does. The
same holds for pruning. It sees only trials that have ended and are recorded: which of the trials that run at the same
time is faster does not matter.
"""

import functools
import threading
import warnings
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState, create_trial

from nerva.experiment.records.search_record import SearchRecord, Trial, Value
from nerva.experiment.search.space import Dimension, Space

_STATES = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_RUNG = "completed_rung_"  # the beginning of the attributes by which Optuna notes the rungs of successive halving
_FEWEST_TRIALS = 10  # with fewer, an estimate of the importance is mostly noise

_LOCK = threading.RLock()  # the filters of warnings are global

P = ParamSpec("P")
R = TypeVar("R")


def _quiet(function: Callable[P, R]) -> Callable[P, R]:
    """Silence Optuna's log and its warnings, which are for programmers, during the calls of a function."""

    @functools.wraps(function)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> R:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return quiet


@_quiet
def propose(record: SearchRecord, space: Space) -> dict[str, Value]:
    """The values of the next trial."""
    number = len(record.trials)
    if record.sampler == "grid":
        return space.grid_point(number)
    seed = int(np.random.SeedSequence([record.seed, number]).generate_state(1)[0])
    sampler: BaseSampler = TPESampler(seed=seed) if record.sampler == "tpe" else RandomSampler(seed=seed)
    study = _study(record, space, record.trials, sampler)
    proposed = study.ask(_distributions(space)).params
    return {dimension.key: dimension.nearest(proposed[dimension.key]) for dimension in space.dimensions}


class Judge:
    """Decides after each epoch of a trial whether it is pruned."""

    @_quiet
    def __init__(self, record: SearchRecord, space: Space, trial: Trial) -> None:
        """
        Args:
            record: the search.
            space: its space.
            trial: the trial, which is running.
        """
        self._sign = _sign(record)
        ended = [other for other in record.trials if other.has_ended]
        self._study = _study(record, space, ended, RandomSampler(seed=0), _pruner(record.pruner))
        self._study.enqueue_trial(trial.values)
        self._trial = self._study.ask(_distributions(space))

    @_quiet
    def prunes(self, epoch: int, value: float) -> bool:
        """Whether a trial is pruned after an epoch.

        Args:
            epoch: the epoch, from 1.
            value: its metric.
        """
        self._trial.report(self._sign * value, epoch)
        return self._trial.should_prune()

    @property
    def rungs(self) -> dict[str, float]:
        """What successive halving has noted about the trial."""
        attributes = self._study.trials[-1].system_attrs
        return {name: value for name, value in attributes.items() if name.startswith(_RUNG)}


@_quiet
def importance(record: SearchRecord, space: Space) -> tuple[dict[str, float], str]:
    """The importance of each key of the space, as shares of 1, or the reason why it is not known."""
    complete = [trial for trial in record.trials if trial.state == "complete"]
    if len(space.dimensions) < 2:
        return {}, f"Only {space.dimensions[0].key} was searched, so there is nothing to compare it with."
    if len(complete) < _FEWEST_TRIALS:
        count = "only one complete trial" if len(complete) == 1 else f"{len(complete)} complete trials"
        return {}, f"There {'is' if len(complete) == 1 else 'are'} {count}, and an estimate needs {_FEWEST_TRIALS}."
    if len({trial.value for trial in complete}) == 1:
        return {}, "All complete trials have the same value, so there is no variance to explain."
    study = _study(record, space, complete, RandomSampler(seed=0))
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=record.seed))
    return {key: float(share) for key, share in shares.items()}, ""


def _study(
    record: SearchRecord,
    space: Space,
    trials: Iterable[Trial],
    sampler: BaseSampler,
    pruner: BasePruner | None = None,
) -> optuna.Study:
    """A study in memory that knows these trials."""
    direction = optuna.study.StudyDirection.MAXIMIZE if record.maximize else optuna.study.StudyDirection.MINIMIZE
    study = optuna.create_study(direction=direction, sampler=sampler, pruner=pruner or NopPruner())
    distributions, sign = _distributions(space), _sign(record)
    for trial in trials:
        study.add_trial(
            create_trial(
                state=_STATES[trial.state],
                value=trial.value,
                params=trial.values,
                distributions=distributions,
                system_attrs=dict(trial.rungs),
                intermediate_values={epoch: sign * value for epoch, value in enumerate(trial.metrics, 1)},
            )
        )
    return study


def _sign(record: SearchRecord) -> int:
    """The sign of the metric of an epoch: Optuna has one direction for it and for the objective."""
    return 1 if record.metric_maximize == record.maximize else -1


def _pruner(name: str) -> BasePruner:
    pruners: dict[str, Callable[[], BasePruner]] = {
        "median": MedianPruner,
        "halving": SuccessiveHalvingPruner,
        "none": NopPruner,
    }
    return pruners[name]()


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    return {dimension.key: _distribution(dimension) for dimension in space.dimensions}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.is_categorical:
        return CategoricalDistribution(dimension.values)
    low, high = (float(value) for value in dimension.examples)
    step = None
    if not dimension.interval:
        step = float(dimension.values[1]) - float(dimension.values[0]) if len(dimension.values) > 1 else 1.0
    if all(isinstance(value, int) for value in dimension.examples):
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(low, high, log=dimension.log, step=step)
