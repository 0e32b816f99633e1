"""Locks between processes, also of several machines. The system releases the lock of a process that dies."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from nerva.errors import NervaError

_NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(file: Path, timeout: float = -1) -> Iterator[None]:
    """Hold the lock of a file, which is created if necessary.

    Args:
        file: the file. It need not have any content.
        timeout: how many seconds to wait for a process that holds the lock; -1 for as long as it takes.

    Raises:
        filelock.Timeout: if another process still holds the lock.
        NervaError: if the file system has no locks.
    """
    # By default, filelock replaces missing locks by the existence of a file. That outlives a process that is killed.
    lock = FileLock(file, timeout=timeout, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            raise NervaError(f"{file}: {error.strerror}; nerva needs a file system with locks") from None
        raise
    try:
        yield
    finally:
        lock.release()
