"""Damaged and hostile `.npz` files: each gives arrays or a NervaError, and takes little memory."""

import io
import json
import random
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from nerva.cli.inspect import command as inspect
from nerva.datasets import create_npz_dataloaders, load_npz_dataset
from nerva.errors import NervaError
from nerva.multilayer_perceptron import (
    MultilayerPerceptron,
    load_multilayer_perceptron,
    parse_multilayer_perceptron,
    read_architecture,
)
from nerva.npz_files import converted, load_dict_from_npz, save_dict_to_npz, unpacked_limit
from tests.helpers import ROOT

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
Files = dict[str, bytes]


def network() -> MultilayerPerceptron:
    layers = ["SReLU", "BatchNormalization(0.1)", "Dropout(0.1)", "Linear"]
    return parse_multilayer_perceptron(layers, [4, 3, 2], ["Adam"] * 3, ["HeNormal"] * 2, np.random.default_rng(0))


def npz(save: Callable[..., None], **arrays: Any) -> bytes:
    content = io.BytesIO()
    save(content, **arrays)
    return content.getvalue()


def contents() -> Files:
    """A file of each kind, as bytes."""
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(12, 4)).astype(np.float32), np.arange(12) % 2
    dataset = {"Xtrain": X, "Ttrain": T, "Xtest": X[:5], "Ttest": T[:5]}
    return {
        "dataset": npz(np.savez, **dataset),
        "compressed dataset": npz(np.savez_compressed, **dataset),
        "weights": npz(np.savez_compressed, **network().weights_and_bias()),
        "network": npz(np.savez_compressed, **network().to_dict()),
    }


def refusal(way: Callable[[], object]) -> str:
    """The message of the NervaError that a call raises; "" if it raises nothing."""
    try:
        way()
    except NervaError as error:
        return str(error)
    return ""


def load(kind: str, path: Path) -> None:
    """Load a file in all ways in which files of its kind are used. Only a NervaError may be raised."""
    ways: list[Callable[[], object]] = [lambda: load_dict_from_npz(path)]
    if "dataset" in kind:
        shapes = {"Xtrain": (12, 4), "Ttrain": (12,), "Xtest": (5, 4), "Ttest": (5,)}
        ways += [
            lambda: create_npz_dataloaders(path),
            lambda: load_npz_dataset(path, shapes),
            lambda: load_npz_dataset(path, shapes, mapped=True),
        ]
    else:
        ways += [lambda: network().load_weights_and_bias(path), lambda: load_multilayer_perceptron(path)]
    for way in ways:
        if message := refusal(way):
            assert str(path) in message
            assert len(message) < 2000
    result = CliRunner().invoke(inspect, [str(path)])
    assert result.exception is None or isinstance(result.exception, NervaError), result.exc_info


def mutations(content: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """Random damage: changed, lost, additional and repeated bytes; half of it in the zip directory."""
    directory = content.rindex(b"PK\x01\x02")
    while content[:directory].rfind(b"PK\x01\x02") > 0:
        directory = content[:directory].rfind(b"PK\x01\x02")
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            at = rng.randrange(directory if rng.random() < 0.5 else 0, len(content))
            length = rng.choice([1, 2, 4, 30])
            match rng.randrange(6):
                case 0:
                    changed[at : at + 1] = bytes(
                        [changed[at % len(changed)] ^ 1 << rng.randrange(8)] if changed else []
                    )
                case 1:
                    changed[at : at + length] = rng.randbytes(length)
                case 2:
                    changed[at:at] = rng.randbytes(length)
                case 3:
                    del changed[at : at + length]
                case 4:
                    changed[at : at + length] = rng.choice([b"\x00", b"\xff"]) * length
                case 5:
                    changed[at:at] = changed[at : at + 60]
        if rng.random() < 0.1:
            del changed[rng.randrange(len(content)) :]
        yield bytes(changed)


@pytest.mark.parametrize("kind", contents())
def test_random_damage(tmp_path, kind: str) -> None:
    path = tmp_path / "file.npz"
    for content in mutations(contents()[kind], random.Random(kind), 300):
        path.write_bytes(content)
        load(kind, path)


@pytest.mark.parametrize("kind", contents())
def test_a_flipped_bit_anywhere_in_the_directory(tmp_path, kind: str) -> None:
    content = contents()[kind]
    path = tmp_path / "file.npz"
    for at in range(content.index(b"PK\x01\x02"), len(content)):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        load(kind, path)


def header(text: str, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """The beginning of an .npy file."""
    encoded = text.encode("latin-1", "replace") + b"\n"
    size = len(encoded) if length is None else length
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", size) + encoded


def described(descr: object, shape: object, order: object = False) -> bytes:
    return header(repr({"descr": descr, "fortran_order": order, "shape": shape}))


def member(
    name: str,
    content: bytes,
    method: int = DEFLATED,
    flags: int = 0,
    size: int | None = None,
    packed: bytes | None = None,
) -> tuple[bytes, bytes]:
    """A member of a zip archive and its entry in the directory, which may contradict the content."""
    if packed is None:
        packed = content if method == STORED else zlib.compress(content, wbits=-15)
    sizes = (zlib.crc32(content), len(packed), len(content) if size is None else size)
    common = struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 33, *sizes, len(name), 0)
    local = b"PK\x03\x04" + common + name.encode() + packed
    return local, b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHI", 0, 0, 0, 0)


def archive(*members: tuple[str, tuple[bytes, bytes]]) -> bytes:
    body, directory = b"", b""
    for name, (local, entry) in members:
        directory += entry + struct.pack("<I", len(body)) + name.encode()
        body += local
    counts = (len(members), len(members), len(directory), len(body))
    return body + directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, *counts, 0)


