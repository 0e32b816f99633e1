"""Raw files, downloads from a server of the test's own, prepared data, and the choice of `auto`."""

import gzip
import hashlib
import io
import json
import shutil
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nerva.data import Dataset, RawFile, choose, load_prepared, prepare
from nerva.data.raw import collect, read_idx
from nerva.datasets import load_npz_dataset
from nerva.errors import NervaError


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in IDX format."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


RNG = np.random.default_rng(0)
ARRAYS = {
    "train_images": RNG.integers(0, 256, (20, 4, 3)),
    "train_labels": np.arange(20) % 5,
    "test_images": RNG.integers(0, 256, (10, 4, 3)),
    "test_labels": np.arange(10) % 5,
}
CONTENTS = {name: idx(array) for name, array in ARRAYS.items()}
# mtime 0: so that archives have the same bytes each time.
ARCHIVES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}


@pytest.fixture(autouse=True)
def no_data_dir(monkeypatch) -> None:
    monkeypatch.delenv("NERVA_DATA_DIR", raising=False)


@pytest.fixture
def dataset() -> Dataset:
    """A small dataset in MNIST's format."""
    return Dataset(
        name="tiny",
        title="Tiny",
        source="idx",
        features=12,
        classes=5,
        train=20,
        test=10,
        validation=5,
        files={n: RawFile(f"{n}.gz", sha256=hashlib.sha256(c).hexdigest()) for n, c in CONTENTS.items()},
    )


def put(folder: Path, compressed: bool = True) -> Path:
    """Writes the raw files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for archive, content in ARCHIVES.items():
        path = folder / (archive if compressed else archive.removesuffix(".gz"))
        path.write_bytes(content if compressed else gzip.decompress(content))
    return folder


class Mirror(ThreadingHTTPServer):
    """A web server on this machine that gives files, and whatever else it is told to."""

    def __init__(self) -> None:
        self.files = dict(ARCHIVES)
        self.status = 200
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                content = mirror.files.get(self.path.rpartition("/")[2])
                self.send_response(mirror.status if content is not None else 404)
                self.send_header("Content-Length", str(len(ARCHIVES.get(self.path.rpartition("/")[2], b""))))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    server = Mirror()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def nowhere() -> str:
    """An address on this machine where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


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


def test_a_named_folder_that_is_not_there(dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NERVA_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(NervaError, match=r"NERVA_DATA_DIR names .*nowhere, which is not a folder"):
        prepare(dataset, tmp_path / "data")


def flip(content: bytes) -> bytes:
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    return bytes(flipped)


DAMAGES = {
    "a flipped byte": lambda path: path.write_bytes(gzip.compress(flip(gzip.decompress(path.read_bytes())))),
    "a flipped byte of the archive": lambda path: path.write_bytes(flip(path.read_bytes())),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "another file": lambda path: path.write_bytes(ARCHIVES["test_labels.gz"]),
    "a web page": lambda path: path.write_text("<html>not found</html>"),
}


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


def test_files_that_only_have_the_archives_checksum(dataset, tmp_path) -> None:
    md5 = {name: RawFile(f"{name}.gz", md5=hashlib.md5(ARCHIVES[f"{name}.gz"]).hexdigest()) for name in dataset.files}
    known = replace(dataset, files=md5)
    raw = put(tmp_path / "raw" / "tiny")
    assert prepare(known, tmp_path).npz.exists()
    (raw / "train_labels.gz").unlink()
    (raw / "train_labels").write_bytes(CONTENTS["train_labels"])
    with pytest.raises(NervaError, match=r"train_labels can't be checked: only the checksum of the archive"):
        collect(known, tmp_path)
    assert known.checksum != dataset.checksum


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00\x08", b"\x01\x00\x08\x01\x00\x00\x00\x00", idx(np.zeros((2, 2))) + b"x"]
)
def test_contents_that_are_not_idx(content: bytes) -> None:
    with pytest.raises(NervaError, match="somewhere"):
        read_idx(content, Path("somewhere"))


def test_a_download(dataset, tmp_path, mirror) -> None:
    dataset = replace(dataset, mirrors=[mirror.url])
    assert collect(dataset, tmp_path)["test_images"][1] == CONTENTS["test_images"]
    assert sorted(path.name for path in (tmp_path / "raw" / "tiny").iterdir()) == sorted(ARCHIVES)
    asked = len(mirror.asked)
    collect(dataset, tmp_path)
    assert len(mirror.asked) == asked == 4


