"""Excerpts of the code for docs/engine.md: `make docs` inserts them, and `make lint` checks that they are current."""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path
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


LIBRARIES = ("numpy", "torch", "jax", "tensorflow", "sympy")


def operations() -> str:
    """The table of matrix operations: their signatures and meanings, and their expression in each library."""
    table = importlib.import_module("nerva.matrix_operations")
    sources = {library: _returned(library) for library in LIBRARIES}
    rows = ["| operation | mathematics | " + " | ".join(LIBRARIES) + " |", "|---" * (2 + len(LIBRARIES)) + "|"]
    for name, declaration in table.OPERATIONS.items():
        arguments = ", ".join(inspect.signature(declaration).parameters)
        meaning = " ".join((inspect.getdoc(declaration) or "").split("\n\n")[0].split())
        cells = [f"`{name}({arguments})`", meaning, *(sources[library][name] for library in LIBRARIES)]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _returned(library: str) -> dict[str, str]:
    """What each function of a library's module returns, if it consists of this expression, and a link otherwise."""
    path = Path("..") / "nerva" / "matrix_operations" / f"{library}.py"
    found = _returned("numpy") if library == "sympy" else {}  # it takes some of NumPy's functions
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            *before, last = node.body
            plain = not before and isinstance(last, ast.Return) and last.value is not None
            text = f"`{ast.unparse(last.value)}`" if plain else ""  # type: ignore[attr-defined,arg-type]
            found[node.name] = text if 0 < len(text) < 90 else f"[code]({path.as_posix()})"
    return found


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
