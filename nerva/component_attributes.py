"""The attributes of components: which of them training changes, as their classes declare it.

A component is a layer, an optimizer, an activation function, a loss, a schedule or a loader, or any other object whose
class has a tuple `state`. This tuple names the attributes that training changes and that must be kept to resume
training. The `parameters` and `statistics` of a layer are state as well. The tuple `caches` names attributes that are
computed anew for each batch; the gradients of parameters are caches as well (though a compiled step returns them). A
class lists only what it adds to its base classes.

Training must not change any other attribute.
"""

import functools
from collections.abc import Iterator
from typing import Any


def find_components(value: Any, path: str = "", seen: dict[int, object] | None = None) -> Iterator[tuple[str, Any]]:
    """The components in a value, itself included, and in their attributes, each with its path, as `layers.0.act`."""
    seen = {} if seen is None else seen
    if not (isinstance(value, list | tuple | dict) or is_component(value)) or id(value) in seen:
        return
    seen[id(value)] = value
    if is_component(value):
        yield path, value
        parts = attributes(value)
    else:
        parts = value if isinstance(value, dict) else {str(index): part for index, part in enumerate(value)}
    for name, part in parts.items():
        yield from find_components(part, f"{path}.{name}" if path else name, seen)


def is_component(value: Any) -> bool:
    """Whether the class of a value declares its state."""
    return isinstance(getattr(type(value), "state", None), tuple | str)


def attributes(component: Any) -> dict[str, Any]:
    """The attributes of an instance, those in slots included."""
    found = object.__getstate__(component)  # None, a dictionary, or a tuple: the attributes (or None) and the slots
    parts = found if isinstance(found, tuple) else (found,)
    return {name: value for part in parts if part for name, value in part.items()}


def gradient_names(component: Any) -> list[str]:
    """The names of the gradients of a layer's parameters; other components have none."""
    return [f"D{name}" for name in getattr(component, "parameters", ())]


def declared_names(component: Any) -> tuple[list[str], list[str]]:
    """The names that a component declares as its state, and those that it declares as its caches."""
    state, caches = _class_names(type(component))  # type: ignore[arg-type]  # a class is hashable
    state = [*getattr(component, "parameters", ()), *getattr(component, "statistics", ()), *state]
    return state, [*caches, *gradient_names(component)]


@functools.cache
def _class_names(cls: type) -> tuple[list[str], list[str]]:
    """The names that a class and its base classes list as state and as caches."""
    names: dict[str, list[str]] = {"state": [], "caches": []}
    for base in reversed(cls.__mro__):
        for kind, listed in names.items():
            added = vars(base).get(kind, ())
            # The comma is easily forgotten: `state = ("count")`.
            listed += (added,) if isinstance(added, str) else added if isinstance(added, tuple) else ()
    return names["state"], names["caches"]