def test_what_is_missing_is_downloaded(dataset, tmp_path, mirror) -> None:
    (put(tmp_path / "raw" / "tiny") / "test_images.gz").unlink()
    collect(replace(dataset, mirrors=[mirror.url]), tmp_path)
    assert mirror.asked == ["/data/test_images.gz"]


@pytest.mark.parametrize("trouble", ["not there", "wrong", "cut off", "forbidden", "nobody"])
def test_the_next_mirror_is_asked(dataset, tmp_path, mirror, trouble: str) -> None:
    bad = Mirror()
    thread = threading.Thread(target=bad.serve_forever)
    thread.start()
    if trouble == "not there":
        bad.files.clear()
    elif trouble == "wrong":
        bad.files["train_images.gz"] = ARCHIVES["test_images.gz"]
    elif trouble == "cut off":
        bad.files["train_images.gz"] = ARCHIVES["train_images.gz"][:-20]
    elif trouble == "forbidden":
        bad.status = 403
    url = nowhere() if trouble == "nobody" else bad.url
    try:
        # Cut off: the server announces the whole length and then closes.
        contents = collect(replace(dataset, mirrors=[url, mirror.url]), tmp_path)
    finally:
        bad.shutdown()
        bad.server_close()
        thread.join()
    assert contents["train_images"][1] == CONTENTS["train_images"]


def test_no_mirror_gives_it(dataset, tmp_path, mirror) -> None:
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


def test_prepared_data(dataset, tmp_path) -> None:
    put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    data = load_npz_dataset(prepared.npz)
    assert data["Xtrain"].dtype == np.float32
    assert data["Ttrain"].dtype == np.int64
    np.testing.assert_allclose(data["Xtest"], ARRAYS["test_images"].reshape(10, 12) / 255, rtol=1e-6)
    np.testing.assert_array_equal(data["Ttrain"], ARRAYS["train_labels"])
    provenance = json.loads(prepared.provenance.read_text())
    assert provenance["shapes"] == {"Xtrain": [20, 12], "Ttrain": [20], "Xtest": [10, 12], "Ttest": [10]}
    assert provenance["samples_per_class"] == {"train": [4] * 5, "test": [2] * 5}
    assert provenance["source"]["test_labels"]["sha256_of_uncompressed"] == dataset.files["test_labels"].sha256
    arrays, sha256 = load_prepared(dataset, tmp_path)
    assert sha256 == provenance["sha256"]
    assert set(arrays) == {"Xtrain", "Ttrain", "Xtest", "Ttest"}


def test_data_are_prepared_once(dataset, tmp_path) -> None:
    raw = put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    before = prepared.npz.stat().st_mtime_ns
    shutil.rmtree(raw)
    assert prepare(dataset, tmp_path) == prepared
    assert prepared.npz.stat().st_mtime_ns == before
    # What was left half-done, without its provenance, is done again.
    prepared.provenance.unlink()
    with pytest.raises(NervaError, match="Tiny is not there"):
        prepare(dataset, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": 21}, r"tiny: Xtrain has shape \(20, 12\), but \(21, 12\) is declared"),
        ({"classes": 4}, "tiny: Ttrain has the label 4, outside its classes"),
        ({"sha256": "0" * 64}, "tiny: the sha256 is .*, but 0000000.* is declared"),
    ],
)
def test_data_that_are_not_what_is_declared(dataset, tmp_path, change: dict, message: str) -> None:
    put(tmp_path / "raw" / "tiny")
    with pytest.raises(NervaError, match=message):
        prepare(replace(dataset, **change), tmp_path)
    assert not list(tmp_path.glob("tiny.*"))


def test_prepared_data_that_were_changed(dataset, tmp_path) -> None:
    put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    arrays = load_npz_dataset(prepared.npz)
    arrays["Xtest"][3, 3] += 1
    np.savez(prepared.npz, **arrays)
    with pytest.raises(NervaError, match=r"tiny\.npz is not what was prepared.*delete it"):
        load_prepared(dataset, tmp_path)
    prepared.provenance.write_text("{}")
    with pytest.raises(NervaError, match=r"tiny\.json is missing or damaged"):
        load_prepared(dataset, tmp_path)


def test_auto_takes_what_is_there(dataset, tmp_path, capsys) -> None:
    put(tmp_path / "raw" / "tiny")
    assert choose(dataset, "digits", tmp_path).chosen == "tiny"
    assert "data=auto takes tiny: its files are in " in capsys.readouterr().err


