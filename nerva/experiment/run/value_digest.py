"""Digests of Python values, which show whether a value has changed within this process."""

import io
import logging
import pickle
import random
import sys
from collections.abc import Mapping, Set
from hashlib import sha256
from inspect import isfunction
from types import ModuleType
from typing import Any

import numpy as np

from nerva.specifications import Registry

# The digest of a value that can't be examined, such as a nested function or an open file.
UNKNOWN = "unknown"
# Code, and objects that training uses without keeping anything in them.
_CODE = (type, property, ModuleType, logging.Logger, Registry)


class _Pickler(pickle.Pickler):
    """Writes a value, to be hashed. Nothing is ever unpickled."""

    def __init__(self, file: io.BytesIO, known: Mapping[int, str]) -> None:
        super().__init__(file, protocol=5)
        self._known = known

    def persistent_id(self, value: Any) -> str | None:
        if isinstance(value, ModuleType):
            return value.__name__
        return self._known.get(id(value))


def value_digest(value: object, known: Mapping[int, str]) -> str:
    """A hash of everything that a value consists of, or `UNKNOWN`.

    Args:
        value: any value.
        known: strings that stand for objects, by the ids of these objects.
    """
    file = io.BytesIO()
    try:
        _Pickler(file, known).dump(value)
    except (pickle.PicklingError, TypeError, ValueError, AttributeError, NotImplementedError, RecursionError):
        return UNKNOWN  # what objects raise that do not support it
    return sha256(file.getvalue()).hexdigest()[:16]


def _kept(value: Any) -> Any:
    """What a variable keeps. A function keeps its attributes, the defaults of its parameters, and a closure."""
    function = getattr(value, "__func__", value)
    if not isfunction(function):
        return value
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [vars(function), function.__defaults__, function.__kwdefaults__, [_kept(cell) for cell in cells]]


def module_variables(modules: Set[str], known: Mapping[int, str]) -> dict[str, str]:
    """Digests of the variables of user-defined modules and of their classes, and of the global random generators.

    Args:
        modules: the names of all user-defined modules, including those that others import.
        known: as in `value_digest`.
    """
    found: dict[str, object] = {}
    for name in modules & sys.modules.keys():
        module = sys.modules[name]
        places: list[ModuleType | type] = [module]
        places += [x for x in vars(module).values() if isinstance(x, type) and x.__module__ == name]
        for place in places:
            for key, value in vars(place).items():
                if not (key.startswith("__") or isinstance(value, _CODE) or type(value).__module__ == "typing"):
                    found[f"{place.__name__}.{key}"] = _kept(value)
    if modules:
        found["the global generator of numpy.random"] = np.random.get_state()  # noqa: NPY002
        found["the global generator of random"] = random.getstate()
    return {name: value_digest(value, known) for name, value in found.items()}
