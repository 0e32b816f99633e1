"""Steps of preparation."""

import json
from dataclasses import replace

import numpy as np
import pytest

from nerva.data import Dataset, Prepared, load_prepared, prepare
from nerva.data.steps import STEPS, Step, apply_steps, used, with_steps, without_steps
from nerva.datasets import checksum
from nerva.errors import NervaError
from nerva.experiment.config.composition import compose
from nerva.experiment.config.validation import validate
from nerva.experiment.identity.canonical import canonical_form
from nerva.experiment.identity.identify import identify
from tests.data.raw_files import put

RNG = np.random.default_rng(1)


def some(train: int = 20, features: int = 16) -> dict[str, np.ndarray]:
    arrays = {
        f"X{part}": RNG.normal(3, 2, (n, features)).astype(np.float32) for part, n in (("train", train), ("test", 8))
    }
    return arrays | {"Ttrain": np.arange(train) % 2, "Ttest": np.arange(8) % 2}


def described(*steps: str, **changes: object) -> Dataset:
    """A dataset with 20 training samples, 5 of them for validation, and 16 features."""
    known = {"name": "a", "features": 16, "classes": 2, "train": 20, "test": 8, "validation": 5, **changes}
    return with_steps(Dataset(steps=list(steps), **known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "step",
    ["StandardScaler", "MinMaxScaler(-1, 1)", "MaxAbsScaler", "RobustScaler", "QuantileTransformer(10)", "Divide(2)"],
)
def test_steps_are_fitted_on_the_training_samples_only(step: str) -> None:
    arrays = some()
    before = {name: x.copy() for name, x in arrays.items()}
    after = apply_steps(described(step), arrays)
    others = arrays | {
        "Xtest": arrays["Xtest"] + 9,
        "Xtrain": np.concatenate([arrays["Xtrain"][:15], RNG.random((5, 16), np.float32)]),
    }
    again = apply_steps(described(step), others)
    np.testing.assert_array_equal(after["Xtrain"][:15], again["Xtrain"][:15])
    assert {name: x.shape for name, x in after.items()} == {name: x.shape for name, x in arrays.items()}
    assert after["Xtrain"].dtype == np.float32
    for name, x in arrays.items():
        np.testing.assert_array_equal(x, before[name])  # the arrays may be mapped files
    assert not np.array_equal(after["Xtest"], arrays["Xtest"])


def test_what_steps_compute() -> None:
    arrays = some()
    standard = apply_steps(described("StandardScaler"), arrays)["Xtrain"][:15]
    np.testing.assert_allclose([standard.mean(axis=0), standard.std(axis=0)], [[0] * 16, [1] * 16], atol=1e-5)
    scaled = apply_steps(described("MinMaxScaler"), arrays)["Xtrain"][:15]
    np.testing.assert_allclose([scaled.min(axis=0), scaled.max(axis=0)], [[0] * 16, [1] * 16], atol=1e-6)
    normal = apply_steps(described("Normalizer"), arrays)["Xtest"]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, rtol=1e-5)
    both = apply_steps(described("Divide(2)", "MaxAbsScaler"), arrays)
    np.testing.assert_allclose(both["Xtrain"], apply_steps(described("MaxAbsScaler"), arrays)["Xtrain"], rtol=1e-6)


def test_one_hot_columns() -> None:
    arrays = some(features=4)
    for name in ("Xtrain", "Xtest"):
        arrays[name][:, 1] = np.arange(len(arrays[name])) % 3
    dataset = described("OneHotEncoder(columns=[1], values=[3])", features=4)
    assert (dataset.features, dataset.train, dataset.before_steps) == (6, 20, [20, 4])
    after = apply_steps(dataset, arrays)
    np.testing.assert_array_equal(after["Xtest"][:, :3], arrays["Xtest"][:, [0, 2, 3]])
    np.testing.assert_array_equal(after["Xtest"][:, 3:], np.eye(3)[np.arange(8) % 3])
    arrays["Xtest"][0, 1] = 7
    with pytest.raises(NervaError, match="OneHotEncoder: Found unknown categories"):
        apply_steps(dataset, arrays)


