"""The space of a search: overrides that are sweeps, in Hydra's grammar.

`a,b`, `choice(a,b)` and `glob(*)` are categories. `range(1,10)` is a range of numbers. `interval(0.1,1)` is an interval
of real numbers, and `int(interval(1,10))` one of whole numbers. `tag(log, …)` searches a range or an interval on a
logarithmic scale.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import hydra
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from nerva.errors import NervaError
from nerva.experiment.records.search_record import Value
from nerva.experiment.sweep.expansion import as_overrides, differences_from_grid, parse

_MOST_VALUES = 10_000  # of one key
_DIGITS = 4  # that a real number keeps, relative to the width of its interval: people can read and type it


@dataclass(frozen=True)
class Dimension:
    """A key of the space, with its values: either listed, or all numbers of an interval."""

    key: str  # as an override has it: with a plus sign, if there is one
    text: str  # the override
    values: tuple[Value, ...] = ()  # texts as overrides have them, or the numbers of a range in ascending order
    interval: tuple[float, float] | None = None  # both ends belong to it; two ints if the numbers are whole
    log: bool = False

    @property
    def is_categorical(self) -> bool:
        """Whether the values have no order."""
        return bool(self.values) and isinstance(self.values[0], str)

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that stand for all: each category, or the smallest and the largest number."""
        if self.interval:
            return self.interval
        return self.values if self.is_categorical else (self.values[0], self.values[-1])

    def nearest(self, value: Value) -> Value:
        """A proposed value as it is trained: one of the listed ones, or a number with few digits."""
        if isinstance(value, str):
            return value
        if not self.interval:
            return min(self.values, key=lambda known: abs(float(known) - value))
        if isinstance(value, int):
            return value
        low, high = self.interval
        if self.log:
            rounded = float(f"{value:.{_DIGITS}g}")
        else:
            rounded = round(value, _DIGITS - math.floor(math.log10(high - low)))
        return min(max(rounded, low), high)


@dataclass(frozen=True)
class Space:
    """The space of a search, and what all of its points share."""

    dimensions: list[Dimension]
    fixed: list[str]  # overrides
    seed_left_out: str  # the sweep over seeds that the experiment has; "" if it has none

    def examples(self) -> Iterator[dict[str, Value]]:
        """Points that together have every category, and the ends of every range. One key changes at a time."""
        first = {dimension.key: dimension.examples[0] for dimension in self.dimensions}
        yield first
        for dimension in self.dimensions:
            for value in dimension.examples[1:]:
                yield first | {dimension.key: value}

    @property
    def grid_size(self) -> int:
        """The number of points.

        Raises:
            NervaError: if there are infinitely many.
        """
        for dimension in self.dimensions:
            if dimension.interval:
                raise NervaError(
                    f"{dimension.text} is an interval, and a grid needs listed values: use choice(…) or range(…), or "
                    "another sampler"
                )
        return math.prod(len(dimension.values) for dimension in self.dimensions)

    def grid_point(self, number: int) -> dict[str, Value]:
        """A point of the grid. They are in the order of Hydra's multirun: the last key changes fastest."""
        values: dict[str, Value] = {}
        for dimension in reversed(self.dimensions):
            number, index = divmod(number, len(dimension.values))
            values[dimension.key] = dimension.values[index]
        return {dimension.key: values[dimension.key] for dimension in self.dimensions}

    def overrides(self, values: Mapping[str, Value]) -> list[str]:
        """The overrides of a point."""
        return [*self.fixed, *(f"{key}={value}" for key, value in values.items())]


def read_space(overrides: Sequence[str]) -> Space:
    """The space that overrides describe, together with the sweep of the experiment that they may add.

    A sweep over seeds that the experiment has is left out: all trials have one seed.

    Raises:
        NervaError: if nothing is swept, a seed is, a sweep has no values or too many, or the configuration has seeds,
            sweep.zip, sweep.where or sweep.grids.
    """
    asked = parse(overrides)
    single = [str(override.input_line) for override in asked if not override.is_sweep_override()]
    composed = hydra.compose("config", single, return_hydra_config=True)
    if differences := differences_from_grid(composed):
        raise NervaError(
            f"{'; '.join(differences)}: seeds, sweep.zip, sweep.where and sweep.grids say which points a sweep has, "
            "but a search proposes its points; leave them out"
        )
    of_experiment = parse(as_overrides(composed.hydra.sweeper.params or {}))
    seed_left_out = ""
    for override in asked:
        if _key(override) == "seed" and override.is_sweep_override():
            raise NervaError(
                f"{override.input_line}: a search over seeds would find the luckiest one; give one seed, and train the "
                "best values with several seeds afterwards"
            )
    for override in of_experiment:
        if _key(override) == "seed" and override.is_sweep_override():
            of_experiment = [other for other in of_experiment if other is not override]
            if not any(_key(other) == "seed" for other in asked):
                of_experiment += parse([f"seed={composed.seed}"])
                seed_left_out = str(override.input_line)
    # The last override of a key counts.
    last = {_key(override): override for override in (*of_experiment, *asked)}
    dimensions = [_dimension(override) for override in last.values() if override.is_sweep_override()]
    fixed = [str(override.input_line) for override in last.values() if not override.is_sweep_override()]
    fixed.sort(key=lambda line: line not in overrides)  # those of the experiment at the end, for people
    if not dimensions:
        raise NervaError(
            "there is nothing to search: give a key several values, such as optimizer=momentum,nesterov, or an "
            "interval, such as learning_rate.lr=interval(0.001,1)"
        )
    return Space(dimensions, fixed, seed_left_out)


def _key(override: Override) -> str:
    return str(override.get_key_element())


def _dimension(override: Override) -> Dimension:
    """The dimension of an override that is a sweep."""
    key, text, sweep = _key(override), str(override.input_line), override.value()
    log = "log" in getattr(sweep, "tags", ())
    if isinstance(sweep, IntervalSweep):
        return Dimension(key, text, interval=_interval(sweep, text, log), log=log)
    if isinstance(sweep, RangeSweep):
        if not sweep.step:
            raise NervaError(f"{text}: the step of a range should not be 0")
        numbers = sorted(itertools.islice(sweep.range(), _MOST_VALUES + 1))
        _check_count(numbers, text)
        if log and not (isinstance(numbers[0], int) and numbers[0] > 0 and sweep.step in (1, -1)):
            raise NervaError(
                f"{text}: tag(log, …) needs an interval, or a range of whole numbers above 0 in steps of 1"
            )
        return Dimension(key, text, tuple(numbers), log=log)
    if log:
        raise NervaError(f"{text}: tag(log, …) needs an interval or a range; categories have no order")
    categories = list(dict.fromkeys(override.sweep_string_iterator()))
    _check_count(categories, text)
    return Dimension(key, text, tuple(categories))


def _interval(sweep: IntervalSweep, text: str, log: bool) -> tuple[float, float]:
    low, high = sweep.start, sweep.end
    if low is None or high is None or not -math.inf < low < high < math.inf:
        raise NervaError(f"{text}: the interval should begin below its end, and both should be finite")
    if log and low <= 0:
        raise NervaError(f"{text}: an interval on a logarithmic scale should begin above 0")
    return low, high


def _check_count(values: Sequence[object], text: str) -> None:
    if not values:
        raise NervaError(f"{text} has no values")
    if len(values) > _MOST_VALUES:
        raise NervaError(f"{text} has more values than the limit of {_MOST_VALUES:,}; use an interval")
