"""Hashes of values and of source code. Hashes of code depend only on what the code computes.

These do not count: formatting, comments, docstrings, annotations, the messages of errors, and the version of Python.
"""

import ast
import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """The sha256 of a value that is made of dictionaries, lists, strings and numbers."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(source: bytes) -> str:
    """The sha256 of a module's source."""
    return digest(_meaning(ast.parse(source)))


def hash_parts(body: list[ast.stmt], prefix: str = "") -> dict[str, str]:
    """A hash of each function and class in a list of statements, and of the other statements together.

    A class is split into its methods. The hash of the class itself covers the rest of its body.

    Args:
        body: the statements.
        prefix: goes before each name; the other statements have it as their name.

    Returns:
        Hashes of 12 hexadecimal digits, by qualified names.
    """
    hashes: dict[str, str] = {}

    def split(body: list[ast.stmt], prefix: str) -> list[Any]:
        rest = []
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                rest.append(_meaning(node))
                continue
            name = f"{prefix}{node.name}"
            meaning = _meaning(node)
            if isinstance(node, ast.ClassDef):
                meaning[1]["body"] = split(node.body, f"{name}.")
            # A name that is defined twice, such as a property and its setter, has one hash of both.
            hashes[name] = digest([hashes.get(name, ""), meaning])[:12]
        return [statement for statement in rest if statement is not None]

    if rest := split(body, prefix):
        hashes[prefix] = digest(rest)[:12]
    return hashes


def _meaning(node: Any) -> Any:
    """A syntax tree as lists and strings, without what does not count; None for a statement of which nothing counts.

    Empty fields are left out, because versions of Python differ in which fields there are.
    """
    if isinstance(node, list):
        return [meaning for item in node if (meaning := _meaning(item)) is not None]
    if not isinstance(node, ast.AST):
        # A constant or a name. Its type keeps 1, True and "1" apart.
        return f"{type(node).__name__} {node!r}"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return None  # a docstring
    if isinstance(node, ast.Raise):
        return ["Raise", _name(node.exc)]
    fields = {
        name: value
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in ("annotation", "returns", "msg", "type_comment")
    }
    # None is the value of a constant as well as a missing field.
    if isinstance(node, ast.Constant):
        fields = {"value": node.value}
    return [type(node).__name__, {name: _meaning(value) for name, value in fields.items()}]


def _name(exception: ast.expr | None) -> str:
    """The class that is raised, without the message."""
    if exception is None:
        return ""
    return ast.unparse(exception.func if isinstance(exception, ast.Call) else exception)
