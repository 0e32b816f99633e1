"""What a piece of code, or a value, comes to: hashes that formatting and versions of Python do not change."""

import ast
import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """The sha256 of a value made of dictionaries, lists, texts and numbers."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(source: bytes) -> str:
    """The sha256 of what a module's source means to Python."""
    return digest(_meaning(ast.parse(source)))


def parts(source: bytes) -> dict[str, str]:
    """A hash of each function and class of a module's source, by its qualified name, and of the rest under "".

    A class' hash is of what stands in it beside functions.
    """
    found: dict[str, str] = {}

    def take(body: list[ast.stmt], prefix: str) -> list[ast.stmt]:
        """Takes the functions and classes out of a body, and returns what is left."""
        rest = []
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = prefix + node.name
                if isinstance(node, ast.ClassDef):
                    node.body = take(node.body, f"{name}.")
                # A name that is defined twice has its parts one behind the other.
                found[name] = digest([found.get(name, ""), _meaning(node)])[:12]
            else:
                rest.append(node)
        return rest

    tree = ast.parse(source)
    tree.body = take(tree.body, "")
    return found | {"": digest(_meaning(tree))[:12]}


def _meaning(node: Any) -> Any:
    """A syntax tree as lists and texts.

    Empty fields are left out: versions of Python differ in which there are.
    """
    if isinstance(node, list):
        return [_meaning(item) for item in node if not _is_text(item)]
    if not isinstance(node, ast.AST):
        # A constant or a name; the type keeps 1, True and "1" apart.
        return f"{type(node).__name__} {node!r}"
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    # None is a constant's value as well as a missing field.
    if isinstance(node, ast.Constant):
        fields["value"] = node.value
        fields.pop("kind", None)
    return [type(node).__name__, {name: _meaning(value) for name, value in fields.items()}]


def _is_text(node: Any) -> bool:
    """Whether a statement is a docstring, or another text that does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
