"""Expansion of a sweep into points, each of which is a list of overrides.

A sweep is a grid: it has a point for each combination of the values, in the order of Hydra's basic sweeper. The
configuration may ask for more:

- `sweep.grids`: several grids, whose points follow each other. Each is combined with `hydra.sweeper.params` and with
  the overrides of the command.
- `seeds`: several seeds of each point.
- `sweep.zip`: keys whose values go together, the first with the first, instead of each with each.
- `sweep.where`: an expression that the configurations of the points satisfy.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config, SweepRequest
from nerva.experiment.report.text import plural

_MOST_POINTS = 100_000

# These say which points there are. They are no part of a point.
_REQUEST_KEYS = ("seeds", "sweep.zip", "sweep.where", "sweep.grids")


def parse(overrides: Sequence[str]) -> list[Override]:
    """Overrides, as Hydra's parser reads them. Hydra has to be initialized."""
    return OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(list(overrides))


def differences_from_grid(master: DictConfig) -> tuple[str, ...]:
    """How a sweep differs from a grid, in words; nothing if it does not.

    Args:
        master: the configuration that the sweep starts from.
    """
    request, seeds = _request(master), master.seeds
    found = [f"{' and '.join(keys)} go together" for keys in request.zip]
    found += [plural(len(request.grids), "grid")] if request.grids else []
    found += [plural(seeds, "seed")] if seeds else []
    found += [f"where {request.where}"] if request.where else []
    return tuple(found)


