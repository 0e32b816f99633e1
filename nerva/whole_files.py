"""Opening files for reading, and writing files that are whole or absent."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from os import PathLike
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading. A pipe or a device could be read for ever.

    Raises:
        OSError: if the file is missing, can't be read, or is not a regular file.
    """
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


@contextmanager
def whole_or_absent(path: str | PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` at the end, unless there was an error.

    A process that reads `path` finds the old file or the whole new one, even after a crash or a power failure.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that write the same file have different ids.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # A full disk is reported without a file name, and the temporary name means nothing to a user.
        error.filename = str(path) if error.filename in (None, str(temporary)) else error.filename
        raise
    finally:
        temporary.unlink(missing_ok=True)
