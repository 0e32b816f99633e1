"""Which run a configuration is.

A run is a function of its configuration, its data and the code that computes it. Its id is a hash of the three,
and of nothing else: not of paths, names, tracking or the number of cores.
"""

import ast
import functools
import hashlib
import json
from typing import Any

from nerva.experiment import PACKAGE
from nerva.experiment.config import Config, canonical


def run_id(config: Config) -> str:
    """The id of the run that a configuration describes: 12 hexadecimal digits.

    Raises:
        NervaError: if the configuration is not that of a run; the message names the key.
    """
    return digest({"config": canonical(config), "code": code_fingerprint()})[:12]


def configuration_id(config: Config) -> str:
    """The id that runs share which differ in the seed only."""
    return digest({key: value for key, value in canonical(config).items() if key != "seed"})[:12]


def digest(value: Any) -> str:
    """The sha256 of a value made of dictionaries, lists, texts and numbers."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_fingerprint() -> str:
    """The sha256 of the code that computes a run: the engine, and what builds a run with it.

    Comments, docstrings and formatting don't count, and neither does the version of Python.
    """
    files = [*sorted(PACKAGE.glob("*.py")), PACKAGE / "experiment" / "build.py"]
    return digest({str(file.relative_to(PACKAGE)): fingerprint(file.read_text()) for file in files})


def fingerprint(source: str) -> str:
    """The sha256 of what a module's source text means to Python."""
    return digest(_meaning(ast.parse(source)))


def _meaning(node: Any) -> Any:
    """A syntax tree as lists and texts.

    Empty fields are left out: versions of Python differ in which there are.
    """
    if isinstance(node, list):
        return [_meaning(item) for item in node]
    if not isinstance(node, ast.AST):
        # A constant or a name; the type keeps 1, True and "1" apart.
        return f"{type(node).__name__} {node!r}"
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            fields["body"] = node.body[1:]
    # None is a constant's value as well as a missing field.
    if isinstance(node, ast.Constant):
        fields["value"] = node.value
        fields.pop("kind", None)
    return [type(node).__name__, {name: _meaning(value) for name, value in fields.items()}]
