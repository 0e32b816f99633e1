"""`.npz` files of plain arrays.

A file may come from anywhere, so nothing in it is trusted. The zip directory and the header of each array are read
first, and the sizes that they declare are checked before memory is allocated. Nothing is ever unpickled.
"""

import io
import math
import mmap
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.whole_files import open_regular, whole_or_absent

_CHUNK = 1 << 20  # bytes that are read at once
_MAX_HEADER = 2000  # characters; NumPy writes about a hundred
_MAX_MEMBERS = 4096
_ENCRYPTED = 1  # a flag of the zip format
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NUMBERS = "biuf"
_NUMBERS_AND_TEXT = "biufcSU"

# What zipfile and zlib raise for a damaged file.
_FILE_ERRORS = (
    *(OSError, EOFError, LookupError, NotImplementedError, OverflowError, RuntimeError, TypeError, ValueError),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error),
)
# What NumPy raises for a damaged header, which it evaluates as a Python literal.
_HEADER_ERRORS = (
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, SyntaxError, TypeError, ValueError),
    tokenize.TokenError,
)


@dataclass(frozen=True)
class _Header:
    """The header of an array, and its place in the archive."""

    member: zipfile.ZipInfo
    offset: int  # of the elements in the member
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def unpacked_limit(filename: str | PathLike[str]) -> int:
    """The number of bytes that the arrays of a file may take if their sizes are not known otherwise.

    It is 64 MiB, or 20 times the size of the file if that is more. Uncompressed files are always below it.
    """
    return max(64 << 20, 20 * Path(filename).stat().st_size)


