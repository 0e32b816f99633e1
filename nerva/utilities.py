"""Errors, specifications, printing, timing and `.npz` files."""

import importlib
import math
import os
import re
import sys
import time
import traceback
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nerva.errors import NervaError
from nerva.matrix_operations import Matrix


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


def _is_finite(value: float) -> bool:
    """Whether a number is finite; an integer that is too large for a float is not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def positive(name: str, value: float) -> float:
    """Return the value. Raise a NervaError unless it is finite and greater than 0."""
    if not (value > 0 and _is_finite(value)):
        raise NervaError(f"{name} should be greater than 0 and finite, not {value}")
    return value


def not_negative(name: str, value: float) -> float:
    """Return the value. Raise a NervaError unless it is finite and 0 or more."""
    if not (value >= 0 and _is_finite(value)):
        raise NervaError(f"{name} should be 0 or more and finite, not {value}")
    return value


def set_numpy_options() -> None:
    """Makes NumPy print matrices on few lines, without exponents."""
    np.set_printoptions(precision=8, edgeitems=3, threshold=5, suppress=True, linewidth=160)


def pp_numpy(name: str, arr: Matrix) -> None:
    """Prints a name, a shape and the elements."""
    shape = "x".join(map(str, arr.shape)) if arr.ndim in (1, 2) else str(arr.shape).strip("()")
    print(f"{name} ({shape})")
    print(arr)


def pp(name: str, x: Matrix) -> None:
    """Prints a name, a shape and the elements."""
    pp_numpy(name, x)


class StopWatch:
    """Measures seconds of wall time since it was made or reset."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    def seconds(self) -> float:
        """The seconds since the start."""
        return time.perf_counter() - self.start

    def reset(self) -> None:
        """Starts again from 0."""
        self.start = time.perf_counter()


class FunctionCall:
    """A parsed specification: a name, and its arguments as text.

    `values` are the arguments written without a key, `arguments` those with one. A single value stands for
    whichever key is asked for, and is in `arguments` too, under "".
    """

    def __init__(self, name: str, arguments: dict[str, str], values: tuple[str, ...] = ()) -> None:
        self.name = name
        self.arguments = arguments
        self.values = values

    def has_key(self, key: str) -> bool:
        """Whether an argument with this key was written."""
        return key in self.arguments

    def get_value(self, key: str) -> str:
        """The argument's text; a single value without key stands for any key; "" where there is none."""
        if key in self.arguments:
            return self.arguments[key]
        if len(self.arguments) == 1:
            return self.arguments.get("", "")
        return ""

    def as_scalar(self, key: str, default_value: float | None = None) -> float:
        """The argument as a number.

        Raises:
            NervaError: if it is missing and has no default, or if it isn't a number.
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


_CALL = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_ARGUMENT = re.compile(r"\s*(?:([A-Za-z_]\w*)\s*=)?\s*([^\s=](?:.*[^\s])?)\s*", re.DOTALL)


def _split(text: str, separator: str) -> list[str]:
    """The parts of a text between separators that stand outside all brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise NervaError(f'"{text}": the brackets do not match')
    return parts


def parse_function_call(text: str) -> FunctionCall:
    """Parses `Name`, `Name(value, …)` or `Name(key=value, …)`, and nothing else.

    A value is anything without a comma or `=`, or something in brackets. Where a semicolon stands between the
    arguments, as in `MultiStepLR(0.1;1,3,5;0.1)`, commas belong to the values.

    Raises:
        NervaError: if the text has any other shape; the message says which part is wrong.
    """
    match = _CALL.fullmatch(text)
    if not match:
        raise NervaError(f'could not parse "{text}": expected Name, Name(value) or Name(key=value, ...)')
    name, inside = match.group(1), match.group(2)
    if inside is None or not inside.strip():
        return FunctionCall(name, {})
    values: list[str] = []
    arguments: dict[str, str] = {}
    for part in _split(inside, ";" if len(_split(inside, ";")) > 1 else ","):
        argument = _ARGUMENT.fullmatch(part)
        if not argument or len(_split(argument.group(2), "=")) > 1:
            raise NervaError(f'could not parse "{text}": "{part.strip()}" should be a value or key=value')
        key, value = argument.groups()
        if key is None:
            if arguments:
                raise NervaError(f'could not parse "{text}": "{value}" has no key, but stands behind one that has')
            values.append(value)
        elif key in arguments:
            raise NervaError(f'could not parse "{text}": "{key}" is given twice')
        else:
            arguments[key] = value
    if len(values) == 1 and not arguments:
        arguments[""] = values[0]
    return FunctionCall(name, arguments, tuple(values))


@contextmanager
def whole_or_absent(path: str | PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` at the end, unless there was an error.

    Whoever reads `path` finds the old file or the whole new one, also after a crash or a power cut.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps apart two processes that write the same file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # A full disk does not say which file has no place, and the temporary one's name means nothing to anybody.
        error.filename = str(path) if error.filename in (None, str(temporary)) else error.filename
        raise
    finally:
        temporary.unlink(missing_ok=True)


def load_dict_from_npz(filename: str | PathLike[str]) -> dict[str, Matrix]:
    """Reads the arrays of an `.npz` file. Never unpickles.

    Raises:
        NervaError: if the file is missing, isn't a whole `.npz` file, or holds Python objects.
    """
    try:
        # Opened here, because NumPy does not close a file that it can't read.
        with Path(filename).open("rb") as file, np.load(file, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError:
        raise NervaError(f"{filename}: there is no such file") from None
    except (ValueError, TypeError, EOFError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        # NumPy's advice is to unpickle, which is never done here.
        reason = "it holds Python objects" if "allow_pickle" in str(error) else error
        raise NervaError(f"{filename} is not a readable .npz file of plain arrays ({reason})") from error


def save_dict_to_npz(filename: str | PathLike[str], data: dict[str, Matrix]) -> None:
    """Writes arrays to a compressed `.npz` file, whole or not at all; adds the suffix if it is missing."""
    path = Path(filename)
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")
    with whole_or_absent(path) as temporary:
        arrays: dict[str, Any] = data
        np.savez_compressed(temporary, **arrays)
