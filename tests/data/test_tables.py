"""Tables: CSV and Parquet files."""

import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nerva.data import Dataset
from nerva.data.adding import detected
from nerva.data.describing import describe
from nerva.data.sources import Content, read
from nerva.datasets import checksum
from nerva.errors import NervaError
from tests.data.user_files import flowers, write_csv


def table(path: Path, **changes: object) -> Dataset:
    """A dataset that a table describes, with the settings of conf/data/csv.yaml."""
    known = {
        "label": "species",
        "categorical": ["soil"],
        "missing": ["", "NA", "?"],
        "test_fraction": 0.2,
        "validation_fraction": 0.25,
    }
    return Dataset(name="", source="csv", path=str(path), **{**known, **changes})  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path) -> Path:
    return write_csv(tmp_path / "flowers.csv", flowers())


def inputs(content: Content) -> np.ndarray:
    return np.concatenate([content.arrays["Xtrain"], content.arrays["Xtest"]])


def test_a_table(file, tmp_path) -> None:
    described = describe(table(file), tmp_path)
    assert (described.name, described.title, described.features) == ("flowers", "flowers.csv", 4)
    assert described.class_names == ["iris", "rose"]
    assert (described.train, described.validation, described.test) == (48, 12, 12)
    # length and width, and then one column for each soil.
    X, frame = inputs(read(table(file), tmp_path)), flowers()
    expected = frame[["length", "width"]].to_numpy(np.float32)
    expected = np.hstack([expected, (frame[["soil"]].to_numpy() == ["clay", "sand"]).astype(np.float32)])
    np.testing.assert_array_equal(X[np.lexsort(X.T)], expected[np.lexsort(expected.T)])


@pytest.mark.parametrize("form", ["tabs", "semicolons", "byte order mark", "parquet"])
def test_other_forms_of_a_table(file, tmp_path, form: str) -> None:
    other = tmp_path / ("other.parquet" if form == "parquet" else "other.csv")
    if form == "parquet":
        flowers().to_parquet(other)
    else:
        separator = {"tabs": "\t", "semicolons": ";"}.get(form, ",")
        flowers().to_csv(other, index=False, sep=separator, encoding="utf-8-sig" if "byte" in form else "utf-8")
    assert checksum(read(table(other), tmp_path).arrays) == checksum(read(table(file), tmp_path).arrays)


def test_ignored_columns(file, tmp_path) -> None:
    described = describe(table(file, ignore=["soil"], categorical=[]), tmp_path)
    assert described.features == 2


def test_a_parquet_file_says_which_columns_have_categories(tmp_path) -> None:
    file = tmp_path / "a.parquet"
    flowers().astype({"soil": "category"}).to_parquet(file)
    assert describe(table(file, categorical=[]), tmp_path).features == 4


def test_a_value_that_the_training_samples_lack_becomes_zeros(tmp_path) -> None:
    frame = flowers()
    file = write_csv(tmp_path / "a.csv", frame)
    content = read(table(file), tmp_path)
    test_length = content.arrays["Xtest"][0, 0]
    row = int(np.argmin(np.abs(frame["length"].to_numpy() - test_length)))
    frame.loc[row, "soil"] = "peat"
    content = read(table(write_csv(file, frame)), tmp_path)
    assert content.arrays["Xtest"][0, 2:].tolist() == [0, 0]
    assert content.arrays["Xtrain"].shape[1] == 4


def test_missing_values_are_replaced_by_those_of_the_training_samples(tmp_path) -> None:
    frame = flowers().astype({"width": object})
    frame.loc[[3, 33], "width"] = "?"
    frame.loc[[5], "soil"] = "NA"
    file = write_csv(tmp_path / "a.csv", frame)
    with pytest.raises(
        NervaError, match=r'missing values in "width" \(2\), "soil" \(1\); data\.impute=median replaces'
    ):
        read(table(file), tmp_path)
    for strategy, statistic in (("mean", np.mean), ("median", np.median)):
        content = read(table(file, impute=strategy), tmp_path)
        fitted = content.arrays["Xtrain"][: -content.validation, 1]
        known = fitted[np.round(fitted) == fitted]
        filled = {float(x) for x in inputs(content)[:, 1]} - {float(w) for w in frame["width"] if w != "?"}
        # The median may be one of the values.
        assert not filled or math.isclose(filled.pop(), statistic(known), rel_tol=0.02)
    assert (inputs(content)[:, 2:].sum(axis=1) == 1).all()


def test_several_targets(tmp_path) -> None:
    file = write_csv(tmp_path / "a.csv", flowers())
    content = read(table(file, task="regression", label=["length", "width"], categorical=["soil", "species"]), tmp_path)
    assert content.arrays["Ttrain"].shape == (48, 2)
    assert content.arrays["Xtrain"].shape == (48, 4)


def test_detection(tmp_path) -> None:
    frame = flowers().assign(grade=np.arange(60) % 3, price=np.linspace(0, 1, 60))
    file = write_csv(tmp_path / "a.csv", frame)
    found = detected(table(file, categorical=[]))
    assert (found.task, found.categorical) == ("classification", ["soil"])
    assert detected(table(file, label="grade")).task == "classification"
    assert detected(table(file, label="price")).task == "regression"
    assert detected(table(file, label="width")).task == "regression"  # too many different numbers
    assert detected(table(file, label="width"), "classification").task == "classification"
    assert detected(table(file, label=["grade", "price"])).task == "regression"
    with pytest.raises(NervaError, match=r'has no column "colour"; it has length, width'):
        detected(table(file, label="colour"))