def test_auto_takes_what_can_be_fetched(dataset, tmp_path, mirror, capsys) -> None:
    assert choose(replace(dataset, mirrors=[mirror.url]), "digits", tmp_path).chosen == "tiny"
    assert mirror.asked == ["/data/train_labels.gz"]
    assert "it can be downloaded" in capsys.readouterr().err


def test_auto_takes_the_other_and_says_so_once(dataset, tmp_path, capsys) -> None:
    dataset = replace(dataset, mirrors=[nowhere()])
    choice = choose(dataset, "digits", tmp_path)
    assert choice.chosen == "digits"
    notice = capsys.readouterr().err
    assert "data=auto takes digits: Tiny is not in " in notice
    assert "say data=tiny" in notice
    # The choice stays, also when the files are there later, until its file is deleted.
    put(tmp_path / "raw" / "tiny")
    assert choose(dataset, "digits", tmp_path) == choice
    assert capsys.readouterr().err == ""
    (tmp_path / "auto.json").unlink()
    assert choose(dataset, "digits", tmp_path).chosen == "tiny"


def test_auto_refuses_damaged_files(dataset, tmp_path) -> None:
    raw = put(tmp_path / "raw" / "tiny")
    DAMAGES["cut off"](raw / "test_labels.gz")
    with pytest.raises(NervaError, match=r"test_labels\.gz is damaged"):
        choose(dataset, "digits", tmp_path)
    assert not (tmp_path / "auto.json").exists()


def test_auto_refuses_a_file_that_is_no_choice(dataset, tmp_path) -> None:
    for text in ("{", '{"chosen": "auto", "reason": ""}', '{"chosen": 3, "reason": ""}', "[]"):
        (tmp_path / "auto.json").write_text(text)
        with pytest.raises(NervaError, match=r"auto\.json should record a choice"):
            choose(dataset, "digits", tmp_path)


def cifar(train: np.ndarray, test: np.ndarray) -> bytes:
    """An archive like that of CIFAR-10's binary version."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        parts = {f"data_batch_{i + 1}.bin": part for i, part in enumerate(np.split(train, 5))} | {
            "test_batch.bin": test
        }
        for name, records in parts.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = records.size
            archive.addfile(member, io.BytesIO(records.tobytes()))
    return out.getvalue()


def test_cifar(tmp_path) -> None:
    train, test = (
        np.hstack([np.arange(n)[:, None] % 5, RNG.integers(0, 256, (n, 12))]).astype(np.uint8) for n in (20, 6)
    )
    content = cifar(train, test)
    dataset = Dataset(name="cifar", source="cifar", features=12, classes=5, train=20, test=6)
    dataset.files = {"archive": RawFile("cifar.tar.gz", md5=hashlib.md5(content).hexdigest())}
    raw = tmp_path / "raw" / "cifar"
    raw.mkdir(parents=True)
    (raw / "cifar.tar.gz").write_bytes(content)
    data = load_npz_dataset(prepare(dataset, tmp_path).npz)
    np.testing.assert_array_equal(data["Ttrain"], train[:, 0])
    np.testing.assert_allclose(data["Xtest"], test[:, 1:] / 255, rtol=1e-6)
    (tmp_path / "cifar.json").unlink()
    broken = gzip.compress(b"no archive")
    (raw / "cifar.tar.gz").write_bytes(broken)
    dataset.files["archive"].md5 = hashlib.md5(broken).hexdigest()
    with pytest.raises(NervaError, match=r"cifar\.tar\.gz is not the binary version of CIFAR-10"):
        prepare(dataset, tmp_path)


def test_mnist(mnist_dir, tmp_path, monkeypatch) -> None:
    from nerva.experiment.config.composition import compose

    monkeypatch.setenv("NERVA_DATA_DIR", str(mnist_dir))
    mnist = compose(["data=mnist"]).data
    arrays, sha256 = load_prepared(mnist, prepare(mnist, tmp_path).npz.parent)
    assert sha256 == mnist.sha256 == mnist.checksum
    assert arrays["Xtrain"].shape == (60000, 784)
    assert arrays["Xtrain"].max() == 1


def test_digits(tmp_path) -> None:
    from nerva.experiment.config.composition import compose

    digits = compose(["data=digits"]).data
    arrays, _ = load_prepared(digits, prepare(digits, tmp_path).npz.parent)
    assert (arrays["Xtrain"].min(), arrays["Xtrain"].max()) == (0, 1)
    # Stratified: each part has of each class what its size promises.
    counts = np.bincount(arrays["Ttest"]) / np.bincount(np.concatenate([arrays["Ttrain"], arrays["Ttest"]]))
    np.testing.assert_allclose(counts, 297 / 1797, atol=0.005)
