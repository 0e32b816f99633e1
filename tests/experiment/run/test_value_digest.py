"""Digests of values: equal for equal values, and different for different ones."""

import collections
import functools
import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nerva.experiment.run.value_digest import UNKNOWN, module_variables, value_digest


class Point:
    def __init__(self, x: Any) -> None:
        self.x = x


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x


class Stack(list):
    pass


def adding(n: Any) -> Callable[[int], int]:
    return lambda x: x + n


def cyclic(n: int) -> list[Any]:
    items: list[Any] = [n]
    items.append(items)
    return items


def advanced(n: int) -> np.random.Generator:
    rng = np.random.default_rng(0)
    rng.random(n)
    return rng


def attributed(n: int) -> Callable[[], None]:
    def function(default: Any = [n]) -> None:  # noqa: B006
        pass

    function.count = n  # type: ignore[attr-defined]
    return function


MAKERS: dict[str, Callable[[int], Any]] = {
    "number": float,
    "text": str,
    "bytes": lambda n: bytes([n]),
    "NumPy number": np.float32,
    "array": lambda n: np.array([[1.0, n]]),
    "array of objects": lambda n: np.array([{"n": n}], dtype=object),
    "list": lambda n: [1, [n]],
    "tuple": lambda n: (1, (n,)),
    "dictionary": lambda n: {"a": {1: n}},
    "set": lambda n: {"a", "b", "c", n},
    "frozen set of tuples": lambda n: frozenset([(n, 1)]),
    "object": lambda n: Point(Point(n)),
    "object with slots": Slotted,
    "subclass of list": lambda n: Stack([n]),
    "deque": lambda n: collections.deque([n]),
    "defaultdict": lambda n: collections.defaultdict(list, a=[n]),
    "method": lambda n: Point(n).__init__,
    "partial": lambda n: functools.partial(max, n),
    "generator": advanced,
    "legacy generator": lambda n: np.random.RandomState(n),
    "cycle": cyclic,
    "class": lambda n: [Point, Slotted][n],
}


@pytest.mark.parametrize("name", MAKERS)
def test_equal_values_have_equal_digests(name: str) -> None:
    digests = [value_digest(MAKERS[name](n), {}) for n in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]
    assert UNKNOWN not in digests


def test_different_values_have_different_digests() -> None:
    values = [
        None,
        0,
        0.0,
        -0.0,
        False,
        "",
        b"",
        [],
        (),
        {},
        set(),
        np.zeros(1),
        np.zeros(1, np.float32),
        np.zeros((1, 1)),
    ]
    values += [["a", "b"], ["ab"], [["a"], "b"], ["a", ["b"]], {"a": "b"}, np.float32(0), np.float64(0), float("nan")]
    assert len({value_digest(value, {}) for value in values}) == len(values)


def test_values_that_cannot_be_examined() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in ((x for x in ()), [(x for x in ())], {(x for x in ())}, deep, threading.Lock()):
        assert value_digest(value, {}) == UNKNOWN


def test_known_objects_stand_for_a_text() -> None:
    point = Point(1)
    before = value_digest([point], {id(point): "a point"})
    point.x = 2
    assert value_digest([point], {id(point): "a point"}) == before != value_digest([point], {id(point): "another"})


MODULE = """
import collections, enum, logging, types
import numpy as np
FACTOR = 1.0
RNG = np.random.default_rng(0)
TABLE = np.zeros(2000)
SEEN = set()
NAMES = {1: "red"}
LOG = logging.getLogger("variables")
class Color(enum.Enum):
    RED = 1
class Stats:
    total = 0
    def __init__(self):
        self.n = 0
    @property
    def twice(self):
        return 2 * self.n
    @staticmethod
    def step(x, memory=[]):
        return x
    def add(self, x, memory=[]):
        memory.append(x)
STATS = Stats()
def count():
    count.calls += 1
count.calls = 0
SPACE = types.SimpleNamespace(n=0)
DEQUE = collections.deque()
def make():
    n = 0
    def step():
        nonlocal n
        n += 1
    return step
class Closure:
    step = staticmethod(make())
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "variables_of_a_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("variables_of_a_test")
    del sys.modules["variables_of_a_test"]


def test_variables_of_modules_and_classes(module) -> None:
    names = {module.__name__}
    before = module_variables(names, {})
    assert UNKNOWN not in before.values()
    module.LOG.info("nothing")
    np.random.default_rng().random()
    assert module_variables(names, {}) == before
    for change, name in (
        (lambda: module.RNG.random(), "variables_of_a_test.RNG"),
        (lambda: module.TABLE.__setitem__(1000, 1), "variables_of_a_test.TABLE"),
        (lambda: module.SEEN.add(1), "variables_of_a_test.SEEN"),
        (lambda: vars(module.STATS).update(n=1), "variables_of_a_test.STATS"),
        (lambda: setattr(module.Stats, "total", 7), "Stats.total"),
        (lambda: module.STATS.add(1), "Stats.add"),
        (lambda: module.count(), "variables_of_a_test.count"),
        (lambda: setattr(module, "new", 1), "variables_of_a_test.new"),
        (lambda: vars(module.SPACE).update(n=1), "variables_of_a_test.SPACE"),
        (lambda: module.DEQUE.append(1), "variables_of_a_test.DEQUE"),
        (lambda: module.Closure.step(), "Closure.step"),
        (lambda: np.random.rand(), "the global generator of numpy.random"),  # noqa: NPY002
        (lambda: __import__("random").random(), "the global generator of random"),
    ):
        change()
        now = module_variables(names, {})
        assert {key for key in now if now[key] != before.get(key)} == {name}
        before = now


def test_without_user_defined_modules_there_are_no_variables() -> None:
    assert module_variables(set(), {}) == {}
