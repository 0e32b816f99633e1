"""Locks between processes."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
from filelock import Timeout

from nerva.data.locks import locked
from nerva.errors import NervaError


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(Timeout), locked(tmp_path / "lock", timeout=0):
        pass
    with locked(tmp_path / "lock", timeout=0):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(NervaError, match=r"lock: .*; nerva needs a file system with locks"), locked(tmp_path / "lock"):
        pass


def test_other_errors_are_those_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError), locked(tmp_path / "file" / "lock", timeout=0):  # noqa: PT011
        pass
