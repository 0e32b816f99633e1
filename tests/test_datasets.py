"""Batches, labels and `.npz` files."""

import numpy as np
import pytest

from nerva.datasets import (
    DataLoader,
    checksum,
    create_npz_dataloaders,
    from_one_hot,
    infer_num_classes,
    load_npz_dataset,
    to_one_hot,
)
from nerva.errors import NervaError

X = np.arange(14, dtype=np.float32).reshape(7, 2)
T = np.array([0, 1, 2, 0, 1, 2, 0])


def test_one_hot_and_back() -> None:
    Y = to_one_hot(T, 4)
    assert Y.shape == (7, 4)
    assert Y.dtype == np.float32
    np.testing.assert_array_equal(from_one_hot(Y), T)
    np.testing.assert_array_equal(to_one_hot(T[:, None], 4), Y)
    np.testing.assert_array_equal(to_one_hot(T.astype(np.uint8), 4), Y)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, -1]), "label -1 is outside the 3 classes, 0 to 2"),
        (np.array([0, 3]), "label 3 is outside the 3 classes, 0 to 2"),
        (np.array([0.0, 1.0]), "whole numbers, not float64"),
        (np.zeros((2, 2), int), r"not a matrix of shape \(2, 2\)"),
    ],
)
def test_invalid_labels_are_refused(labels: np.ndarray, message: str) -> None:
    with pytest.raises(NervaError, match=message):
        to_one_hot(labels, 3)


def test_batches_in_order() -> None:
    loader = DataLoader(X, T, 3)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [len(x) for x, _ in batches] == [3, 3, 1]
    np.testing.assert_array_equal(np.vstack([x for x, _ in batches]), X)
    np.testing.assert_array_equal(from_one_hot(np.vstack([t for _, t in batches])), T)


def test_batches_in_random_order() -> None:
    loader, same = (DataLoader(X, T, 3, rng=np.random.default_rng(1)) for _ in range(2))
    epochs = [np.vstack([np.hstack(batch) for batch in loader]) for _ in range(2)]
    again = [np.vstack([np.hstack(batch) for batch in same]) for _ in range(2)]
    np.testing.assert_array_equal(epochs, again)
    assert (epochs[0] != epochs[1]).any()
    everything = np.hstack([X, to_one_hot(T, 3)])
    for epoch in epochs:  # each sample once, with its target
        np.testing.assert_array_equal(epoch[epoch[:, 0].argsort()], everything)


def test_evaluation_does_not_change_the_order() -> None:
    loader, same = (DataLoader(X, T, 3, rng=np.random.default_rng(1)) for _ in range(2))
    list(loader.in_order())
    np.testing.assert_array_equal(next(iter(loader))[0], next(iter(same))[0])


def test_one_hot_targets_are_used_as_they_are() -> None:
    loader = DataLoader(X, to_one_hot(T, 3), 7, num_classes=3)
    np.testing.assert_array_equal(next(iter(loader))[1], to_one_hot(T, 3))


@pytest.mark.parametrize("size", [0, -1])
def test_batch_sizes_below_1_are_refused(size: int) -> None:
    with pytest.raises(NervaError, match=f"batch size {size} should be 1 or more"):
        DataLoader(X, T, size)


def test_a_batch_may_be_larger_than_the_dataset() -> None:
    (batch,) = DataLoader(X, T, 100)
    assert len(batch[0]) == 7


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64, np.float64])
def test_batches_are_float32(dtype: type) -> None:
    one_hot = to_one_hot(T, 3)
    for targets in (T, one_hot.astype(dtype)):
        x, t = next(iter(DataLoader(X.astype(np.uint8), targets, 4, 3)))
        assert (x.dtype, t.dtype) == (np.float32, np.float32)
        np.testing.assert_array_equal(t, one_hot[:4])


def test_a_column_of_real_numbers_is_a_target() -> None:
    column = np.linspace(0, 1, 7)[:, None]
    loader = DataLoader(X, column, 7)
    assert loader.num_classes == 1
    np.testing.assert_allclose(next(iter(loader))[1], column, rtol=1e-6)


def test_inputs_and_targets_must_have_the_same_length() -> None:
    with pytest.raises(NervaError, match="7 inputs do not match 6 targets"):
        DataLoader(X, T[:6], 3)


@pytest.mark.parametrize("targets", [T, T[:, None], to_one_hot(T, 3)], ids=["labels", "column", "one-hot"])
def test_npz(tmp_path, targets: np.ndarray) -> None:
    np.savez(tmp_path / "data.npz", Xtrain=X.astype(np.uint8), Ttrain=targets, Xtest=X[:2], Ttest=targets[:2])
    train, test = create_npz_dataloaders(tmp_path / "data.npz", batch_size=4)
    assert infer_num_classes(targets, targets[:2]) == 3
    x, t = next(iter(test))
    assert x.dtype == np.float32
    np.testing.assert_array_equal(t, to_one_hot(T[:2], 3))
    assert train.dataset_size == 7


def test_invalid_npz_files_are_refused(tmp_path) -> None:
    path = tmp_path / "data.npz"
    with pytest.raises(NervaError, match=r"data\.npz: there is no such file"):
        load_npz_dataset(path)
    path.write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(NervaError, match=r"data\.npz is not a readable \.npz file"):
        load_npz_dataset(path)
    np.savez(path, Xtrain=X, Ttrain=T, Xtest=X)
    with pytest.raises(NervaError, match=r"has no Ttest; it has Xtrain, Ttrain, Xtest"):
        load_npz_dataset(path)
    np.savez(path, Xtrain=X, Ttrain=T[:3], Xtest=X, Ttest=T)
    with pytest.raises(NervaError, match=r"Xtrain \(7, 2\) and Ttrain \(3,\) should have one row per sample"):
        load_npz_dataset(path)
    np.savez(path, Xtrain=X, Ttrain=T, Xtest=X[:, :1], Ttest=T)
    with pytest.raises(NervaError, match="the same number of columns"):
        load_npz_dataset(path)
    np.savez(path, Xtrain=X, Ttrain=np.array([{}] * 7), Xtest=X, Ttest=T)  # an array of Python objects is pickled
    with pytest.raises(NervaError, match="not a readable"):
        load_npz_dataset(path)


@pytest.mark.parametrize("bad", [np.array(3), np.array(["a"] * 7), np.ones(7, complex)])
def test_npz_files_without_numbers_are_refused(tmp_path, bad: np.ndarray) -> None:
    np.savez(tmp_path / "data.npz", Xtrain=X, Ttrain=bad, Xtest=X, Ttest=T)
    with pytest.raises(NervaError, match=r"data\.npz: .*Ttrain.* should h"):
        load_npz_dataset(tmp_path / "data.npz")


def test_an_npy_file_is_not_an_npz_file(tmp_path) -> None:
    with (tmp_path / "data.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(NervaError, match="not a readable"):
        load_npz_dataset(tmp_path / "data.npz")


def test_a_flipped_bit_in_an_npz_file_is_detected(tmp_path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, Xtrain=X, Ttrain=T, Xtest=X, Ttest=T)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(NervaError, match="not a readable"):
        load_npz_dataset(path)


def test_checksum() -> None:
    same = checksum({"a": X, "b": T})
    assert same == checksum({"b": T.copy(), "a": X[:]})
    others = [{"a": X + 1, "b": T}, {"a": X.astype(np.float64), "b": T}, {"a": X.T, "b": T}, {"c": X, "b": T}]
    assert same not in [checksum(other) for other in others]
    assert checksum({"a": X.T}) == checksum({"a": X.T.copy()})
