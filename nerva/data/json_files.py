"""Small JSON files, read into dataclasses."""

from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_MAX_BYTES = 1 << 20


def read_json(path: Path, type_: type[T]) -> T:
    """Read a JSON file into a dataclass, and check the types of its fields. Unknown fields are ignored.

    Raises:
        OSError: if the file is missing or cannot be read.
        ValueError: if its content is not as the dataclass declares; the message names the first field that is not.
    """
    # Imported here: it takes a tenth of a second, and not every command reads such a file.
    from pydantic import TypeAdapter, ValidationError

    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES} bytes")
    try:
        return TypeAdapter(type_).validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{field}: {first['msg']}" if field else first["msg"]) from None
