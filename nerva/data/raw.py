"""The raw files of a dataset: finding, checking, downloading and reading them."""

import gzip
import hashlib
import logging
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nerva.data.description import Dataset, RawFile
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.utilities import whole_or_absent

# Timeouts in seconds: to connect, and between two packets.
PATIENT = (10.0, 60.0)
HASTY = (3.0, 3.0)


def folders(dataset: Dataset, data_dir: Path) -> list[Path]:
    """The folders that may hold raw files: the one in NERVA_DATA_DIR, and then `raw` in data_dir.

    Raises:
        NervaError: if NERVA_DATA_DIR does not name a folder.
    """
    found = []
    if named := os.environ.get("NERVA_DATA_DIR"):
        if not Path(named).is_dir():
            raise NervaError(
                f"NERVA_DATA_DIR names {named}, which is not a folder; it should hold {dataset.name}/ with "
                f"{_archives(dataset)}"
            )
        found.append(Path(named) / dataset.name)
    return [*found, data_dir / "raw" / dataset.name]


def locate(dataset: Dataset, data_dir: Path) -> dict[str, Path]:
    """The raw files that exist, by their names in the dataset. Their content is not checked."""
    located: dict[str, Path] = {}
    for name, file in dataset.files.items():
        for folder in folders(dataset, data_dir):
            for path in (folder / file.archive, folder / file.archive.removesuffix(".gz")):
                if path.is_file():
                    located.setdefault(name, path)
    return located


def read_checked(path: Path, file: RawFile) -> bytes:
    """The uncompressed bytes of a raw file.

    Raises:
        NervaError: if the file is damaged, or does not have the declared checksum; the message names it.
    """
    content = path.read_bytes()
    compressed = content[:2] == b"\x1f\x8b"
    if file.sha256 is None:
        if not compressed and file.archive.endswith(".gz"):
            raise NervaError(f"{path} cannot be checked: only the checksum of the archive, {file.archive}, is known")
        _compare(path, "md5", hashlib.md5(content, usedforsecurity=False).hexdigest(), str(file.md5))
    if compressed:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise NervaError(f"{path} is damaged or cut off ({error}); delete it, or put a whole copy there") from None
    if file.sha256 is not None:
        _compare(path, "sha256 of the uncompressed bytes", hashlib.sha256(content).hexdigest(), file.sha256)
    return content


def _compare(path: Path, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise NervaError(
            f"{path} is not the right file, or is damaged: its {what} is {found}, and should be {expected}; "
            "delete it, or put the right one there"
        )


def fetch(dataset: Dataset, name: str, data_dir: Path, timeout: tuple[float, float] = PATIENT) -> Path:
    """Download a raw file from the first mirror that has it.

    Args:
        dataset: the dataset.
        name: the name of the file in the dataset.
        data_dir: the file is written to `raw` in this folder, whole or not at all.
        timeout: seconds to connect, and between two packets.

    Raises:
        NervaError: if no mirror has the file; the message gives the reason for each mirror.
    """
    # Imported here: they are only needed for downloads.
    import requests
    from requests.adapters import HTTPAdapter, Retry
    from tqdm import tqdm

    file = dataset.files[name]
    target = data_dir / "raw" / dataset.name / file.archive
    session = requests.Session()
    # A server that answers may be busy, so it is tried again. For one that does not answer, the next mirror is tried.
    total = 3 if timeout is PATIENT else 0
    retry = Retry(total, connect=min(total, 1), backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    reasons = []
    for mirror in dataset.mirrors:
        url = f"{mirror.rstrip('/')}/{file.archive}"
        try:
            with whole_or_absent(target) as temporary, _errors_only("urllib3"):
                with session.get(url, stream=True, timeout=timeout) as response, temporary.open("wb") as out:
                    response.raise_for_status()
                    length = response.headers.get("Content-Length", "")
                    size = int(length) if length.isdecimal() else None
                    bar = tqdm(total=size, desc=file.archive, unit="B", unit_scale=True, disable=_no_terminal())
                    with bar:
                        for chunk in response.iter_content(1 << 16):
                            out.write(chunk)
                            bar.update(len(chunk))
                read_checked(temporary, file)
            return target
        except requests.RequestException as error:
            reasons.append(f"{url}: {_cause(error)}")
        except NervaError:
            reasons.append(f"{url}: it gave something else than the file, or only a part of it")
    raise NervaError(f"{file.archive} could not be fetched:\n  " + "\n  ".join(reasons or ["data.mirrors is empty"]))


@contextmanager
def _errors_only(name: str) -> Iterator[None]:
    """Let a logger report errors only: a warning for each retry would bury the message at the end."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _cause(error: BaseException) -> str:
    """The reason of a failed request, without the exceptions that libraries wrap around it."""
    while error.args and isinstance(inner := getattr(error.args[-1], "reason", error.args[-1]), BaseException):
        error = inner
    return str(error).rpartition("): ")[2]


def _no_terminal() -> bool:
    return not sys.stderr.isatty()


def collect(dataset: Dataset, data_dir: Path) -> dict[str, tuple[Path, bytes]]:
    """The raw files of a dataset, checked and uncompressed. Missing files are downloaded.

    Args:
        dataset: the dataset.
        data_dir: the folder with `raw`, to which files are downloaded; see `folders`.

    Returns:
        The path and the uncompressed bytes of each file.

    Raises:
        NervaError: if a file is damaged, or is missing and cannot be downloaded; the message says what to do.
    """
    # All existing files are checked before any is downloaded.
    located = locate(dataset, data_dir)
    contents = {name: (path, read_checked(path, dataset.files[name])) for name, path in located.items()}
    for name in dataset.files:
        if name not in contents:
            try:
                path = fetch(dataset, name, data_dir)
            except NervaError as error:
                raise NervaError(
                    f"{dataset.title or dataset.name} is not there and {error}\n"
                    f"Looked for in {' and '.join(map(str, folders(dataset, data_dir)))}. "
                    f"Put {_archives(dataset)} into {data_dir / 'raw' / dataset.name}, or into a folder named "
                    f"{dataset.name} and let NERVA_DATA_DIR name the folder that this one is in."
                ) from None
            contents[name] = (path, read_checked(path, dataset.files[name]))
    return contents


def _archives(dataset: Dataset) -> str:
    return ", ".join(file.archive for file in dataset.files.values())


def read_idx(content: bytes, path: Path) -> Matrix:
    """The array of unsigned bytes in an IDX file.

    Raises:
        NervaError: if it is not in that format, or is shorter or longer than its header says.
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise NervaError(f"{path} is not an IDX file of unsigned bytes")
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:header]) if len(content) >= header else ()
    if not shape or len(content) != header + int(np.prod(shape, dtype=np.int64)):
        raise NervaError(f"{path} has {len(content)} bytes, which does not match its header")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