def as_images(X: np.ndarray) -> np.ndarray:
    """Rows with 16 pixels, or with three planes of 16 pixels, as images: N×4×4 or N×4×4×3."""
    return X.reshape(-1, 4, 4) if X.shape[1] == 16 else X.reshape(-1, 3, 4, 4).transpose(0, 2, 3, 1)


def test_augmentation() -> None:
    arrays = some()
    dataset = described("Augment(copies=2, shift=1, flip=0.5)")
    assert (dataset.train, dataset.features) == (15 * 3 + 5, 16)
    after = apply_steps(dataset, arrays)
    X = after["Xtrain"]
    np.testing.assert_array_equal(X[:15], arrays["Xtrain"][:15])
    np.testing.assert_array_equal(X[-5:], arrays["Xtrain"][-5:])  # for validation
    np.testing.assert_array_equal(after["Xtest"], arrays["Xtest"])
    np.testing.assert_array_equal(after["Ttrain"], [*arrays["Ttrain"][:15]] * 3 + [*arrays["Ttrain"][-5:]])
    assert not np.array_equal(X[15:30], X[30:45])
    # Each copy is its image, moved by at most one pixel and perhaps mirrored.
    possible = []
    for image in (as_images(arrays["Xtrain"][:15]), as_images(arrays["Xtrain"][:15])[:, :, ::-1]):
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
        possible += [padded[:, i : i + 4, j : j + 4].reshape(15, 16) for i in range(3) for j in range(3)]
    for copies in (X[15:30], X[30:45]):
        found = np.array([(copies == moved).all(axis=1) for moved in possible])
        assert (found.sum(axis=0) == 1).all()
    assert checksum(apply_steps(dataset, arrays)) == checksum(after)
    other = described("Augment(copies=2, shift=1, flip=0.5, seed=2)")
    assert checksum(apply_steps(other, arrays)) != checksum(after)


def test_colours_of_an_augmented_image_move_together() -> None:
    arrays = some(features=48)
    arrays["Xtrain"][:] = np.tile(arrays["Xtrain"][:, :16], 3)
    X = apply_steps(described("Augment(shift=2, flip=1)", features=48), arrays)["Xtrain"][15:30]
    np.testing.assert_array_equal(X[:, :16], X[:, 16:32])
    np.testing.assert_array_equal(X[:, :16], X[:, 32:])
    flipped = apply_steps(described("Augment(flip=1)", features=48), arrays)["Xtrain"][15:30]
    np.testing.assert_array_equal(as_images(flipped), as_images(arrays["Xtrain"][:15])[:, :, ::-1])


def test_targets_of_a_regression() -> None:
    arrays = some() | {"Ttrain": RNG.normal(9, 5, (20, 2)).astype(np.float32), "Ttest": np.ones((8, 2), np.float32)}
    dataset = described(task="regression", targets=2, classes=0, target_steps=["StandardScaler"])
    after = apply_steps(dataset, arrays)
    np.testing.assert_allclose(after["Ttrain"][:15].std(axis=0), 1, rtol=1e-5)
    np.testing.assert_array_equal(after["Xtrain"], arrays["Xtrain"])
    # A classification has labels, which are not scaled.
    assert used(replace(dataset, task="classification")) == ([], [])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (["Foo"], r'data\.steps: unknown step "Foo"; known: .*StandardScaler'),
        (["MinMaxScaler(1, 0)"], r"data\.steps: MinMaxScaler: low should be less than high, not 1 and 0"),
        (["MinMaxScaler(a)"], r'data\.steps: .*"low" should be a number, not "a"'),
        (["RobustScaler(50, 10)"], "RobustScaler: 0 <= low < high <= 100"),
        (["QuantileTransformer(0)"], "QuantileTransformer: quantiles should be 1 or more"),
        (["QuantileTransformer(10, -1)"], "seed 0 to 4294967295, not 10 and -1"),
        (["Normalizer(l3)"], 'Normalizer: norm should be l1, l2 or max, not "l3"'),
        (["Divide(0)"], "Divide: by should be a number other than 0"),
        (["OneHotEncoder([16], [2])"], r"OneHotEncoder: columns should be 0 to 15, not \[16\]"),
        (["OneHotEncoder([1, 2], [2])"], "should have as many values"),
        (["Augment"], "Augment needs shift or flip"),
        (["Augment(shift=-1)"], "shift 0 to 1000 pixels"),
        (["OneHotEncoder([1], [3])", "Augment(shift=1)"], "Augment needs square images.* 18 features are not"),
    ],
)
def test_bad_steps(steps: list[str], message: str) -> None:
    with pytest.raises(NervaError, match=message):
        described(*steps)