def expand(master: DictConfig, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each point of a sweep, before `sweep.where` leaves out points.

    Args:
        master: the configuration that the sweep starts from, with Hydra's own part.
        overrides: the overrides that were asked for.

    Raises:
        NervaError: if there are no points, or too many; or if values that go together differ in number.
    """
    request = _request(master)
    params = as_overrides(master.hydra.sweeper.params or {})
    points: list[list[str]] = []
    for grid in request.grids or [{}]:
        swept = parse([*params, *as_overrides(grid)])
        asked = parse(overrides)
        for override in (*swept, *(override for override in asked if override.is_sweep_override())):
            if override.key_or_group in _REQUEST_KEYS:
                raise NervaError(
                    f"{override.input_line}: {override.key_or_group} is for a whole sweep, and has one value"
                )
        axes = _axes(_effective([*swept, *asked], master), request, _MOST_POINTS - len(points))
        points += [[line for lines in combination for line in lines] for combination in itertools.product(*axes)]
    if not points:
        raise NervaError(f"the sweep has no points: {' '.join(overrides)}")
    return points


def condition(master: DictConfig) -> Callable[[Config], bool]:
    """A function that tells whether a configuration satisfies `sweep.where`.

    Raises:
        NervaError: if `sweep.where` is not an expression. The function raises it for a key that does not exist, and for
            values that can't be compared.
    """
    where = _request(master).where
    if not where:
        return lambda config: True
    # Imported here, because few sweeps have a filter.
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
    from jinja2.sandbox import SandboxedEnvironment

    class UnknownKey(StrictUndefined):
        """A key that the configuration does not have. Using it is an error."""

        @property
        def _undefined_message(self) -> str:
            return f'there is no key "{self._undefined_name}"'

    environment = SandboxedEnvironment(undefined=UnknownKey)
    environment.globals.clear()  # a name is a key of the configuration, and nothing else
    try:
        expression = environment.compile_expression(where, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise NervaError(f"sweep.where is not an expression: {error.message} in {where!r}") from None
    except RecursionError:
        raise NervaError("sweep.where is nested too deeply") from None

    def satisfied(config: Config) -> bool:
        try:
            return bool(expression(vars(config)))
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise NervaError(f"sweep.where can't be evaluated: {error} in {where!r}") from None

    return satisfied


def _request(master: DictConfig) -> SweepRequest:
    request = cast(SweepRequest, OmegaConf.to_object(master.sweep))
    for keys in request.zip:
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise NervaError(f"sweep.zip should be lists of keys, [[optimizer,learning_rate.lr]], not {request.zip}")
    for grid in request.grids:
        if not isinstance(grid, dict):
            raise NervaError(f"sweep.grids should be dictionaries, [{{optimizer:momentum}}], not {request.grids}")
    return request


def as_overrides(values: Any) -> list[str]:
    """Keys with their values as overrides, as Hydra reads `hydra.sweeper.params`."""
    return [f"{key}={value}" for key, value in values.items()]


def _effective(overrides: Sequence[Override], master: DictConfig) -> list[Override]:
    """The overrides that count, those of the seeds included: the last one of each key, in the place of the first."""
    last = {
        override.get_key_element(): override for override in overrides if override.key_or_group not in _REQUEST_KEYS
    }
    for override in last.values():
        if override.is_interval_sweep():
            raise NervaError(
                f"{override.input_line}: a sweep needs values, such as a,b,c or range(1,5); an interval needs another "
                "sweeper of Hydra, such as hydra/sweeper=optuna"
            )
    if not master.seeds:
        return [*last.values()]
    if master.seeds < 0:
        raise NervaError(f"seeds should be 0 or more, not {master.seeds}")
    first = master.seed
    for override in last.values():
        if override.key_or_group == "seed":
            if override.is_sweep_override():
                raise NervaError(
                    f"{override.input_line} and seeds={master.seeds} both set seeds; leave one out, or give one first "
                    "seed, such as seed=1"
                )
            first = override.value()
    if type(first) is not int:
        raise NervaError(f'seed should be a whole number, not "{first}"')
    others = [override for override in last.values() if override.key_or_group != "seed"]
    return [*others, *parse([f"seed=range({first},{first + master.seeds})"])]


def _axes(overrides: Sequence[Override], request: SweepRequest, most: int) -> list[list[tuple[str, ...]]]:
    """The axes of a grid. Each has a list of values, and a value is the overrides that set it.

    Raises:
        NervaError: if the grid has more than `most` points, or a group of `sweep.zip` does not fit.
    """
    sizes = {o.get_key_element(): _count(o) for o in overrides if o.is_sweep_override()}
    groups = _groups(request, {o.key_or_group: o.get_key_element() for o in overrides if o.is_sweep_override()}, sizes)
    size = 1
    for key, count in sizes.items():
        # Values that go together count once. A key without values counts as one, so that the others are still limited.
        size *= max(1, count) if groups.get(key, [key])[0] == key else 1
        if size > most:
            raise NervaError(f"with {key}, the sweep has more points than the limit of {_MOST_POINTS:,}")
    values = {override.get_key_element(): _values(override) for override in overrides}
    grouped = [groups.get(key, [key]) for key in values]
    return [
        list(zip(*(values[key] for key in group), strict=True))
        for key, group in zip(values, grouped, strict=True)
        if key == group[0]
    ]


def _groups(request: SweepRequest, swept: dict[str, str], sizes: dict[str, int]) -> dict[str, list[str]]:
    """The group of `sweep.zip` that each swept override belongs to.

    Args:
        request: the request.
        swept: how the override of each swept key begins; `+` may precede the key.
        sizes: the number of values of each of them.
    """
    groups: dict[str, list[str]] = {}
    for keys in request.zip:
        if unknown := [key for key in keys if key not in swept]:
            raise NervaError(f"sweep.zip: {unknown[0]} is not swept; give it a list of values")
        group = [swept[key] for key in keys]
        for key in group:
            if key in groups or group.count(key) > 1:
                raise NervaError(f"sweep.zip: {key} occurs twice")
        if len({sizes[key] for key in group}) > 1:
            counts = " and ".join(f"{key} has {sizes[key]}" for key in group)
            raise NervaError(f"sweep.zip: values that go together should be equal in number, but {counts}")
        groups |= dict.fromkeys(group, group)
    return groups


def _count(override: Override) -> int:
    """The number of values of a sweep, counted up to the limit: Hydra would keep all of them in memory."""
    sweep = override.value()
    choices: Iterable[Any] = ()
    if isinstance(sweep, RangeSweep):
        choices = sweep.range()
    elif isinstance(sweep, ChoiceSweep):
        choices = sweep.list
    else:
        choices = override.sweep_string_iterator()
    return sum(1 for _ in itertools.islice(choices, _MOST_POINTS + 1))


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_sweep_override():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [f"{key}={override.get_value_element_as_str()}"]
