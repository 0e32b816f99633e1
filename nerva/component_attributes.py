"""The attributes of components: which of them training changes, as their classes declare it.

A component is a layer, an optimizer, an activation function, a loss, a schedule or a loader, or any other object whose
class has a tuple `state`. It names the attributes that training changes and that must be kept to resume training. The
`parameters` and `statistics` of a layer are state as well. The tuple `caches` names attributes that are computed anew
for each batch; the gradients of parameters are caches as well. A class lists only what it adds to its base classes.

All other attributes must stay as they were when the component was built.
"""

from collections.abc import Iterator
from typing import Any


def find_components(value: Any, path: str = "", seen: dict[int, object] | None = None) -> Iterator[tuple[str, Any]]:
    """The components in a value, and those in their attributes, by paths such as `layers.0.act`."""
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
    state = object.__getstate__(component)
    parts = state if isinstance(state, tuple) else (state,)
    return {name: value for part in parts if part for name, value in part.items()}


def gradients(component: Any) -> list[str]:
    """The names of the gradients of a layer's parameters; other components have none."""
    return [f"D{name}" for name in getattr(component, "parameters", ())]


def declarations(component: Any) -> tuple[list[str], list[str]]:
    """The names that a component declares as its state, and those that it declares as its caches."""
    state, caches = _declaration(component, "state"), _declaration(component, "caches")
    state = [*getattr(component, "parameters", ()), *getattr(component, "statistics", ()), *state]
    return state, [*caches, *gradients(component)]


def _declaration(component: Any, name: str) -> list[str]:
    """The names that the class of a component and its base classes list."""
    names: list[str] = []
    for base in reversed(type(component).__mro__):
        added = vars(base).get(name, ())
        # The comma is easily forgotten: `state = ("count")`.
        names += (added,) if isinstance(added, str) else added if isinstance(added, tuple) else ()
    return names
