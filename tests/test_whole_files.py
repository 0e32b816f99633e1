"""Opening files for reading, and writing files that are whole or absent."""

import os

import pytest

from nerva.errors import NervaError
from nerva.experiment.records.files import read_record
from nerva.npz_files import load_dict_from_npz
from nerva.whole_files import open_regular


def test_regular_files_are_opened(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"x"


def test_pipes_and_devices_are_refused(tmp_path) -> None:
    """They could be read for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "zeros"):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(tmp_path / name)
        with pytest.raises(NervaError, match="not a regular file"):
            read_record(tmp_path / name, dict, "")
        with pytest.raises(NervaError, match="not a regular file"):
            load_dict_from_npz(tmp_path / name)
