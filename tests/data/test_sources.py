"""Data that nerva does not know beforehand: reading, splitting, describing and preparing them."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nerva.data import Dataset, Prepared, load_prepared, prepare
from nerva.data.describing import default_name, describe
from nerva.data.sources import public_path, read
from nerva.datasets import checksum
from nerva.errors import NervaError
from nerva.experiment.config.composition import compose
from nerva.experiment.config.validation import LARGEST_SIZE
from nerva.experiment.identity.identify import identify
from tests.data.user_files import arrays, write_npz


def npz(path: Path, **changes: object) -> Dataset:
    """A dataset that an `.npz` file describes."""
    known = {"test_fraction": 0.2, "validation_fraction": 0.25, **changes}
    return Dataset(name="", source="npz", path=str(path), **known)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path) -> Path:
    return write_npz(tmp_path / "my data.npz", **arrays())


def test_what_is_found_in_a_file(file, tmp_path) -> None:
    described = describe(npz(file), tmp_path)
    assert (described.name, described.title) == ("my_data", "my data.npz")
    assert (described.features, described.classes, described.class_names) == (12, 2, [])
    assert (described.train, described.validation, described.test) == (32, 8, 8)
    assert described.sha256 == checksum(read(npz(file), tmp_path).arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["my data.npz"]  # nothing is written
    assert describe(described, tmp_path) is described


def test_the_samples_of_a_sorted_file_are_split_at_random_and_by_class(file, tmp_path) -> None:
    content = read(npz(file), tmp_path)
    T = content.arrays["Ttrain"]
    assert np.bincount(T[-content.validation :]).tolist() == [4, 4]
    assert np.bincount(content.arrays["Ttest"]).tolist() == [4, 4]
    # Each sample is in one part.
    X = np.concatenate([content.arrays["Xtrain"], content.arrays["Xtest"]])
    expected = arrays()["X"].reshape(40, -1).astype(np.float32)
    np.testing.assert_array_equal(X[np.lexsort(X.T)], expected[np.lexsort(expected.T)])
    other = read(npz(file, split_seed=1), tmp_path)
    assert checksum(other.arrays) != checksum(content.arrays)
    counted = read(npz(file, test=10, validation=6), tmp_path)
    assert (len(counted.arrays["Xtest"]), counted.validation) == (10, 6)


def test_a_file_with_test_samples_keeps_them(tmp_path) -> None:
    train, test = arrays(30), arrays(10, seed=2)
    file = write_npz(tmp_path / "a.npz", Xtrain=train["X"], Ttrain=train["T"], Xtest=test["X"], Ttest=test["T"])
    content = read(npz(file), tmp_path)
    np.testing.assert_array_equal(content.arrays["Ttest"], test["T"])
    np.testing.assert_allclose(content.arrays["Xtest"], test["X"].reshape(10, -1), rtol=1e-6)
    assert len(content.arrays["Xtrain"]) == 30


def test_labels_become_numbers_from_0(tmp_path) -> None:
    T = np.array(["red", "green"] * 20)
    described = describe(npz(write_npz(tmp_path / "a.npz", X=np.eye(40), T=T)), tmp_path)
    assert described.class_names == ["green", "red"]
    described = describe(npz(write_npz(tmp_path / "a.npz", X=np.eye(40), T=np.array([3.0, 7.0] * 20))), tmp_path)
    assert described.class_names == ["3", "7"]
    assert read(npz(tmp_path / "a.npz"), tmp_path).arrays["Ttrain"].dtype == np.int64


def test_colour_images_become_planes(tmp_path) -> None:
    X = np.zeros((20, 4, 5, 3))
    X[..., 1] = 1
    content = read(npz(write_npz(tmp_path / "a.npz", X=X, T=np.arange(20) % 2)), tmp_path)
    np.testing.assert_array_equal(content.arrays["Xtest"], [[0] * 20 + [1] * 20 + [0] * 20] * 4)


@pytest.mark.parametrize("columns", [1, 2])
def test_regression(tmp_path, columns: int) -> None:
    T = np.random.default_rng(1).random((40, columns))
    file = write_npz(tmp_path / "a.npz", X=np.eye(40), T=T[:, 0] if columns == 1 else T)
    described = describe(npz(file, task="regression"), tmp_path)
    assert (described.targets, described.classes, described.outputs) == (columns, 0, columns)
    loaded, sha256 = load_prepared(described, prepare(described, tmp_path).npz.parent)
    assert loaded["Ttrain"].dtype == np.float32
    assert loaded["Ttrain"].shape == (32, columns)
    assert sha256 == described.sha256


def test_the_id_of_a_run_depends_on_the_contents_only(tmp_path) -> None:
    """Not on the folder, the name, or the compression of the file."""

    def run_id(path: Path, *overrides: str) -> str:
        return identify(compose(["data=npz", f"data.path='{path}'", "train.batch_size=10", *overrides])).run_id

    (tmp_path / "elsewhere").mkdir()
    paths = [tmp_path / "a.npz", tmp_path / "elsewhere" / "other name.npz"]
    write_npz(paths[0], **arrays())
    np.savez_compressed(paths[1], **arrays())  # type: ignore[arg-type]
    assert len({run_id(path) for path in paths}) == 1
    # The same arrays, declared by hand.
    described = describe(compose(["data=npz", f"data.path={paths[0]}"]).data, tmp_path)
    written = prepare(described, tmp_path).npz
    with np.load(written) as prepared:
        assert checksum(dict(prepared)) == described.sha256
    before = run_id(paths[0])
    changed = arrays()
    changed["X"][0, 0, 0] += 0.5
    write_npz(paths[0], **changed)
    assert run_id(paths[0]) != before
    assert run_id(paths[1]) == before
    assert run_id(paths[1], "data.split_seed=1") != before
    assert run_id(paths[1], "data.steps=[StandardScaler]") != before


def test_two_files_of_one_name_have_two_prepared_files(tmp_path) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        write_npz(tmp_path / str(seed) / "a.npz", **arrays(seed=seed))
    both = [describe(npz(tmp_path / str(seed) / "a.npz"), tmp_path) for seed in (1, 2)]
    assert {dataset.name for dataset in both} == {"a"}
    for dataset in both:
        assert load_prepared(dataset, prepare(dataset, tmp_path).npz.parent)[1] == dataset.sha256
    assert len(list(tmp_path.glob("a-*.npz"))) == 2


def test_a_file_that_changed_is_refused(file, tmp_path) -> None:
    described = describe(npz(file), tmp_path)
    changed = arrays()
    changed["X"][3] = 9
    write_npz(file, **changed)
    with pytest.raises(NervaError, match=r"my data\.npz has changed: the sha256 of its arrays is .* is declared"):
        prepare(described, tmp_path)
    assert not list(tmp_path.glob("my_data*"))
    write_npz(file, **arrays())
    prepared = prepare(described, tmp_path)
    describe(described, tmp_path)
    # A file that is newer than the prepared one is read again.
    write_npz(file, **changed)
    later = prepared.npz.stat().st_mtime + 10
    os.utime(file, (later, later))
    with pytest.raises(NervaError, match="has changed"):
        describe(described, tmp_path)
    # So is one that was moved there, whatever the time of its contents is.
    older = write_npz(tmp_path / "older.npz", **changed)
    os.utime(older, (0, 0))
    older.replace(file)
    with pytest.raises(NervaError, match="has changed"):
        describe(described, tmp_path)
    # Without the file, what is prepared remains usable.
    file.unlink()
    assert describe(described, tmp_path) is described
    assert prepare(described, tmp_path) == prepared


def test_a_prepared_file_names_no_folder(file, tmp_path) -> None:
    described = describe(npz(file), tmp_path)
    provenance = json.loads(prepare(described, tmp_path).provenance.read_text())
    assert provenance["source"] == "my data.npz: arrays of NumPy"
    assert str(tmp_path) not in json.dumps(provenance)


@pytest.mark.parametrize(
    ("path", "public"),
    [("a.npz", "a.npz"), ("x/a.npz", "x/a.npz"), ("/home/u/a.npz", "a.npz"), ("~/x/a.npz", "a.npz"), ("", "")],
)
def test_paths_in_records(path: str, public: str) -> None:
    assert public_path(path) == public


@pytest.mark.parametrize(
    ("path", "name"), [("x/a b.npz", "a_b"), ("x/.hidden.npz", "hidden"), ("ä.npz", "npz"), ("x/a.b.npz", "a.b")]
)
def test_names_of_files_become_names_of_datasets(path: str, name: str) -> None:
    assert default_name(npz(Path(path))) == name


def ragged() -> np.ndarray:
    X = np.empty(2, object)
    X[:] = [[1], [1, 2]]
    return X


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"X": np.full((40, 2), np.nan)},
            r"a\.npz: the inputs have 80 values that are missing \(NaN\).*row 1, column 1",
        ),
        ({"X": np.full((40, 2), 1e300)}, r"a\.npz: the inputs has a number that is too large for float32"),
        ({"X": np.zeros((39, 2))}, r"X \(39, 2\) and T \(40,\) should have one row per sample"),
        ({"X": np.zeros(())}, "should have one row per sample"),
        ({"X": np.zeros((40, 0))}, "has no features"),
        ({"X": np.full((40, 2), "a")}, "X should hold numbers, not <U1"),
        ({"X": ragged()}, "X holds Python objects"),
        ({"T": np.where(np.arange(40) < 3, np.nan, 1)}, r"the labels have 3 values that are missing \(NaN\)"),
        ({"T": np.zeros(40, int)}, r'all samples have the label "0"; a classification needs two or more'),
        ({"T": np.arange(40) / 2}, r"0\.5 is a label, but .* data\.task=regression predicts numbers"),
        ({"T": (np.arange(40) == 0).astype(int)}, r'each class needs at least 3 samples.* "1" \(1\) has fewer'),
        ({"T": np.eye(40)}, r"a label should be one value, but the labels have the shape \(40, 40\)"),
        ({"X": np.ones((1, 2)), "T": np.ones(1)}, r"a\.npz has 1 sample; at least one for training"),
        ({"T": None}, r"should have the arrays Xtrain, Ttrain, Xtest and Ttest, or X and T; it has X"),
        ({"Xtrain": np.ones((4, 2))}, r"a\.npz has Xtrain, but not Ttrain and Xtest and Ttest"),
    ],
)
def test_bad_arrays(tmp_path, changes: dict, message: str) -> None:
    content = {name: x for name, x in (arrays() | changes).items() if x is not None}
    file = write_npz(tmp_path / "a.npz", **content)
    with pytest.raises(NervaError, match=message):
        describe(npz(file), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_bad_targets_of_a_regression(tmp_path) -> None:
    for T, message in (
        (np.full(40, "a"), "the targets of a regression should be numbers, not <U1"),
        (np.full((40, 2), np.inf), "the targets have 80 values that are missing .* or infinite"),
        (np.ones((40, 2, 2)), "the targets of a regression should be numbers"),
    ):
        file = write_npz(tmp_path / "a.npz", X=np.eye(40), T=T)
        with pytest.raises(NervaError, match=message):
            describe(npz(file, task="regression"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": ""}, r"data\.path is missing: the \.npz file"),
        ({"path": "nowhere.npz"}, r"nowhere\.npz: there is no such file"),
        ({"task": "clustering"}, r'data\.task should be classification or regression, not "clustering"'),
        ({"test_fraction": 0.0}, r"data\.test_fraction should be more than 0 and less than 1, not 0"),
        ({"test_fraction": 1.5}, r"data\.test_fraction should be"),
        ({"validation_fraction": float("nan")}, r"data\.validation_fraction should be"),
        ({"test": 41}, "the test samples can't be split off 40 samples: test_size=41 should be"),
        ({"validation": 1}, "the validation samples can't be split off 32 samples: .*number of classes = 2"),
    ],
)
def test_bad_settings(file, tmp_path, changes: dict, message: str) -> None:
    with pytest.raises(NervaError, match=message):
        describe(replace(npz(file), **changes), tmp_path)


def test_a_folder_or_a_damaged_file_is_no_npz_file(tmp_path) -> None:
    with pytest.raises(NervaError, match=r"is not a readable \.npz file"):
        describe(npz(tmp_path), tmp_path)
    file = tmp_path / "a.npz"
    file.write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(NervaError, match=r"is not a readable \.npz file"):
        describe(npz(file), tmp_path)


def test_too_many_features_are_refused(tmp_path) -> None:
    file = write_npz(tmp_path / "a.npz", X=np.zeros((30, LARGEST_SIZE + 1), np.int8), T=np.arange(30) % 2)
    with pytest.raises(NervaError, match=r"data\.features should be 1 to 1000000, not 1000001"):
        identify(compose(["data=npz", f"data.path={file}"]))


@pytest.mark.parametrize(
    ("name", "task", "shape"),
    [
        ("wine", "classification", (178, 13)),
        ("breast_cancer", "classification", (569, 30)),
        ("linnerud", "regression", (20, 3)),
    ],
)
def test_datasets_of_scikit_learn(tmp_path, name: str, task: str, shape: tuple[int, int]) -> None:
    dataset = npz(Path(name), task=task)
    dataset.source = "sklearn"
    described = describe(dataset, tmp_path)
    assert (described.train + described.test, described.features) == shape
    assert described.name == name
    assert load_prepared(described, prepare(described, tmp_path).npz.parent)[1] == described.sha256


def test_class_names_of_scikit_learn(tmp_path) -> None:
    iris = Dataset(name="", source="sklearn", path="iris", test_fraction=0.2, validation_fraction=0.2)
    assert describe(iris, tmp_path).class_names == ["setosa", "versicolor", "virginica"]


def test_diabetes(tmp_path) -> None:
    """A regression that is declared with its checksum, so that it is not read to compose a configuration."""
    diabetes = compose(["data=diabetes"]).data
    loaded, sha256 = load_prepared(diabetes, prepare(diabetes, tmp_path).npz.parent)
    assert sha256 != diabetes.sha256  # of the arrays before the steps
    fitted = loaded["Ttrain"][: diabetes.train - diabetes.validation]
    assert fitted.shape == (284, 1)
    np.testing.assert_allclose([fitted.mean(), fitted.std()], [0, 1], atol=1e-5)
    assert abs(loaded["Ttest"].mean()) > 0.01


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("winee", r'scikit-learn has no dataset "winee"; data\.path should be one of .*diabetes.*wine'),
        ("files", 'scikit-learn has no dataset "files"'),
        (
            "california_housing",
            "has not been downloaded; `nerva prepare sklearn data.path=california_housing` downloads it",
        ),
    ],
)
def test_bad_names_for_scikit_learn(tmp_path, name: str, message: str) -> None:
    with pytest.raises(NervaError, match=message):
        describe(Dataset(name="", source="sklearn", path=name), tmp_path)
    assert not list(tmp_path.iterdir())


def test_scikit_learn_without_a_network(tmp_path, no_network) -> None:
    dataset = Dataset(name="", source="sklearn", path="california_housing", task="regression")
    with pytest.raises(NervaError, match=r"scikit-learn's california_housing could not be downloaded: .*refused"):
        describe(dataset, tmp_path, download=True)
    assert not list(tmp_path.iterdir())


def test_prepared_files_of_other_sources_keep_their_names(dataset, tmp_path) -> None:
    assert Prepared.of(dataset, tmp_path).npz == tmp_path / "tiny.npz"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": np.zeros((0, 4)), "T": np.zeros(0, int)}, r"a\.npz: X has no samples"),
        ({"X": np.ones((5, 4)), "T": np.int64(3)}, r"X \(5, 4\) and T \(\) should have one row per sample"),
        (
            {
                "Xtrain": np.ones((9, 2)),
                "Ttrain": np.arange(9) % 2,
                "Xtest": np.ones((0, 2)),
                "Ttest": np.zeros(0, int),
            },
            r"a\.npz: Xtest has no samples",
        ),
    ],
)
def test_empty_arrays(tmp_path, content: dict[str, np.ndarray], message: str) -> None:
    write_npz(tmp_path / "a.npz", **content)
    with pytest.raises(NervaError, match=message):
        describe(npz(tmp_path / "a.npz"), tmp_path)


def test_a_regression_without_targets(tmp_path) -> None:
    file = write_npz(tmp_path / "a.npz", X=np.ones((9, 2)), T=np.zeros((9, 0)))
    with pytest.raises(NervaError, match=r"the targets of a regression should be numbers, not float64 \(9, 0\)"):
        describe(npz(file, task="regression"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split_seed": -1}, "data.split_seed should be 0 to 4294967295, not -1"),
        ({"test": -5}, "data.test should be 0 or more, not -5"),
        ({"test_fraction": 1.5}, "data.test_fraction should be more than 0 and less than 1, not 1.5"),
        ({"missing": [["a"]]}, "data.missing should be a list of texts"),
    ],
)
def test_values_of_the_wrong_kind(file, tmp_path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(NervaError, match=re.escape(message)):
        describe(npz(file, **changes), tmp_path)
