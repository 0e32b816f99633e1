"""Hashes of values and of source code."""

import ast

import pytest

from nerva.experiment.identity.fingerprint import digest, fingerprint, hash_parts

SOURCE = '''"""A module."""
def f(x, y=1):
    """A function."""
    assert x, "x should not be 0"
    if y > 1:
        raise ValueError(f"y should not be {y}")
    return x - y  # why
'''
SAME = {
    "other formatting": "def f(x, y = 1):\n  assert x\n  if (y > 1): raise ValueError()\n  return (x -\n       y)\n",
    "annotations": SOURCE.replace("x, y=1", "x: int, y: float = 1"),
    "the annotation of the result": SOURCE.replace('):\n    "', ') -> float:\n    "', 1),
    "a comment": SOURCE.replace("# why", "# because"),
    "a docstring": SOURCE.replace("A function", "Another function"),
    "the message of an assertion": SOURCE.replace("x should", "x must"),
    "the message of an error": SOURCE.replace('f"y should not be {y}"', '"y is too large"'),
    "the cause of an error": SOURCE.replace('be {y}")', 'be {y}") from None'),
    "a byte order mark": "\ufeff" + SOURCE,
}
OTHER = {
    "an operator": SOURCE.replace("x - y", "x + y"),
    "a type of a number": SOURCE.replace("y=1", "y=1.0"),
    "a truth value": SOURCE.replace("y=1", "y=True"),
    "no value": SOURCE.replace("y=1", "y=None"),
    "a text": SOURCE.replace("y=1", "y='1'"),
    "no default": SOURCE.replace("y=1", "y"),
    "a name": SOURCE.replace("def f", "def g"),
    "the class of an error": SOURCE.replace("ValueError", "TypeError"),
    "a condition": SOURCE.replace("y > 1", "y > 2"),
    "an assertion": SOURCE.replace("assert x", "assert y"),
    "an order": SOURCE.replace("x - y", "y - x"),
    "nothing": "pass",
}


@pytest.mark.parametrize("change", SAME)
def test_what_does_not_compute_does_not_change_a_fingerprint(change: str) -> None:
    assert SAME[change] != SOURCE
    assert fingerprint(SAME[change].encode()) == fingerprint(SOURCE.encode())


def test_what_computes_changes_a_fingerprint() -> None:
    assert len({fingerprint(source.encode()) for source in [SOURCE, *OTHER.values()]}) == len(OTHER) + 1


def test_source_in_another_encoding() -> None:
    assert fingerprint(b"# coding: latin-1\nx = '\xe9'\n") == fingerprint("x = 'é'\n".encode())


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return 1", "return 4", {"C.f"}),
        ("return 2", "return 4", {"C.D.g"}),
        ("y = 2", "y = 4", {"C"}),
        ("x = 1", "x = 4", {""}),
        ("return value", "return -value", {"C.p"}),
        ("self.v = v", "self.v = -v", {"C.p"}),
        ("return 3", "return 3  # why", set()),
        ('"A class."', '"Another class."', set()),
    ],
)
def test_a_change_changes_the_hash_of_its_function(old: str, new: str, changed: set[str]) -> None:
    source = """
import a
x = 1
class C:
    "A class."
    y = 2
    def f(self):
        return 1
    class D:
        def g(self): return 2
    @property
    def p(self): return value
    @p.setter
    def p(self, v): self.v = v
def h(): return 3
"""
    before, after = (hash_parts(ast.parse(text).body) for text in (source, source.replace(old, new)))
    assert source.count(old) == 1
    assert {*before} == {"C.f", "C.D.g", "C.D", "C.p", "C", "h", ""}
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_digest_is_that_of_a_value_and_not_of_its_order() -> None:
    assert digest({"a": 1, "b": [1, "x", None]}) == digest({"b": [1, "x", None], "a": 1})
    assert len({digest(value) for value in (1, 1.5, "1", [1], {"1": 1}, True, None)}) == 7
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))
