"""Checkpoints: all that training changes, in one file, so that a run can go on where it was interrupted.

What training changes is found, and not declared: whatever arrays, numbers and generators can be reached from the
network, the loss and the rest, components of one's own included. To go on, the same objects are built anew and given
those values. Nothing is pickled: arrays are stored as arrays, and the rest as JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.utilities import load_dict_from_npz, whole_or_absent

# Neither of these has a state of its own.
_STATELESS = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, np.ufunc)


def save(path: PathLike[str], state: dict[str, Any], environment: dict[str, Any]) -> None:
    """Writes a checkpoint, whole or not at all.

    Args:
        path: the file.
        state: objects, arrays, numbers, texts, and lists and dictionaries of them.
        environment: what has to be the same where the checkpoint is used.

    Raises:
        NervaError: if something in the state can't be written; the message says what.
    """
    writer = _Writer()
    tree = [environment, writer.node(state, "")]
    arrays: dict[str, Any] = {str(index): array for index, array in enumerate(writer.arrays)}
    with whole_or_absent(path) as temporary, temporary.open("wb") as file:
        # Not compressed: it is written at every epoch, and read hardly ever.
        np.savez(file, tree=np.array(json.dumps(tree)), **arrays)


def restore(path: PathLike[str], state: dict[str, Any], environment: dict[str, Any]) -> dict[str, Any]:
    """Gives objects what a checkpoint holds.

    Args:
        path: the file that `save` wrote.
        state: what was given to `save`, built anew: its objects are changed, also if there is an error.
        environment: what was given to `save`, as it is now.

    Returns:
        The state; values that aren't objects are those of the checkpoint.

    Raises:
        NervaError: if the file is damaged, is one of other objects, or was written in another environment.
    """
    arrays = load_dict_from_npz(path)
    try:
        before, tree = json.loads(str(arrays.pop("tree")))
        if changed := [
            f"{key} was {before.get(key)}, is {x}" for key, x in environment.items() if before.get(key) != x
        ]:
            raise NervaError(f"{path} was written elsewhere: {'; '.join(changed)}")
        restored: dict[str, Any] = _Reader(arrays).value(tree, state, "")
    except NervaError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise NervaError(f"{path} does not fit: {error}") from None
    return restored


@dataclass
class _Writer:
    """Turns a state into a tree of JSON, whose leaves may be numbers of arrays.

    A node is [kind, content]. What is met twice is written once, and the second time as "seen".
    """

    arrays: list[Matrix] = field(default_factory=list)
    seen: dict[int, tuple[int, object]] = field(default_factory=dict)  # objects, which have to stay alive

    def node(self, value: Any, place: str) -> list[Any]:
        if value is None or type(value) in (bool, int, float, str):
            return ["value", value]
        if isinstance(value, np.generic):
            return ["number", self.array(np.asarray(value), place)]
        if id(value) in self.seen:
            index = self.seen[id(value)][0]
            return ["array", index] if isinstance(value, np.ndarray) else ["seen", None]
        if isinstance(value, _STATELESS):
            return ["seen", None]
        self.seen[id(value)] = (len(self.arrays), value)
        if isinstance(value, np.ndarray):
            return ["array", self.array(value, place)]
        if isinstance(value, np.random.Generator):
            return ["generator", self.children(value.bit_generator.state, place)]
        if isinstance(value, list) or type(value) is tuple:
            return [
                "list" if isinstance(value, list) else "tuple",
                [self.node(x, f"{place}[{i}]") for i, x in enumerate(value)],
            ]
        if isinstance(value, dict):
            return ["dict", self.children(value, place)]
        if hasattr(value, "__dict__") and not hasattr(type(value), "__slots__") and not isinstance(value, Enum):
            return ["object", {"class": _name(value), "attributes": self.children(vars(value), place)}]
        raise NervaError(f"{place.lstrip('.')} is a {type(value).__name__}, which a checkpoint can't hold")

    def children(self, values: Mapping[Any, Any], place: str) -> dict[str, list[Any]]:
        for key in values:
            if not isinstance(key, str):
                raise NervaError(f"{place.lstrip('.')} has the key {key!r}, and a checkpoint can hold texts only")
        return {key: self.node(value, f"{place}.{key}") for key, value in values.items()}

    def array(self, array: Matrix, place: str) -> int:
        if array.dtype.hasobject:
            raise NervaError(f"{place.lstrip('.')} is an array of objects, which a checkpoint can't hold")
        self.arrays.append(array)
        return len(self.arrays) - 1


@dataclass
class _Reader:
    """Gives new objects the values of a tree that `_Writer` made."""

    arrays: dict[str, Matrix]
    placed: dict[int, Matrix] = field(default_factory=dict)  # arrays by their number, so that shared ones stay shared
    taken: set[int] = field(default_factory=set)  # the ids of new arrays that have their values

    def value(self, node: list[Any], new: Any, place: str) -> Any:
        """What a node stands for: `new` with the node's values, or another value in its place."""
        kind, content = node
        match kind:
            case "value":
                return content
            case "seen":
                return new
            case "number":
                return self.arrays[str(content)][()]
            case "array":
                return self.array(content, new)
            case "generator":
                new.bit_generator.state = self.values(content, {}, place)
                return new
            case "list" | "tuple":
                old = [*(new or ()), *[None] * len(content)]
                items = [self.value(child, old[i], f"{place}[{i}]") for i, child in enumerate(content)]
                if kind == "tuple":
                    return tuple(items)
                new = [] if new is None else new
                new[:] = items
                return new
            case "dict":
                new = {} if new is None else new
                values = self.values(content, new, place)
                new.clear()
                new.update(values)
                return new
            case "object":
                if _name(new) != content["class"]:
                    raise ValueError(f"{place.lstrip('.')} is a {_name(new)}, and was a {content['class']}")
                vars(new).update(self.values(content["attributes"], vars(new), place))
                return new
        raise ValueError(f"{place.lstrip('.')} has the unknown kind {kind}")

    def values(self, content: dict[str, Any], new: dict[str, Any], place: str) -> dict[str, Any]:
        return {key: self.value(child, new.get(key), f"{place}.{key}") for key, child in content.items()}

    def array(self, index: int, new: Any) -> Matrix:
        if index not in self.placed:
            array = self.arrays[str(index)]
            # In the place of the new array, where that is possible: others may refer to it.
            if (
                isinstance(new, np.ndarray)
                and (new.shape, new.dtype) == (array.shape, array.dtype)
                and new.flags.writeable
                and id(new) not in self.taken
            ):
                new[...] = array
                self.taken.add(id(new))
                array = new
            self.placed[index] = array
        return self.placed[index]


def _name(value: object) -> str:
    """The class of an object."""
    return f"{type(value).__module__}.{type(value).__qualname__}"
