"""Fixtures of the tests of datasets."""

import hashlib
import urllib.request
from collections.abc import Iterator

import pytest

from nerva.data import Dataset, RawFile
from tests.data.raw_files import CONTENTS, Mirror
from tests.helpers import serving


@pytest.fixture(autouse=True)
def no_data_dir(monkeypatch) -> None:
    monkeypatch.delenv("NERVA_DATA_DIR", raising=False)


@pytest.fixture
def no_network(monkeypatch) -> None:
    """Let downloads by Python's library go to a proxy where nothing listens."""
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it may know other proxies


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


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    server = Mirror()
    with serving(server):
        yield server
