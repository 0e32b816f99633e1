"""Imports of user-defined modules, checks of numbers, printing, timing, and the parser of specifications."""

import importlib
import re
import sys
import time
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

import numpy as np

from nerva.errors import NervaError
from nerva.matrix_operations import Matrix, to_numpy

# nerva-numpy has these names in this module.
from nerva.npz_files import load_dict_from_npz as load_dict_from_npz
from nerva.npz_files import save_dict_to_npz as save_dict_to_npz
from nerva.whole_files import whole_or_absent as whole_or_absent


class _Fallback(MetaPathFinder):
    """Finds modules in some folders, if no other finder has found them."""

    def __init__(self) -> None:
        self.folders: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, self.folders) if path is None else None
        return spec if spec and spec.loader else None  # without a loader, it is just a folder of that name


_FALLBACK = _Fallback()


def import_here(name: str) -> ModuleType:
    """Import a module from the working directory, or else from where Python looks.

    During the import the working directory is first on `sys.path`, and afterwards it is no longer there, so that its
    files do not shadow modules that other code imports later. Imports inside the functions of the module, which run
    later, find the modules beside it if there is no other module of that name.

    Raises:
        NervaError: if there is no such module, or importing it raises an error.
    """
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise NervaError(f'there is no module "{error.name}" to import, neither in {here} nor installed') from error
    except NervaError:
        raise
    except Exception as error:  # a user-defined module may raise anything
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        line = f", {places[-1].filename}, line {places[-1].lineno}" if places[1:] else ""
        raise NervaError(f'the module "{name}" can\'t be imported: {type(error).__name__}: {error}{line}') from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if added and here not in _FALLBACK.folders and Path(getattr(module, "__file__", None) or here).is_relative_to(here):
        _FALLBACK.folders.insert(0, here)
        if _FALLBACK not in sys.meta_path:
            sys.meta_path.append(_FALLBACK)
    return module


def set_numpy_options() -> None:
    """Let NumPy print matrices on few lines and without exponents."""
    np.set_printoptions(precision=8, edgeitems=3, threshold=5, suppress=True, linewidth=160)


def pp_numpy(name: str, arr: Matrix) -> None:
    """Print a name, a shape and the elements."""
    shape = "x".join(map(str, arr.shape)) if arr.ndim in (1, 2) else str(arr.shape).strip("()")
    print(f"{name} ({shape})")
    print(arr)


def pp(name: str, x: Matrix) -> None:
    """Print a name, a shape and the elements."""
    pp_numpy(name, to_numpy(x))


class StopWatch:
    """Measures wall time, in seconds."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def seconds(self) -> float:
        """The seconds since the start."""
        return time.perf_counter() - self.start

    def reset(self) -> None:
        """Restart from 0."""
        self.start = time.perf_counter()


class FunctionCall:
    """A parsed specification: a name and its arguments, as text.

    `values` holds the arguments without a key, `arguments` those with a key. A single argument without a key may stand
    for any key, so it is also in `arguments`, under "".
    """

    def __init__(self, name: str, arguments: dict[str, str], values: tuple[str, ...] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.values = values

    def has_key(self, key: str) -> bool:
        """Whether there is an argument with this key."""
        return key in self.arguments

    def get_value(self, key: str) -> str:
        """The text of an argument: that with this key or a single one without a key; "" if there is none."""
        if key in self.arguments:
            return self.arguments[key]
        if len(self.arguments) == 1:
            return self.arguments.get("", "")
        return ""

    def as_scalar(self, key: str, default_value: float | None = None) -> float:
        """The argument as a number.

        Raises:
            NervaError: if it is missing and has no default, or if it is not a number.
        """
        value = self.get_value(key)
        if not value:
            if default_value is None:
                raise NervaError(f'{self.name} needs a value for "{key}", as in {self.name}({key}=0.1)')
            return default_value
        try:
            return float(value)
        except ValueError:
            raise NervaError(f'{self.name}: "{key}" should be a number, not "{value}"') from None

    def as_string(self, key: str, default_value: str | None = None) -> str:
        """The argument as text.

        Raises:
            NervaError: if it is missing and has no default.
        """
        value = self.get_value(key)
        if not value:
            if default_value is None:
                raise NervaError(f'{self.name} needs a value for "{key}"')
            return default_value
        return value


# Longer or deeper specifications are mistakes, and parsing them would take long.
MAX_LENGTH = 10_000
MAX_DEPTH = 20

_CALL = re.compile(r"(\w+)\s*(?:\((.*)\))?", re.DOTALL)
_ARGUMENT = re.compile(r"(?:([A-Za-z_]\w*)\s*=\s*)?([^\s=].*)", re.DOTALL)


def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between the separators that are outside all brackets."""
    parts, start, depth = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            break
        if depth > MAX_DEPTH:
            raise NervaError(f'"{shown(text)}": brackets are nested more than {MAX_DEPTH} deep')
        if character == separator and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    if depth != 0:
        raise NervaError(f'"{shown(text)}": the brackets do not match')
    return [*parts, text[start:]]


def shown(text: str) -> str:
    """A text as it is shown in a message: the middle of a long one is left out."""
    return text if len(text) <= 200 else f"{text[:100]} ... {text[-90:]}"


def parse_function_call(text: str) -> FunctionCall:
    """Parse `Name`, `Name(value, ...)` or `Name(key=value, ...)`.

    A value is a text without commas and `=` outside brackets. If there is a semicolon between the arguments, as in
    `MultiStepLR(0.1;1,3,5;0.1)`, arguments are separated by semicolons, and values may have commas.

    Raises:
        NervaError: if the text has another form, or is too long or too deeply nested; the message says what is wrong.
    """
    if len(text) > MAX_LENGTH:
        raise NervaError(f'"{shown(text)}" has {len(text)} characters; a specification may have {MAX_LENGTH}')
    match = _CALL.fullmatch(text.strip())
    if not match:
        raise NervaError(f'could not parse "{shown(text)}": expected Name, Name(value) or Name(key=value, ...)')
    name, inside = match.group(1), match.group(2)
    if inside is None or not inside.strip():
        return FunctionCall(name, {})
    values: list[str] = []
    arguments: dict[str, str] = {}
    for part in _split(inside, ";" if len(_split(inside, ";")) > 1 else ","):
        argument = _ARGUMENT.fullmatch(part.strip())
        if not argument or len(_split(argument.group(2), "=")) > 1:
            raise NervaError(f'could not parse "{shown(text)}": "{shown(part.strip())}" should be a value or key=value')
        key, value = argument.groups()
        if key is None:
            if arguments:
                raise NervaError(
                    f'could not parse "{shown(text)}": "{shown(value)}" has no key, but follows one that has'
                )
            values.append(value)
        elif key in arguments:
            raise NervaError(f'could not parse "{shown(text)}": "{shown(key)}" is given twice')
        else:
            arguments[key] = value
    if len(values) == 1 and not arguments:
        arguments[""] = values[0]
    return FunctionCall(name, arguments, tuple(values))