def load_dict_from_npz(
    filename: str | PathLike[str],
    expected: Mapping[str, tuple[int, ...] | None] | None = None,
    max_bytes: int | None = None,
    mapped: bool = False,
) -> dict[str, Matrix]:
    """Read the arrays of an `.npz` file.

    Args:
        filename: the file.
        expected: the arrays to read, which must exist, and their shapes. An array with a shape must hold real numbers;
            with None, it may have any shape. By default, all arrays of the file are read.
        max_bytes: the number of bytes that the arrays without an expected shape may take; by default, see
            `unpacked_limit`.
        mapped: whether arrays that are not compressed are mapped into memory. They are read when they are used, and
            all processes share them, except for arrays at an odd address in the file, which are copied. The checksums
            of the zip format are not checked then, and the file must not be changed in place while the arrays exist; a
            new file may replace it.

    Raises:
        NervaError: if the file is missing or damaged, holds anything but arrays of numbers or text, lacks an expected
            array, or takes too much memory.
    """
    try:
        opened = open_regular(Path(filename))
    except (FileNotFoundError, NotADirectoryError):
        raise NervaError(f"{filename}: there is no such file") from None
    except OSError as error:
        raise NervaError(f"{filename} is not a readable .npz file of plain arrays: {error.strerror}") from error
    with opened as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = _members(archive)
                names = members if expected is None else expected
                if missing := [name for name in names if name not in members]:
                    raise NervaError(f"{filename} has no {' and no '.join(missing)}; it has {_listed(members)}")
                headers = {name: _header(archive, name, members[name]) for name in names}
                _check(headers, expected or {}, unpacked_limit(filename) if max_bytes is None else max_bytes, filename)
                whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if mapped else None
                return {
                    name: _elements(archive, name, header)
                    if whole is None or header.member.compress_type != zipfile.ZIP_STORED
                    else _mapped(whole, name, header)
                    for name, header in headers.items()
                }
        except NervaError:
            raise
        except _FILE_ERRORS as error:
            raise NervaError(f"{filename} is not a readable .npz file of plain arrays: {_reason(error)}") from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive by the names of their arrays."""
    infos = archive.infolist()
    if len(infos) > _MAX_MEMBERS:
        raise ValueError(f"it has {len(infos)} arrays; at most {_MAX_MEMBERS} are read")
    members = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        if not name.isprintable() or len(name) > 200:
            raise ValueError("the name of an array is too long, or is not printable")
        if name in members:
            raise ValueError(f"it has {name} twice")
        if info.flag_bits & _ENCRYPTED:
            raise ValueError(f"{name} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is compressed by an unsupported method")
        members[name] = info
    return members


def _header(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> _Header:
    """The header of an array, checked against the size of the member."""
    with archive.open(member) as stream:
        start = io.BytesIO(stream.read(2 * _MAX_HEADER))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # files that Python 2 wrote
            version = npy.read_magic(start)
            if version not in _READERS:
                raise ValueError(f"its format has version {version}")
            shape, fortran_order, dtype = _READERS[version](start, max_header_size=_MAX_HEADER)
    except _HEADER_ERRORS as error:
        raise ValueError(f"{name} is not an array: {_reason(error)}") from None
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    if dtype.kind not in _NUMBERS_AND_TEXT or dtype.itemsize == 0:
        raise ValueError(f"{name} holds {dtype}, not numbers or text")
    if not all(type(size) is int and 0 <= size < 2**63 for size in shape):
        raise ValueError(f"{name} has an impossible shape")
    header = _Header(member, start.tell(), shape, fortran_order, dtype)
    if member.file_size != header.offset + header.nbytes:
        size = member.file_size - header.offset
        raise ValueError(f"{name} has {size} bytes of elements, but its header declares {header.nbytes}")
    return header


def _check(
    headers: Mapping[str, _Header],
    expected: Mapping[str, tuple[int, ...] | None],
    max_bytes: int,
    filename: str | PathLike[str],
) -> None:
    """Compare headers with what is expected, before any elements are read."""
    unknown = 0
    for name, header in headers.items():
        shape = expected.get(name)
        if shape is None:
            unknown += header.nbytes
        elif header.shape != shape:
            raise NervaError(f"{filename}: {name} has shape {header.shape}, but {shape} is expected")
        elif header.dtype.kind not in _NUMBERS:
            raise NervaError(f"{filename}: {name} should hold real numbers, not {header.dtype}")
    if unknown > max_bytes:
        raise ValueError(
            f"its arrays would take {unknown} bytes, and {max_bytes} are allowed for a compressed file of its size"
        )


def _elements(archive: zipfile.ZipFile, name: str, header: _Header) -> Matrix:
    """Read the elements of an array."""
    content = np.empty(header.nbytes, np.uint8)
    with archive.open(header.member) as stream:
        stream.read(header.offset)
        for start in range(0, header.nbytes, _CHUNK):
            part = content[start : start + _CHUNK]
            part[:] = np.frombuffer(stream.read(len(part)), np.uint8)  # a ValueError if there are fewer bytes
        if stream.read(1):  # zipfile checks the checksum when it has read everything
            raise ValueError(f"{name} is longer than declared")
    return content.view(header.dtype).reshape(header.shape, order="F" if header.fortran_order else "C")


def _mapped(whole: mmap.mmap, name: str, header: _Header) -> Matrix:
    """The elements of an array in a mapped file. A change of the array does not change the file (copy-on-write)."""
    # The member's own header has 30 bytes. The last four are the lengths of the name and of the extra field.
    start = header.member.header_offset + 30
    start += sum(struct.unpack_from("<HH", whole, start - 4)) + header.offset
    if start + header.nbytes > len(whole):
        raise ValueError(f"{name} is longer than the file")
    content = np.frombuffer(whole, np.uint8, header.nbytes, start).view(header.dtype)
    # NumPy computes slowly with elements at addresses that are no multiples of their size.
    aligned = content if content.flags.aligned else content.copy()
    return aligned.reshape(header.shape, order="F" if header.fortran_order else "C")


def _listed(names: Iterable[str]) -> str:
    """The first names, for a message."""
    first = list(names)
    return ", ".join(first[:20] + ["..."] * (len(first) > 20)) or "nothing"


def _reason(error: BaseException) -> str:
    """The first line of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def converted(x: Matrix, dtype: Any, what: str) -> Matrix:
    """The numbers of a file in another dtype.

    Raises:
        NervaError: if they are not real numbers, or one is too large for the dtype; the message begins with `what`.
    """
    if x.dtype.kind not in _NUMBERS:
        raise NervaError(f"{what} should hold real numbers, not {x.dtype}")
    try:
        with np.errstate(over="raise", invalid="ignore"):
            return x.astype(dtype, copy=False)
    except FloatingPointError:
        raise NervaError(f"{what} has a number that is too large for {np.dtype(dtype)}") from None


def save_dict_to_npz(filename: str | PathLike[str], data: dict[str, Matrix]) -> None:
    """Write arrays to a compressed `.npz` file, whole or not at all. The suffix is added if it is missing."""
    path = Path(filename)
    if path.suffix != ".npz":
        path = path.with_name(path.name + ".npz")
    with whole_or_absent(path) as temporary:
        arrays: dict[str, Any] = data
        np.savez_compressed(temporary, **arrays)
