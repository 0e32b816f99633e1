"""What was swept: the keys whose values differ between runs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config, specification
from nerva.experiment.identity.canonical import flat
from nerva.experiment.report.labels import short_layers

_COMPONENTS = ("optimizer", "learning_rate", "loss")


def swept_values(configs: Sequence[Config]) -> dict[str, list[Any]]:
    """The value of each run, for each key whose values differ. Values are numbers or texts.

    If the name of a component was swept, its whole specification is one key, because the arguments differ.
    """
    whole = [name for name in _COMPONENTS if len({getattr(config, name).get("name") for config in configs}) > 1]
    rows: list[dict[str, Any]] = []
    for config, layers in zip(configs, short_layers([config.model.layers for config in configs]), strict=True):
        values = {key: value for key, value in flat(dataclasses.asdict(config)).items() if not _is_skipped(key, whole)}
        values |= {name: specification(getattr(config, name)) for name in whole}
        values["model.layers"] = layers
        rows.append({key: value if isinstance(value, int) else _plain(value) for key, value in values.items()})
    keys = dict.fromkeys(key for values in rows for key in values)
    columns = {key: [values.get(key, "–") for values in rows] for key in keys}
    return {key: values for key, values in columns.items() if len(set(values)) > 1}


def ordered(values: Sequence[Any]) -> list[Any]:
    """The values without duplicates: numbers in ascending order, then texts."""
    return sorted(set(values), key=lambda value: (isinstance(value, str), value))


def find_key(factors: dict[str, list[Any]], wanted: str) -> str:
    """The key that was swept and is `wanted`, or has `wanted` as one of its dotted parts.

    Raises:
        NervaError: if there is no such key, or more than one.
    """
    found = [name for name in factors if name == wanted] or [name for name in factors if wanted in name.split(".")]
    if len(found) != 1:
        problem = f'"{wanted}" can mean {" or ".join(found)}' if found else f'"{wanted}" was not swept'
        raise NervaError(f"{problem}; the keys that were swept are: {', '.join(factors) or 'none'}")
    return found[0]


def _is_skipped(key: str, whole: Sequence[str]) -> bool:
    # A recorded configuration has no name of an experiment: `read_config` puts the run's id there.
    return key == "experiment_name" or key.partition(".")[0] in ("data", *whole)


def _plain(value: Any) -> Any:
    # nan is a text: it is not equal to itself.
    return value if isinstance(value, float) and value == value else str(value)
