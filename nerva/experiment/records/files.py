"""Reading and writing records as JSON files."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from nerva.data.json_files import read_json, read_limited
from nerva.errors import NervaError
from nerva.whole_files import open_regular, whole_or_absent

T = TypeVar("T")


def read_record(path: Path, kind: type[T], repair_hint: str) -> T:
    """Read a JSON file as an object of a type, which may be a dataclass.

    Args:
        path: the file.
        kind: the type.
        repair_hint: what to do if the file is damaged, for the message.

    Raises:
        NervaError: if the file can't be read, or its content has another shape; the message names the key.
    """
    with _repair_named(path, repair_hint):
        return read_json(path, kind)


def read_texts(path: Path, repair_hint: str) -> dict[str, str]:
    """Read a JSON file of texts by name. A text may have surrogates, which stand for bytes that are not UTF-8.

    Raises:
        NervaError: if the file can't be read, or its content has another shape.
    """
    with _repair_named(path, repair_hint):
        try:
            content = json.loads(read_limited(path))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
            raise ValueError("it should have one text per name")
        return content


@contextmanager
def _repair_named(path: Path, repair_hint: str) -> Iterator[None]:
    """Raise a NervaError, which says how to repair the file, for one that can't be read or is damaged."""
    try:
        yield
    except OSError as error:
        raise NervaError(f"{path} can't be read ({error.strerror}); {repair_hint}") from None
    except ValueError as error:
        raise NervaError(f"{path} is damaged ({error}); {repair_hint}") from None


def write_record(path: Path, record: Any) -> None:
    """Write a dataclass, a dictionary or a list as a JSON file, whole or not at all."""
    content = dataclasses.asdict(record) if dataclasses.is_dataclass(record) else record  # type: ignore[arg-type]
    text = json.dumps(_without_special_numbers(content), indent=2, default=_iso, allow_nan=False)
    with whole_or_absent(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def file_checksum(path: Path) -> str:
    """The sha256 of a file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _iso(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds")


def _without_special_numbers(value: Any) -> Any:
    """The value with "inf", "-inf" and "nan" as strings, because JSON has no such numbers."""
    if isinstance(value, dict):
        return {key: _without_special_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_special_numbers(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
