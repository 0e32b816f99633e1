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

# None of these has a state of its own that training changes.
_STATELESS = (type, BuiltinFunctionType, ModuleType, np.ufunc)


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

    A node is [kind, content]. Whatever may be met twice has a number, and is written once; see "same".
    """

    arrays: list[Matrix] = field(default_factory=list)
    seen: dict[int, tuple[int, object]] = field(default_factory=dict)  # numbers by id; objects have to stay alive
    memory: dict[int, str] = field(default_factory=dict)  # where the memory of an array was met

    def node(self, value: Any, place: str) -> list[Any]:
        if value is None or type(value) in (bool, int, float, str):
            return ["value", value]
        if isinstance(value, np.generic):
            return ["number", self.array(np.asarray(value), place)]
        if isinstance(value, _STATELESS):
            return ["stateless", _name(value)]
        if id(value) in self.seen:
            return ["same", self.seen[id(value)][0]]
        number = len(self.seen)
        self.seen[id(value)] = (number, value)
        if type(value) is np.ndarray:
            owner = value
            while isinstance(owner.base, np.ndarray):
                owner = owner.base
            other = self.memory.setdefault(id(owner), place)
            if other != place:
                raise self.refusal(place, f"shares its memory with {other.lstrip('.')}")
            return ["array", [number, self.array(value, place)]]
        if type(value) is np.random.Generator:
            return ["generator", [number, self.children(value.bit_generator.state, place)]]
        if type(value) in (list, tuple):
            items = [self.node(x, f"{place}[{i}]") for i, x in enumerate(value)]
            return [type(value).__name__, [number, items]]
        if type(value) is dict:
            return ["dict", [number, self.children(value, place)]]
        if isinstance(value, MethodType):
            return ["method", [number, value.__name__, self.node(value.__self__, place)]]
        if isinstance(value, FunctionType):
            # What a function keeps between calls is in the variables around it.
            cells = [self.node(cell.cell_contents, f"{place}.{value.__name__}") for cell in value.__closure__ or ()]
            kept = [self.node(x, place) for x in (value.__defaults__, value.__kwdefaults__, vars(value))]
            return ["function", [number, value.__qualname__, cells, kept]]
        if _plain(value):
            return ["object", [number, _name(value), self.children(vars(value), place)]]
        raise self.refusal(place, f"is a {type(value).__name__}, which a checkpoint can't hold")

    def children(self, values: Mapping[Any, Any], place: str) -> dict[str, list[Any]]:
        for key in values:
            if type(key) is not str:
                raise self.refusal(place, f"has the key {key!r}, and a checkpoint can hold texts only")
        return {key: self.node(value, f"{place}.{key}") for key, value in values.items()}

    def array(self, array: Matrix, place: str) -> int:
        if array.dtype.hasobject:
            raise self.refusal(place, "is an array of objects, which a checkpoint can't hold")
        self.arrays.append(array)
        return len(self.arrays) - 1

    def refusal(self, place: str, why: str) -> NervaError:
        return NervaError(f"{place.lstrip('.')} {why}")


@dataclass
class _Reader:
    """Gives new objects the values of a tree that `_Writer` made."""

    arrays: dict[str, Matrix]
    known: dict[int, Any] = field(default_factory=dict)  # by their numbers, so that what was shared stays shared
    taken: set[int] = field(default_factory=set)  # the ids of new arrays and containers that have their values

    def value(self, node: list[Any], new: Any, place: str) -> Any:
        """What a node stands for: `new` with the node's values, or another value in its place."""
        kind, content = node
        if kind == "value":
            return content
        if kind == "number":
            return self.arrays[str(content)][()]
        if kind == "stateless":
            self.check(_name(new), content, place)
            return new
        if kind == "same":
            return self.known[content]
        number, *rest = content
        match kind:
            case "array":
                self.known[number] = self.array(self.arrays[str(rest[0])], new)
            case "generator":
                new.bit_generator.state = self.values(rest[0], {}, place)
                self.known[number] = new
            case "list":
                old = list(new) if type(new) is list else []
                self.known[number] = mine = self.mine(new, list)
                old += [None] * len(rest[0])
                mine[:] = [self.value(child, old[i], f"{place}[{i}]") for i, child in enumerate(rest[0])]
            case "tuple":
                old = [*(new if type(new) is tuple else ()), *[None] * len(rest[0])]
                values = [self.value(child, old[i], f"{place}[{i}]") for i, child in enumerate(rest[0])]
                self.known[number] = tuple(values)
            case "dict":
                before = dict(new) if type(new) is dict else {}
                self.known[number] = own = self.mine(new, dict)
                found = self.values(rest[0], before, place)
                own.clear()
                own.update(found)
            case "object":
                self.check(_name(new), rest[0], place)
                self.known[number] = new
                vars(new).update(self.values(rest[1], vars(new), place))
            case "method":
                self.check(getattr(new, "__name__", None), rest[0], place)
                self.known[number] = new
                self.value(rest[1], new.__self__, place)
            case "function":
                self.check(getattr(new, "__qualname__", None), rest[0], place)
                self.known[number] = new
                for cell, child in zip(new.__closure__ or (), rest[1], strict=True):
                    cell.cell_contents = self.value(child, cell.cell_contents, place)
                for child, kept in zip(rest[2], (new.__defaults__, new.__kwdefaults__, vars(new)), strict=True):
                    self.value(child, kept, place)
            case _:
                raise ValueError(f"{place.lstrip('.')} has the unknown kind {kind}")
        return self.known[number]

    def mine(self, new: Any, kind: type) -> Any:
        """The new list or dictionary, if it is one, and is not that of another place; otherwise another one."""
        if type(new) is not kind or id(new) in self.taken:
            return kind()
        self.taken.add(id(new))
        return new

    def check(self, now: str | None, then: str, place: str) -> None:
        if now != then:
            raise ValueError(f"{place.lstrip('.')} is a {now}, and was a {then}")

    def values(self, content: dict[str, Any], new: dict[str, Any], place: str) -> dict[str, Any]:
        return {key: self.value(child, new.get(key), f"{place}.{key}") for key, child in content.items()}

    def array(self, array: Matrix, new: Any) -> Matrix:
        # In the place of the new array, where that is possible: others may refer to it.
        if (
            type(new) is np.ndarray
            and (new.shape, new.dtype) == (array.shape, array.dtype)
            and new.flags.writeable
            and id(new) not in self.taken
        ):
            new[...] = array
            self.taken.add(id(new))
            return new
        return array


def _plain(value: object) -> bool:
    """Whether all that an object is stands in its attributes: it is written in Python, and copied as any object is."""
    kind = type(value)
    if isinstance(value, Enum) or not hasattr(value, "__dict__"):
        return False
    # The same methods tell `copy` and `pickle` of a state that is kept elsewhere.
    methods = ("__reduce_ex__", "__reduce__", "__getstate__")
    if any(getattr(kind, name) is not getattr(object, name) for name in methods):
        return False
    try:
        reduced = object.__reduce_ex__(value, 2)
    except TypeError:
        return False
    # A state in slots is a tuple; lists and dictionaries of a kind of their own have items.
    return not isinstance(reduced, str) and not isinstance(reduced[2], tuple) and reduced[3] is reduced[4] is None


def _name(value: object) -> str:
    """The class of an object; of a class or function, its own name."""
    if isinstance(value, type | BuiltinFunctionType | ModuleType | np.ufunc):
        return value.__name__
    return f"{type(value).__module__}.{type(value).__qualname__}"