def test_bad_target_steps() -> None:
    for step, message in (("Augment(flip=1)", "changes the number|needs square"), ("Foo", "unknown step")):
        with pytest.raises(NervaError, match=rf"(data\.target_steps: .*)?({message})"):
            described(task="regression", targets=1, target_steps=[step])


def test_numbers_that_are_not_finite_are_refused() -> None:
    @STEPS.register("Overflow")
    def overflow() -> Step:
        return Step(lambda arrays, validation: arrays | {"Xtest": arrays["Xtest"] * np.float32(np.inf)})

    try:
        with pytest.raises(NervaError, match="a: after the steps, Xtest has values that are not finite"):
            apply_steps(described("Overflow"), some())
    finally:
        del STEPS.components["Overflow"]


def test_a_dataset_with_steps_is_prepared_once(dataset, tmp_path) -> None:
    raw = put(tmp_path / "raw" / "tiny")
    plain = prepare(dataset, tmp_path)
    stepped = with_steps(replace(dataset, steps=["StandardScaler", "OneHotEncoder([0], [1])"][:1]))
    prepared = prepare(stepped, tmp_path)
    assert prepared != plain
    provenance = json.loads(prepared.provenance.read_text())
    assert provenance["steps"] == ["StandardScaler"]
    assert provenance["source"] == json.loads(plain.provenance.read_text())["source"]
    arrays, sha256 = load_prepared(stepped, tmp_path)
    assert sha256 == provenance["sha256"] == checksum(arrays)
    before = prepared.npz.stat().st_mtime_ns
    plain.npz.unlink()
    for file in raw.iterdir():
        file.unlink()
    assert prepare(stepped, tmp_path).npz.stat().st_mtime_ns == before
    # Fewer samples for validation give another fit.
    assert Prepared.of(replace(stepped, validation=4), tmp_path) != prepared


def test_a_changed_file_with_steps_is_refused(dataset, tmp_path) -> None:
    put(tmp_path / "raw" / "tiny")
    stepped = with_steps(replace(dataset, steps=["StandardScaler"]))
    prepared = prepare(stepped, tmp_path)
    arrays, _ = load_prepared(stepped, tmp_path)
    np.savez(prepared.npz, **{name: x + (name == "Xtest") for name, x in arrays.items()})
    with pytest.raises(NervaError, match="is not what was prepared"):
        load_prepared(stepped, tmp_path)


def test_steps_are_part_of_the_identity() -> None:
    def form(*overrides: str) -> dict:
        return canonical_form(compose(["data=digits", *overrides]))["data"]  # type: ignore[return-value]

    plain = form()
    assert "steps" not in plain
    assert "preparation" not in plain
    stepped = form("data.steps=[MinMaxScaler]")
    assert stepped["steps"] == ["MinMaxScaler(low=0.0, high=1.0)"]
    assert {*stepped["preparation"]} == {"steps"}
    assert stepped == form("data.steps=['MinMaxScaler(high=1)']")
    assert stepped != form("data.steps=['MinMaxScaler(0, 2)']")
    assert {*form("data.steps=[MinMaxScaler]", "data.sha256=null")["preparation"]} == {"steps", "formats", "raw"}
    regression = canonical_form(compose(["data=diabetes"]))["data"]
    assert regression["target_steps"] == ["StandardScaler"]


def test_a_configuration_has_the_sizes_after_the_steps() -> None:
    config = compose(["data=digits", "data.steps=['OneHotEncoder([0], [1])','OneHotEncoder([1, 2], [16, 17])']"])
    assert config.data.features == config.sizes[0] == 64 - 2 + 33
    assert (without_steps(config.data).features, without_steps(config.data).train) == (64, 1500)
    identify(config)
    config.data.features = 64
    with pytest.raises(NervaError, match=r"data\.steps do not give .*data\.features=64 from .*\[1500, 64\]"):
        validate(config)
    config.data.before_steps = []
    with pytest.raises(NervaError, match=r"data\.steps do not give"):
        validate(config)