def with_column(name: str, values: object) -> pd.DataFrame:
    return flowers().assign(**{name: values})


@pytest.mark.parametrize(
    ("frame", "changes", "message"),
    [
        (
            flowers(),
            {"label": ""},
            r'data\.label should name the column that is predicted; flowers\.csv has .*"species"',
        ),
        (flowers(), {"label": "specie"}, r'no column "specie"; did you mean "species"\?'),
        (flowers(), {"label": "xyz"}, r'no column "xyz"; it has the columns "length", "width"'),
        (flowers(), {"label": ["species", "soil"]}, r"data\.label has 2 columns; a classification predicts one"),
        (flowers(), {"ignore": ["colour"]}, r'data\.ignore: flowers\.csv has no column "colour"'),
        (
            flowers(),
            {"categorical": []},
            r'"soil" has values that are not numbers, such as "(sand|clay)"; name such columns in',
        ),
        (flowers(), {"task": "regression"}, r'the targets "species" should be numbers for a regression'),
        (flowers(), {"impute": "zero"}, r"data\.impute should be mean, median, most_frequent"),
        (
            with_column("species", [None, "rose"] * 30),
            {},
            r'the label "species" is missing in 30 of 60 rows, first in row 1',
        ),
        (with_column("species", "rose"), {}, r'all samples have the label "rose"'),
        (with_column("length", math.nan), {}, r'missing values in "length" \(60\)'),
        (with_column("length", math.nan), {"impute": "mean"}, r'"length" has no values in the training samples'),
        (with_column("length", math.inf), {}, r"the inputs have 60 values that are missing \(NaN\) or infinite"),
        (with_column("name", [f"n{i}" for i in range(60)]), {}, r'"name" has values that are not numbers'),
        (flowers(1), {}, r"flowers\.csv has 1 sample;"),
        (flowers(0), {}, r"flowers\.csv has no rows below the names"),
        (flowers()[["species"]], {"categorical": []}, r"has no features: nothing but labels"),
        (flowers().reset_index(names=""), {}, r"a column has no name.*data\.ignore=\['Unnamed: 0'\]"),
    ],
)
def test_bad_tables(tmp_path, frame: pd.DataFrame, changes: dict, message: str) -> None:
    file = write_csv(tmp_path / "flowers.csv", frame)
    with pytest.raises(NervaError, match=message):
        describe(table(file, **changes), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["flowers.csv"]


def test_a_column_with_lists_is_refused_unless_it_is_ignored(tmp_path) -> None:
    file = tmp_path / "a.parquet"
    flowers().assign(lists=[[1, 2]] * len(flowers())).to_parquet(file)
    with pytest.raises(NervaError, match=r'"lists" holds lists, which are no features; use data\.ignore=\[lists\]'):
        describe(table(file, categorical=["soil"]), tmp_path)
    ignored = describe(table(file, categorical=["soil"], ignore=["lists"]), tmp_path)
    flowers().to_parquet(file)
    assert describe(table(file, categorical=["soil"]), tmp_path).sha256 == ignored.sha256


def test_a_categorical_column_with_too_many_values(tmp_path) -> None:
    file = write_csv(tmp_path / "a.csv", flowers(2000).assign(name=[f"n{i}" for i in range(2000)]))
    with pytest.raises(NervaError, match=r'"name" has 2,000 different values.* data\.ignore=\[name\]'):
        describe(table(file, categorical=["soil", "name"]), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: it should begin with a line that has the names of the columns"),
        (b"\n\n", "is empty"),
        (b"1,2,3\n4,5,6\n", "the first line should have the names of the columns, but it has numbers only"),
        (b"a,b,a,b\n1,2,3,4\n", 'has several columns with the name "a", "b"; rename them'),
        (b"a,species\n1,2\n\xff\xfe,3\n", "can't be read as a table: .*utf-8"),
        (b"a,species\n1,2,3,4\n1,2\n", r"can't be read as a table: Length of header"),
        (b'a,species\n"1,2\n', "can't be read as a table: .*EOF"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "can't be read as a table"),
    ],
)
def test_files_that_are_no_tables(tmp_path, content: bytes, message: str) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(content)
    with pytest.raises(NervaError, match=message):
        describe(table(file), tmp_path)


def test_files_that_are_no_parquet_files(tmp_path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"PAR1 and nothing")
    with pytest.raises(NervaError, match=r"a\.parquet can't be read as a table"):
        describe(table(file), tmp_path)
    with pytest.raises(NervaError, match=r"b\.csv: there is no such file"):
        describe(table(tmp_path / "b.csv"), tmp_path)
    with pytest.raises(NervaError, match="there is no such file"):
        describe(table(tmp_path), tmp_path)


def test_a_million_columns(tmp_path) -> None:
    file = tmp_path / "wide.csv"
    file.write_text(",".join(f"c{i}" for i in range(10**6)) + "\n" + ",".join("1" * 10**6) + "\n")
    start = time.perf_counter()
    with pytest.raises(NervaError, match=r"has 1,000,000 columns; at most 10,000 .*belongs in an \.npz file"):
        describe(table(file), tmp_path)
    assert time.perf_counter() - start < 60  # pandas would take minutes, and gigabytes
