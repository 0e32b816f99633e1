"""Digests of Python values, which show whether a value has changed."""

import random
import sys
from collections.abc import Mapping, Sequence, Set
from hashlib import sha256
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

# The digest of a value that can't be examined, such as an open file.
UNKNOWN = "unknown"
_SCALARS = (type(None), bool, int, float, complex, str)
# Their content does not change; `__reduce_ex__` refuses some of them.
_CONSTANT = (type, ModuleType, np.ufunc, property, staticmethod, classmethod)


def value_digest(value: object, known: Mapping[int, str]) -> str:
    """A hash of everything that a value consists of: the same for equal values, also in another process.

    Args:
        value: any value. A function consists of its code, the variables around it, its defaults and its attributes.
        known: texts that stand for objects, by the ids of these objects.

    Returns:
        16 hexadecimal digits, or `UNKNOWN`.
    """
    digest = sha256()
    seen: dict[int, tuple[int, object]] = {}  # it keeps the objects alive, so that ids stay unique

    def add(value: object) -> None:
        if id(value) in known:
            digest.update(f"known {known[id(value)]!r}\n".encode())
        elif id(value) in seen:
            digest.update(f"seen {seen[id(value)][0]}\n".encode())
        elif isinstance(value, _CONSTANT):
            digest.update(
                f"constant {getattr(value, '__module__', '')} {getattr(value, '__qualname__', '')}\n".encode()
            )
        elif type(value) in _SCALARS:
            digest.update(f"{type(value).__name__} {value!r}\n".encode())
        elif type(value) is bytes:
            digest.update(b"bytes %d\n" % len(value) + value)
        elif isinstance(value, set | frozenset):
            digests = [value_digest(element, known) for element in value]
            if UNKNOWN in digests:
                raise TypeError("an element is unknown")
            add([type(value), sorted(digests)])
        else:
            seen[id(value)] = len(seen), value
            parts = _parts(value)
            digest.update(f"{type(value).__module__}.{type(value).__qualname__} {len(parts)}\n".encode())
            for part in parts:
                add(part)

    try:
        add(value)
    except (TypeError, ValueError, AttributeError, NotImplementedError, RecursionError):
        return UNKNOWN
    return digest.hexdigest()[:16]


def _parts(value: Any) -> Sequence[object]:
    """The values of which a value consists."""
    if type(value) in (list, tuple):
        return value  # type: ignore[no-any-return]
    if type(value) is dict:
        return [part for item in value.items() for part in item]
    if type(value) is np.ndarray:
        return value.dtype.str, value.shape, value.tolist() if value.dtype.hasobject else value.tobytes()
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return value.__code__.co_code, value.__qualname__, cells, value.__defaults__, value.__kwdefaults__, vars(value)
    # This is what `copy` makes a copy from. The items of lists and dictionaries are iterators.
    reduced = value.__reduce_ex__(4)
    return [reduced] if isinstance(reduced, str) else [*reduced[:3], *(list(items or ()) for items in reduced[3:5])]


def module_variables(modules: Set[str], known: Mapping[int, str]) -> dict[str, str]:
    """Digests of the variables of user-defined modules and of their classes, and of the global random generators.

    Args:
        modules: the names of all user-defined modules, those that others import included.
        known: as in `value_digest`.
    """
    # Variables of other types, such as loggers, belong to other packages.
    packages = {"builtins", "numpy", *(name.partition(".")[0] for name in modules)}
    found: dict[str, object] = {}
    for name in modules & sys.modules.keys():
        module = sys.modules[name]
        places: list[ModuleType | type] = [module]
        places += [x for x in vars(module).values() if isinstance(x, type) and x.__module__ == name]
        for place in places:
            for key, value in vars(place).items():
                if not key.startswith("__") and type(value).__module__.partition(".")[0] in packages:
                    found[f"{place.__name__}.{key}"] = value
    if modules:
        found["the global generator of numpy.random"] = np.random.get_state()  # noqa: NPY002
        found["the global generator of random"] = repr(random.getstate())
    return {name: value_digest(value, known) for name, value in found.items()}
