"""Datasets of OpenML, from a server on this machine that answers as OpenML does."""

import json
from collections.abc import Iterator
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sklearn.datasets import _openml

from nerva.data import Dataset, load_prepared, prepare
from nerva.data.describing import describe
from nerva.errors import NervaError
from tests.data.user_files import flowers
from tests.helpers import serving

COLUMNS = {"length": "numeric", "width": "numeric", "soil": "nominal", "species": "nominal"}
TYPES = {"length": "REAL", "width": "REAL", "soil": "{clay,sand}", "species": "{iris,rose}"}
ARFF = "@RELATION flowers\n" + "".join(f"@ATTRIBUTE {name} {type_}\n" for name, type_ in TYPES.items())
ARFF += "@DATA\n" + flowers().to_csv(index=False, header=False)


class OpenML(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requested.append(self.path)  # type: ignore[attr-defined]
        answers = {
            "/list/flowers/data_version/1": {"data": {"dataset": [{"did": 7, "name": "flowers", "version": 1}]}},
            "/7": {
                "data_set_description": {
                    "id": "7", "description": "", "name": "flowers", "version": "1", "status": "active",
                    "format": "ARFF",
                    "url": f"http://{self.headers['Host']}/flowers.arff",
                    "md5_checksum": md5(ARFF.encode()).hexdigest(),
                }
            },
            "/features/7": {
                "data_features": {
                    "feature": [
                        {
                            "index": str(index), "name": name, "data_type": type_, "is_ignore": "false",
                            "is_row_identifier": "false", "is_target": str(name == "species").lower(),
                            "number_of_missing_values": "0",
                        }
                        for index, (name, type_) in enumerate(COLUMNS.items())
                    ]
                }
            },
            "/qualities/7": {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "60.0"}]}},
        }  # fmt: skip
        found = self.path == "/flowers.arff" or self.path in answers
        self.send_response(200 if found else 412)  # what OpenML answers if there is no such dataset
        self.end_headers()
        if found:
            content = ARFF if self.path == "/flowers.arff" else json.dumps(answers[self.path])
            self.wfile.write(content.encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def openml(monkeypatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), OpenML)
    server.requested = []  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(_openml, "_SEARCH_NAME", url + "/list/{}")
    monkeypatch.setattr(_openml, "_DATA_INFO", url + "/{}")
    monkeypatch.setattr(_openml, "_DATA_FEATURES", url + "/features/{}")
    monkeypatch.setattr(_openml, "_DATA_QUALITIES", url + "/qualities/{}")
    with serving(server):
        yield server


def dataset(name: str = "flowers", **changes: object) -> Dataset:
    known = {"version": 1, "test_fraction": 0.2, "validation_fraction": 0.25, **changes}
    return Dataset(name="", source="openml", path=name, **known)  # type: ignore[arg-type]


def test_a_dataset_is_downloaded_once(openml, tmp_path) -> None:
    with pytest.raises(
        NervaError, match=r"has not been downloaded; `nerva prepare openml data.path=flowers data.version=1`"
    ):
        describe(dataset(), tmp_path)
    assert not openml.requested
    described = describe(dataset(), tmp_path, download=True)
    assert (described.name, described.features, described.class_names) == ("flowers", 4, ["iris", "rose"])
    requested = len(openml.requested)
    assert "/flowers.arff" in openml.requested
    # From now on, no network is needed.
    assert describe(dataset(), tmp_path) == described
    arrays, _ = load_prepared(described, prepare(described, tmp_path).npz.parent)
    assert arrays["Xtrain"].shape == (48, 4)
    assert describe(dataset(label="soil"), tmp_path).class_names == ["clay", "sand"]
    assert len(openml.requested) == requested
    assert [path.name for path in (tmp_path / "raw" / "openml").iterdir()] == ["flowers-1.parquet"]


def test_a_dataset_that_does_not_exist(openml, tmp_path) -> None:
    with pytest.raises(NervaError, match="OpenML's roses, version 1, can't be used: Dataset roses with version 1 not"):
        describe(dataset("roses"), tmp_path, download=True)
    assert not list(tmp_path.iterdir())


def test_no_network(tmp_path, no_network) -> None:
    with pytest.raises(NervaError, match=r"OpenML's flowers, version 1, could not be downloaded: .*refused"):
        describe(dataset(), tmp_path, download=True)
    assert not list(tmp_path.iterdir())


def test_a_damaged_download(openml, tmp_path) -> None:
    describe(dataset(), tmp_path, download=True)
    (tmp_path / "raw" / "openml" / "flowers-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(NervaError, match=r"flowers-1\.parquet is damaged .*; delete it"):
        describe(dataset(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 0}, r"data\.version should be a version of the dataset on OpenML, from 1, not 0"),
        ({"name": "../x"}, r"data\.path should be the name of a dataset on OpenML, not '\.\./x'"),
        ({"name": ""}, r"data\.path is missing: the name of the dataset"),
    ],
)
def test_bad_settings(tmp_path, changes: dict, message: str) -> None:
    with pytest.raises(NervaError, match=message):
        describe(dataset(**changes), tmp_path, download=True)
