"""The state of a run's components: what they declare, and whether training changes anything else.

See `nerva.component_attributes` for what components declare.
"""

from collections.abc import Set
from typing import Any

import numpy as np

from nerva.component_attributes import attributes, declared_names, find_components, is_component
from nerva.datasets import DataLoader
from nerva.errors import NervaError
from nerva.experiment.run.build import Training
from nerva.experiment.run.value_digest import UNKNOWN, module_variables, value_digest
from nerva.matrix_operations import to_numpy


class ComponentState:
    """The state of all components of a run at one moment.

    Attributes:
        declared: the component and the attribute of each declared name, such as `layers.0.act.x`.
        values: the value of each declared attribute that exists.
        kinds: the kind of each of these values, and the name with which it shares its memory, if any.
        fixed: a digest of each attribute that is not declared, and of each variable of a user-defined module.
    """

    def __init__(self, t: Training, modules: Set[str] = frozenset()) -> None:
        """
        Args:
            t: the training.
            modules: the names of all user-defined modules.
        """
        roots = {
            "layers": t.M.layers,
            "loss": t.loss,
            "learning_rate": t.learning_rate,
            "train_loader": t.train_loader,
        }
        components = dict(find_components(roots))
        self.declared: dict[str, tuple[Any, str]] = {}
        self.values: dict[str, Any] = {}
        self.kinds: dict[str, str] = {}
        self._labels = {name: name for name in roots}
        undeclared: dict[str, Any] = dict(roots)
        # Digests show these objects by name, because each of them has its own entries.
        known = {id(x): f"{path}: {type(x).__module__}.{type(x).__qualname__}" for path, x in components.items()}
        first: dict[int, str] = {}  # the first declared name of each object that several names may share
        alive: list[Any] = []  # so that ids stay unique
        for path, component in components.items():
            state, caches = declared_names(component)
            for attribute in dict.fromkeys([*state, *caches, *attributes(component)]):
                name = f"{path}.{attribute}"
                value = getattr(component, attribute, None)
                self._labels[name] = f"{type(component).__name__}.{attribute}"
                if attribute not in [*state, *caches] or _is_made_of_components(value):
                    # A dataset is large, and nothing changes it.
                    if not isinstance(component, DataLoader):
                        undeclared[name] = value
                    continue
                owner = name
                if isinstance(value, np.ndarray | np.random.Generator | list | dict) or is_matrix(value):
                    alive.append(value)
                    known.setdefault(id(value), name)
                    owner = first.setdefault(id(_owner(value)), name)
                if attribute in state:
                    self.declared[name] = component, attribute
                    if hasattr(component, attribute):
                        value = self.values[name] = to_numpy(value) if is_matrix(value) else value  # type: ignore[arg-type]
                        self.kinds[name] = kind(value) + (f" that shares its memory with {owner}" * (owner != name))
        self.fixed = {name: value_digest(value, known) for name, value in undeclared.items()}
        self.fixed |= module_variables(modules, known)

    def label(self, name: str) -> str:
        """An attribute as messages name it, by its class; other names as they are."""
        return self._labels.get(name, name)

    def check(self, built: "ComponentState") -> None:
        """Check that training changes nothing but the declared state, and that a checkpoint can hold this state.

        Args:
            built: the state of the same components after they were built.

        Raises:
            NervaError: if not; the message names the attribute.
        """
        for name in self.fixed | built.fixed:
            label = self.label(name) if name in self._labels else built.label(name)
            attribute = name in self._labels or name in built._labels
            what = "which is not declared in `state`" if attribute else "which a checkpoint does not hold"
            if self.fixed.get(name) == UNKNOWN:
                raise NervaError(f"training may change {label}, {what}, and whether it does can't be checked")
            if self.fixed.get(name) != built.fixed.get(name):
                raise NervaError(f"training changes {label}, {what}")
        for name in self.kinds | built.kinds:
            label = self.label(name)
            before, now = built.kinds.get(name, "None"), self.kinds.get(name, "missing")
            if now.startswith(UNKNOWN):
                raise NervaError(f"{label} is a {type(self.values[name]).__name__}, which a checkpoint can't hold")
            # An attribute that is None may get its first value in the first step.
            if now != before and (before != "None" or "generator" in now or "shares" in now):
                raise NervaError(f"{label} was {before} when it was built, and is {now}")


def is_matrix(value: Any) -> bool:
    """Whether a value is a matrix of the library that computes, if that is not NumPy."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)


def kind(value: Any) -> str:
    """The properties of a declared value that a restored one must share; `UNKNOWN` if a checkpoint can't hold it."""
    if type(value) is np.ndarray and not value.dtype.hasobject:
        # The bits of a matrix product depend on the layout.
        return f"an array of {value.dtype} of shape {value.shape} and strides {value.strides}"
    if type(value) is np.random.Generator:
        return f"a generator with {type(value.bit_generator).__name__}"
    if type(value) in (bool, float) or isinstance(value, np.number | np.bool_):
        return "a number"
    if type(value) is int and value.bit_length() < 64:
        return "a number"
    if type(value) in (str, list, dict) and _is_plain(value):
        return f"a {type(value).__name__}"
    return "None" if value is None else UNKNOWN


def _is_plain(value: Any) -> bool:
    """Whether a value stays exactly the same when it is written as JSON and read again."""
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return type(value) in (type(None), bool, int, float, str)


def _is_made_of_components(value: Any) -> bool:
    """Whether a value is a component, or a list or dictionary of components: each has its own state."""
    if isinstance(value, list | tuple | dict):
        return bool(value) and all(map(is_component, value.values() if isinstance(value, dict) else value))
    return is_component(value)


def _owner(value: Any) -> Any:
    """The array that owns the memory of an array; any other value is its own owner."""
    while isinstance(value, np.ndarray) and isinstance(value.base, np.ndarray):
        value = value.base
    return value
