"""Prepared datasets: their arrays, their provenance, and the checks when they are loaded."""

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import time
from dataclasses import replace

import numpy as np
import pytest

from nerva.data import Dataset, RawFile, load_prepared, prepare
from nerva.datasets import checksum, load_npz_dataset
from nerva.errors import NervaError
from tests.data.raw_files import ARRAYS, RNG, put


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


def test_a_dataset_is_prepared_once(dataset, tmp_path) -> None:
    raw = put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    before = prepared.npz.stat().st_mtime_ns
    shutil.rmtree(raw)
    assert prepare(dataset, tmp_path) == prepared
    assert prepared.npz.stat().st_mtime_ns == before
    # Without its provenance, a file may be incomplete: it is prepared again.
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
def test_data_that_differ_from_the_declaration_are_refused(dataset, tmp_path, change: dict, message: str) -> None:
    put(tmp_path / "raw" / "tiny")
    with pytest.raises(NervaError, match=message):
        prepare(replace(dataset, **change), tmp_path)
    assert not list(tmp_path.glob("tiny.*"))


def test_changed_data_are_refused(dataset, tmp_path) -> None:
    put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    arrays = load_npz_dataset(prepared.npz)
    arrays["Xtest"][3, 3] += 1
    np.savez(prepared.npz, **arrays)
    with pytest.raises(NervaError, match=r"tiny\.npz is not what was prepared.*delete it"):
        load_prepared(dataset, tmp_path)


def test_the_checksum_is_computed_only_after_a_change(dataset, tmp_path, monkeypatch) -> None:
    put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    computed = []

    def counted(arrays: dict[str, np.ndarray]) -> str:
        computed.append(arrays)
        return checksum(arrays)

    monkeypatch.setattr(sys.modules["nerva.data.prepare"], "checksum", counted)
    load_prepared(dataset, tmp_path)
    load_prepared(dataset, tmp_path)
    assert len(computed) == 2  # the file is so new that another change might set the same time
    computed.clear()
    time.sleep(1.1)
    for _ in range(2):
        arrays, sha256 = load_prepared(dataset, tmp_path)
        assert sha256 == checksum(arrays)
    assert len(computed) == 1
    load_prepared(dataset, tmp_path, recompute=True)
    assert len(computed) == 2
    # The same size and mtime as before: only the ctime tells that the file was changed.
    status, content = prepared.npz.stat(), bytearray(prepared.npz.read_bytes())
    content[content.index(arrays["Xtest"].tobytes()) + 5] ^= 1
    prepared.npz.write_bytes(content)
    os.utime(prepared.npz, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(NervaError, match="delete the file"):  # the header of a small array is read with all of it
        load_prepared(dataset, tmp_path)


def test_a_damaged_stamp_is_ignored(dataset, tmp_path) -> None:
    put(tmp_path / "raw" / "tiny")
    prepare(dataset, tmp_path)
    time.sleep(1.1)
    _, sha256 = load_prepared(dataset, tmp_path)
    stamp = tmp_path / ".tiny.npz.sha256"
    assert stamp.read_text().startswith(sha256)
    for damage in (b"\xff\xfe", b"", f"{sha256} of another version".encode()):
        stamp.write_bytes(damage)
        assert load_prepared(dataset, tmp_path)[1] == sha256
    stamp.unlink()
    stamp.mkdir()
    assert load_prepared(dataset, tmp_path)[1] == sha256


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Invalid JSON"),
        ("{}", "name: Field required"),
        ("[1]", "Input should be"),
        ("[" * 100_000, "Invalid JSON"),
        ("\xff", "Invalid JSON"),
        (None, "No such file"),
    ],
)
def test_a_damaged_provenance_is_refused(dataset, tmp_path, text: str | None, reason: str) -> None:
    put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    if text is None:
        prepared.provenance.unlink()
    else:
        prepared.provenance.write_text(text, encoding="latin-1")
    with pytest.raises(
        NervaError, match=rf"tiny\.json is missing or damaged \(.*{reason}.*\); delete it, and .*tiny\.npz"
    ):
        load_prepared(dataset, tmp_path)


@pytest.mark.parametrize("key", ["name", "title", "sha256", "shapes", "samples_per_class"])
@pytest.mark.parametrize("value", [None, 3, [], {"a": "b"}])
def test_wrong_types_in_a_provenance_are_named(dataset, tmp_path, key: str, value: object) -> None:
    put(tmp_path / "raw" / "tiny")
    prepared = prepare(dataset, tmp_path)
    content = json.loads(prepared.provenance.read_text())
    prepared.provenance.write_text(json.dumps(content | {key: value}))
    with pytest.raises(NervaError, match=rf"tiny\.json is missing or damaged \({key}.*: Input should be"):
        load_prepared(dataset, tmp_path)


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
    # The split is stratified: the classes have the same proportions in both parts.
    counts = np.bincount(arrays["Ttest"]) / np.bincount(np.concatenate([arrays["Ttrain"], arrays["Ttest"]]))
    np.testing.assert_allclose(counts, 297 / 1797, atol=0.005)
