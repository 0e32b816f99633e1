"""JSON files, read into dataclasses and other types."""

import functools
from pathlib import Path
from typing import Any, TypeVar

from nerva.whole_files import open_regular

T = TypeVar("T")

_MAX_BYTES = 1 << 24


def read_json(path: Path, type_: type[T]) -> T:
    """Read a JSON file into a type, and check its shape. Unknown fields are ignored.

    Raises:
        OSError: if the file is missing or cannot be read.
        ValueError: if it has more than 16 MiB, or its content has another shape; the message names the first field
            that differs.
    """
    return parse_json(read_limited(path), type_)


def read_limited(path: Path) -> bytes:
    """Read a file that should not be large.

    Raises:
        OSError: if the file is missing or cannot be read.
        ValueError: if it has more than 16 MiB.
    """
    with open_regular(path) as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES} bytes")
    return content


def parse_json(content: bytes | str, type_: type[T]) -> T:
    """A JSON text as a value of a type. Unknown fields are ignored.

    Raises:
        ValueError: if it has another shape; the message names the first field that differs.
    """
    from pydantic import ValidationError  # it takes a tenth of a second, and not every command reads such a text

    try:
        return _adapter(type_).validate_json(content)  # type: ignore[no-any-return, arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{field}: {first['msg']}" if field else first["msg"]) from None


@functools.cache
def _adapter(type_: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(type_)