def one(content: bytes, name: str = "W1.npy", **changes: Any) -> bytes:
    return archive((name, member(name, content, **changes)))


ONE = described("<f4", (1,)) + bytes(4)
HOSTILE = {
    "an encrypted member": (one(ONE, flags=1), "W1 is encrypted"),
    "strong encryption": (one(ONE, flags=0x41), "W1 is encrypted"),
    "patched data": (one(ONE, flags=0x20), "compressed patched data"),
    "bzip2": (one(ONE, method=zipfile.ZIP_BZIP2), "W1 is compressed by an unsupported method"),
    "an unknown method": (one(ONE, method=99), "W1 is compressed by an unsupported method"),
    "text": (one(b"hello"), "W1 is not an array: EOF: reading magic string"),
    "long text": (one(b"hello" * 100), "W1 is not an array: the magic string is not correct"),
    "an image": (one(bytes(1000), name="image.png"), "image.png is not an array"),
    "an empty member": (one(b""), "W1 is not an array"),
    "a folder": (one(b"", name="W1/"), "W1/ is not an array"),
    "no members": (archive(), "has no W1; it has nothing"),
    "an unknown version": (one(header("{}", (9, 9))), r"its format has version \(9, 9\)"),
    "version 3": (one(header("{}", (3, 0))), "its format has version"),
    "an open bracket": (one(header("{'descr': (")), "W1 is not an array"),
    "an open string": (one(header("{'descr': '''<f4")), "W1 is not an array"),
    "bad indentation": (one(header("if x:\n  y\n z")), "W1 is not an array"),
    "brackets": (one(header("(" * 1500)), "W1 is not an array"),
    "signs": (one(header("-" * 1500 + "1")), "W1 is not an array"),
    "a long header": (one(header("[" + "0," * 1500 + "]")), r"Header info length \(3003\) is large"),
    "no dictionary": (one(header("3")), "Header is not a dictionary"),
    "keys that are not hashable": (one(header("{[]: 1}")), "W1 is not an array"),
    "keys of several types": (one(header("{1: 2, 'a': 3}")), "W1 is not an array"),
    "bytes that are not text": (one(header("\xff\xfe{")), "W1 is not an array"),
    "a header of 4 GiB": (one(header("{}", (2, 0), 2**32 - 1)), "EOF: reading array header, expected 4294967295"),
    "an object": (one(described("|O", ()) + bytes(8)), "W1 holds Python objects"),
    "objects within": (one(described([("a", "|O")], (1,)) + bytes(8)), "W1 holds Python objects"),
    "a structure": (one(described([("a", "<f4")], (1,)) + bytes(4)), "not numbers or text"),
    "times": (one(described("<M8[s]", (1,)) + bytes(8)), "not numbers or text"),
    "no bytes per element": (one(described("|S0", (2**62,))), "not numbers or text"),
    "an unknown type": (one(described("spam", (1,)) + bytes(4)), "descr is not a valid dtype"),
    "a type that is a number": (one(described(3, (1,)) + bytes(4)), "W1 is not an array"),
    "a list as a type": (one(described([1, 2], (1,)) + bytes(4)), "W1 is not an array"),
    "a subarray": (one(described(("<f4", (2**40,)), (1,))), "W1 is not an array|not numbers or text"),
    "4 TiB": (one(described("<f4", (2**40,))), "W1 has 0 bytes of elements, but its header declares 4398046511104"),
    "an element of 1 GiB": (one(described("<U268435456", (1,))), "its header declares 1073741824"),
    "a negative size": (one(described("<f4", (-1,)) + bytes(4)), "W1 has an impossible shape"),
    "a huge size": (one(described("<f4", (0, 2**64))), "W1 has an impossible shape"),
    "huge sizes": (one(described("<f4", (0, 2**62, 2**62))), "W1 is|not a readable|array is too big"),
    "a truth value as a size": (one(described("<f4", (True,)) + bytes(4)), "W1 has an impossible shape"),
    "many dimensions": (one(described("<f4", (1,) * 100) + bytes(4)), "not a readable"),
    "an odd order": (one(described("<f4", (1,), 3) + bytes(4)), "fortran_order is not a valid bool"),
    "too few bytes": (one(described("<f4", (2,)) + bytes(4)), "W1 has 4 bytes of elements, but its header declares 8"),
    "too many bytes": (one(described("<f4", (1,)) + bytes(8)), "W1 has 8 bytes of elements, but its header declares 4"),
    "a wrong size": (one(ONE, size=len(ONE) + 4), "W1 has 8 bytes of elements, but its header declares 4"),
    "elements that are cut off": (
        one(described("<f4", (3000,)) + bytes(4), size=len(described("<f4", (3000,))) + 12000),
        "not a readable",
    ),
    "a name twice": (archive(*[("W1.npy", member("W1.npy", ONE))] * 2), "it has W1 twice"),
    "a name and its suffix": (
        archive(("W1.npy", member("W1.npy", ONE)), ("W1", member("W1", ONE))),
        "it has W1 twice",
    ),
    "a long name": (one(ONE, name="W" * 3000), "too long, or is not printable"),
    "control characters": (one(ONE, name="\x1b[31m.npy"), "too long, or is not printable"),
    "too many members": (
        archive(*((f"{i}.npy", member(f"{i}.npy", ONE)) for i in range(5000))),
        "it has 5000 arrays; at most 4096 are read",
    ),
    "text for numbers": (one(described("<U1", (3, 4)) + bytes(48)), "W1 has shape|W1 should hold real numbers"),
    "complex numbers": (one(described("<c8", (3, 4)) + bytes(96)), "W1 should hold real numbers"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files(tmp_path, case: str) -> None:
    content, reason = HOSTILE[case]
    path = tmp_path / "file.npz"
    path.write_bytes(content)
    messages = [refusal(lambda: load_dict_from_npz(path)), refusal(lambda: load_dict_from_npz(path, {"W1": (3, 4)}))]
    assert re.search(reason, "\n".join(messages)), messages
    load("weights", path)
    load("dataset", path)


def damaged(**arrays: np.ndarray | None) -> dict[str, np.ndarray]:
    """The arrays of a network with other arrays in it, or with arrays missing."""
    return {name: x for name, x in (network().to_dict() | arrays).items() if x is not None}


def architecture(text: str) -> dict[str, np.ndarray]:
    return damaged(architecture=np.array([text]))


NETWORKS = {
    "no architecture": (damaged(architecture=None), "has no architecture; it has W1, b1"),
    "an empty architecture": (damaged(architecture=np.array([], str)), "not a file of a whole network"),
    "an architecture of numbers": (damaged(architecture=np.arange(3)), "not a file of a whole network"),
    "a scalar": (damaged(architecture=np.array("[]")), "not a file of a whole network"),
    "an array missing": (damaged(**{"2.gamma": None}), r"has no 2\.gamma; it has"),
    "an array of another shape": (damaged(W1=np.zeros((3, 5))), r"W1 has shape \(3, 5\), but \(3, 4\) is expected"),
    "complex numbers": (damaged(W1=np.zeros((3, 4), complex)), "W1 should hold real numbers"),
    "numbers that are too large": (damaged(W1=np.full((3, 4), 1e300)), "W1 has a number that is too large for float32"),
    "not JSON": (architecture("{"), "not a file of a whole network"),
    "deep JSON": (architecture("[" * 100_000), "not a file of a whole network"),
    "a dictionary": (architecture('{"a": 1}'), "not a file of a whole network"),
    "a number": (architecture("3"), "not a file of a whole network"),
    "a layer without an output size": (architecture('[["Linear", 3]]'), "not a file of a whole network"),
    "a size that is text": (architecture('[["Linear", "3", 4]]'), "a specification and two sizes"),
    "a size that is not an integer": (architecture('[["Linear", 3.0, 4]]'), "a specification and two sizes"),
    "a truth value": (architecture('[["Linear", true, 4]]'), "a specification and two sizes"),
    "a size of 0": (architecture('[["Linear", 0, 4]]'), "a specification and two sizes"),
    "a layer that is not text": (architecture('[[["Linear"], 3, 4]]'), "a specification and two sizes"),
    "an unknown layer": (architecture('[["Unknown", 3, 4]]'), 'unknown layer "Unknown"'),
    "a large layer": (architecture('[["Linear", 1000000, 1000000]]'), "its layers would take 4000000000000 bytes"),
    "a large size": (architecture(f'[["BatchNormalization", 1{"0" * 100}, 1]]'), "its layers would take 40000"),
    "many large layers": (
        architecture(json.dumps([["BatchNormalization", 1 << 22, 1 << 22]] * 5000)),
        "its layers would take 83886080000 bytes",
    ),
    "a long architecture": (architecture("[" + "1," * 500_000 + "]"), "its arrays would take"),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_files_without_a_valid_network_are_refused(tmp_path, case: str) -> None:
    arrays, reason = NETWORKS[case]
    path = tmp_path / "network.npz"
    np.savez_compressed(path, **arrays)
    with pytest.raises(NervaError, match=reason):
        load_multilayer_perceptron(path)
    load("network", path)


def test_datasets_with_unusual_arrays(tmp_path) -> None:
    good = {"Xtrain": np.eye(3), "Ttrain": np.arange(3), "Xtest": np.eye(3), "Ttest": np.arange(3)}
    path = tmp_path / "data.npz"
    for change, reason in [
        ({"Xtrain": np.full((3, 3), 1e300)}, "Xtrain has a number that is too large for float32"),
        ({"Ttrain": np.array([0, 1, 10**12])}, "the labels go up to 1000000000000, and one-hot targets"),
        ({"Ttest": np.array([0, 1, 2**63 - 1])}, "the labels go up to 9223372036854775807"),
        ({"Ttrain": np.array([0, 1, 2**64 - 1], np.uint64)}, "the labels go up to"),
        ({"Ttrain": np.array([0, 1, -1])}, "label -1 is outside"),
        ({"Ttrain": np.zeros((3, 0))}, "one row per sample"),
        ({"Ttrain": np.zeros((3, 1, 2), int)}, "one row per sample"),
        ({"Xtrain": np.zeros((3, 0)), "Xtest": np.zeros((3, 0))}, "one row per sample"),
        ({"Ttrain": np.array([b"a", b"b", b"c"])}, "Ttrain should hold numbers"),
    ]:
        np.savez(path, **(good | change))
        with pytest.raises(NervaError, match=reason):
            create_npz_dataloaders(path)
        load("dataset", path)


# Repeating a compressed mebibyte of zeros within a stream creates a large stream quickly.
BOMBS = """
import sys, zlib
from pathlib import Path
from tests.helpers import peak_memory
from tests import test_npz_files as t

GIB = 1 << 30

def packed(beginning, mebibytes):
    c = zlib.compressobj(9, wbits=-15)
    first = c.compress(beginning) + c.flush(zlib.Z_FULL_FLUSH)
    c = zlib.compressobj(9, wbits=-15)
    return first + (c.compress(bytes(1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)) * mebibytes + b"\\x03\\x00"

floats, text = t.described("<f4", (3 * GIB // 4,)), t.described("<U100000", (8053,))
small, long_header = t.described("<f4", (1,)), t.header("", (2, 0), 2**32 - 1)
bombs = [
    ("W1.npy", floats, len(floats) + 3 * GIB),
    ("Xtrain.npy", floats, len(floats) + 3 * GIB),
    ("architecture.npy", text, len(text) + 8053 * 400_000),
    ("W1.npy", small, len(small) + 4),
    ("W1.npy", small, len(small) + 3 * GIB),
    ("W1.npy", long_header, len(long_header) + 3 * GIB),
    ("W1.npy", t.described("<f4", (3, 4)), 2**32 - 1),
]
for name, beginning, size in bombs:
    path = Path(sys.argv[1]) / "bomb.npz"
    path.write_bytes(t.one(b"", name=name, size=size, packed=packed(beginning, 3 << 10)))
    assert path.stat().st_size < 1 << 23
    assert t.refusal(lambda: t.load_dict_from_npz(path)), name
    for kind in ("weights", "dataset"):
        t.load(kind, path)
for arrays, _ in t.NETWORKS.values():
    t.np.savez_compressed(path, **arrays)
    t.load("network", path)
print(peak_memory())
"""


def test_zip_bombs_take_little_memory(tmp_path) -> None:
    """Each file is 3 GB when it is unpacked."""
    command = [sys.executable, "-c", BOMBS, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 500e6


def test_written_arrays_can_be_read(tmp_path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.normal(size=(3, 4)),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4)).astype(np.float16)),
        "big-endian": np.arange(5, dtype=">i4"),
        "scalar": np.array(3),
        "empty": np.zeros((0, 7), bool),
        "text": np.array(["one", "zwölf"]),
        "bytes": np.array([b"one"]),
        "complex": np.array([1j]),
        "large": np.arange(700_000),  # it is read in several parts
    }
    save_dict_to_npz(tmp_path / "compressed", arrays)
    np.savez(tmp_path / "stored.npz", **arrays)
    for name, mapped in (
        ("compressed.npz", False),
        ("stored.npz", False),
        ("compressed.npz", True),
        ("stored.npz", True),
    ):
        loaded = load_dict_from_npz(tmp_path / name, mapped=mapped)
        assert list(loaded) == list(arrays)
        for key, x in arrays.items():
            np.testing.assert_array_equal(loaded[key], x)
            assert (loaded[key].dtype, loaded[key].flags.f_contiguous) == (x.dtype, x.flags.f_contiguous)
            assert loaded[key].flags.writeable
            assert loaded[key].flags.aligned


def test_a_change_of_mapped_arrays_does_not_change_the_file(tmp_path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, a=np.arange(5))
    before = path.read_bytes()
    a = load_dict_from_npz(path, mapped=True)["a"]
    a += 1
    path.unlink()  # the arrays remain
    assert a.tolist() == [1, 2, 3, 4, 5]
    np.savez(path, a=np.arange(5))
    assert path.read_bytes() == before


def test_only_expected_arrays_are_read(tmp_path) -> None:
    path = tmp_path / "file.npz"
    path.write_bytes(archive(("W1.npy", member("W1.npy", ONE)), ("other.npy", member("other.npy", b"garbage"))))
    assert list(load_dict_from_npz(path, {"W1": (1,)})) == ["W1"]
    with pytest.raises(NervaError, match="has no W2 and no W3; it has W1, other"):
        load_dict_from_npz(path, {"W1": None, "W2": None, "W3": (3,)})
    with pytest.raises(NervaError, match="other is not an array"):
        load_dict_from_npz(path)


def test_the_limit_depends_on_the_size_of_the_file(tmp_path) -> None:
    path = tmp_path / "file.npz"
    np.savez_compressed(path, x=np.zeros(17 << 20, np.float32))
    assert unpacked_limit(path) == 64 << 20
    with pytest.raises(NervaError, match="its arrays would take 71303168 bytes, and 67108864 are allowed"):
        load_dict_from_npz(path)
    assert len(load_dict_from_npz(path, max_bytes=1 << 27)["x"]) == 17 << 20
    assert len(load_dict_from_npz(path, {"x": (17 << 20,)})["x"]) == 17 << 20
    np.savez(path, x=np.zeros(17 << 20, np.float32))
    assert len(load_dict_from_npz(path)["x"]) == 17 << 20


def test_files_that_cannot_be_opened(tmp_path) -> None:
    with pytest.raises(NervaError, match="there is no such file"):
        load_dict_from_npz(tmp_path / "nowhere.npz")
    with pytest.raises(NervaError, match="it is not a regular file"):
        load_dict_from_npz(tmp_path)


def test_an_architecture(tmp_path) -> None:
    network().save(tmp_path / "network.npz")
    layers = read_architecture(tmp_path / "network.npz")
    assert [(text.partition("(")[0], D, K) for text, D, K in layers] == [
        ("SReLU", 4, 3),
        ("BatchNormalization", 3, 3),
        ("Dropout", 3, 3),
        ("Linear", 3, 2),
    ]


def test_conversion_keeps_arrays_that_have_the_dtype() -> None:
    x = np.ones(3, np.float32)
    assert converted(x, np.float32, "x") is x
    assert converted(np.array([np.inf, np.nan, 2**40]), np.float32, "x").dtype == np.float32
