"""Excerpts of the code for docs/engine.md: `make docs` inserts them, and `make lint` checks that they are current."""

import ast
import importlib
import inspect
import textwrap
from typing import Any


def _find(name: str) -> Any:
    """The object of nerva with a dotted name such as `layers.SoftmaxLayer.feedforward`."""
    module, _, rest = name.partition(".")
    found: Any = importlib.import_module(f"nerva.{module}")
    for part in rest.split("."):
        found = getattr(found, part)
    return found


def code(*names: str) -> str:
    """The source of functions as a code block, without their docstrings."""
    parts = []
    for name in names:
        source = textwrap.dedent(inspect.getsource(_find(name)))
        (function,) = ast.parse(source).body
        assert isinstance(function, ast.FunctionDef)
        lines = source.splitlines()
        if ast.get_docstring(function):
            first = function.body[0]
            del lines[first.lineno - 1 : first.end_lineno]
        parts.append("\n".join(lines).rstrip())
    return "```python\n" + "\n\n\n".join(parts) + "\n```"


def layer(name: str, *methods: str) -> str:
    """The source of methods of a layer. Default: feedforward and backpropagate."""
    return code(*(f"layers.{name}.{method}" for method in methods or ("feedforward", "backpropagate")))


def operations() -> str:
    """The table of matrix operations: their signatures, and the first paragraphs of their docstrings."""
    module = importlib.import_module("nerva.matrix_operations")
    rows = ["| operation | meaning |", "|---|---|"]
    for name, function in vars(module).items():
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
            arguments = ", ".join(inspect.signature(function).parameters)
            meaning = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()).replace("|", "\\|")
            rows.append(f"| `{name}({arguments})` | {meaning} |")
    return "\n".join(rows)


def components(module: str, registry: str) -> str:
    """The table of the components in a registry: their specifications, and the first paragraphs of their docstrings."""
    rows = ["| specification | meaning |", "|---|---|"]
    known = getattr(importlib.import_module(f"nerva.{module}"), registry)
    for name, component in known.components.items():
        parameters = [p for p in inspect.signature(component).parameters.values() if p.name not in known.given]
        text = ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters)
        documented = component
        if not inspect.getdoc(component):
            documented = _find(f"{module}.set_weights{component.__name__}")
        meaning = " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split()).replace("|", "\\|")
        rows.append(f"| `{name}{f'({text})' if text else ''}` | {meaning} |")
    return "\n".join(rows)
