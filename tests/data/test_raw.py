"""Raw files: how they are found, checked and downloaded."""

import hashlib
import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nerva.data import RawFile, prepare
from nerva.data.raw import collect, read_idx
from nerva.errors import NervaError
from tests.data.raw_files import ARCHIVES, CONTENTS, DAMAGES, Mirror, flip, idx, nowhere, put


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_raw_files_are_found(dataset, tmp_path, monkeypatch, compressed: bool, named: bool) -> None:
    if named:
        put(tmp_path / "named" / "tiny", compressed)
        monkeypatch.setenv("NERVA_DATA_DIR", str(tmp_path / "named"))
    else:
        put(tmp_path / "data" / "raw" / "tiny", compressed)
    files = collect(dataset, tmp_path / "data")
    assert {name: content for name, (_, content) in files.items()} == CONTENTS


def test_the_named_folder_comes_first(dataset, tmp_path, monkeypatch) -> None:
    put(tmp_path / "data" / "raw" / "tiny")
    named = put(tmp_path / "named" / "tiny")
    monkeypatch.setenv("NERVA_DATA_DIR", str(tmp_path / "named"))
    assert {path.parent for path, _ in collect(dataset, tmp_path / "data").values()} == {named}


def test_a_missing_named_folder_is_reported(dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NERVA_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(NervaError, match=r"NERVA_DATA_DIR names .*nowhere, which is not a folder"):
        prepare(dataset, tmp_path / "data")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_by_name(dataset, tmp_path, damage: str) -> None:
    raw = put(tmp_path / "raw" / "tiny")
    DAMAGES[damage](raw / "train_images.gz")
    with pytest.raises(NervaError, match=r"tiny/train_images\.gz is (damaged|not the right)"):
        prepare(dataset, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tiny.lock", "raw"]


def test_an_uncompressed_file_with_a_flipped_byte(dataset, tmp_path) -> None:
    raw = put(tmp_path / "raw" / "tiny", compressed=False)
    (raw / "test_labels").write_bytes(flip(CONTENTS["test_labels"]))
    with pytest.raises(NervaError, match=r"tiny/test_labels is not the right file.*sha256 of the uncompressed"):
        prepare(dataset, tmp_path)


def test_files_of_which_only_the_checksum_of_the_archive_is_known(dataset, tmp_path) -> None:
    md5 = {name: RawFile(f"{name}.gz", md5=hashlib.md5(ARCHIVES[f"{name}.gz"]).hexdigest()) for name in dataset.files}
    known = replace(dataset, files=md5)
    raw = put(tmp_path / "raw" / "tiny")
    assert prepare(known, tmp_path).npz.exists()
    (raw / "train_labels.gz").unlink()
    (raw / "train_labels").write_bytes(CONTENTS["train_labels"])
    with pytest.raises(NervaError, match=r"train_labels cannot be checked: only the checksum of the archive"):
        collect(known, tmp_path)
    assert known.checksum != dataset.checksum


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00\x08", b"\x01\x00\x08\x01\x00\x00\x00\x00", idx(np.zeros((2, 2))) + b"x"]
)
def test_contents_in_another_format_are_refused(content: bytes) -> None:
    with pytest.raises(NervaError, match="somewhere"):
        read_idx(content, Path("somewhere"))


def test_a_download(dataset, tmp_path, mirror) -> None:
    dataset = replace(dataset, mirrors=[mirror.url])
    assert collect(dataset, tmp_path)["test_images"][1] == CONTENTS["test_images"]
    assert sorted(path.name for path in (tmp_path / "raw" / "tiny").iterdir()) == sorted(ARCHIVES)
    asked = len(mirror.asked)
    collect(dataset, tmp_path)
    assert len(mirror.asked) == asked == 4


def test_missing_files_are_downloaded(dataset, tmp_path, mirror) -> None:
    (put(tmp_path / "raw" / "tiny") / "test_images.gz").unlink()
    collect(replace(dataset, mirrors=[mirror.url]), tmp_path)
    assert mirror.asked == ["/data/test_images.gz"]


@pytest.mark.parametrize("trouble", ["missing", "wrong", "cut off", "forbidden", "an odd length", "nobody"])
def test_the_next_mirror_is_tried(dataset, tmp_path, mirror, trouble: str) -> None:
    bad = Mirror()
    thread = threading.Thread(target=bad.serve_forever)
    thread.start()
    if trouble == "missing":
        bad.files.clear()
    elif trouble == "wrong":
        bad.files["train_images.gz"] = ARCHIVES["test_images.gz"]
    elif trouble == "cut off":
        bad.files["train_images.gz"] = ARCHIVES["train_images.gz"][:-20]
    elif trouble == "forbidden":
        bad.status = 403
    elif trouble == "an odd length":
        bad.length = "many"
        bad.files["train_images.gz"] = b""
    url = nowhere() if trouble == "nobody" else bad.url
    try:
        # Cut off: the server announces the whole length and then closes.
        contents = collect(replace(dataset, mirrors=[url, mirror.url]), tmp_path)
    finally:
        bad.shutdown()
        bad.server_close()
        thread.join()
    assert contents["train_images"][1] == CONTENTS["train_images"]


def test_no_mirror_has_the_file(dataset, tmp_path, mirror) -> None:
    mirror.files["train_images.gz"] = flip(ARCHIVES["train_images.gz"])
    nobody = nowhere()
    with pytest.raises(NervaError) as raised:
        prepare(replace(dataset, mirrors=[nobody, mirror.url]), tmp_path)
    message = str(raised.value)
    assert f"{nobody}/train_images.gz: " in message
    assert "Connection refused" in message
    assert f"{mirror.url}/train_images.gz: it gave something else than the file" in message
    assert f"Put train_images.gz, train_labels.gz, test_images.gz, test_labels.gz into {tmp_path}/raw/tiny" in message
    assert not list((tmp_path / "raw" / "tiny").iterdir())


def test_a_download_leaves_loggers_as_they_were(dataset, tmp_path) -> None:
    logger = logging.getLogger("urllib3")
    before = logger.level
    with pytest.raises(NervaError, match="could not be fetched"):
        collect(replace(dataset, mirrors=[nowhere()]), tmp_path)
    assert logger.level == before != logging.ERROR
