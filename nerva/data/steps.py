"""Steps of preparation, specified as components are: `StandardScaler`, `MinMaxScaler(0, 1)`.

The transformers are scikit-learn's. They are fitted on the training samples without the validation samples.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nerva.data.description import Dataset
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.specifications import Registry

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """A step of preparation: how it changes the arrays, and their numbers of training samples and features."""

    # The arrays after the step, given those before it and the number of validation samples.
    apply: Callable[[dict[str, Matrix], int], dict[str, Matrix]]
    # The numbers of samples for training and of features after the step, given those before it.
    shape: Callable[[int, int], tuple[int, int]] = lambda samples, features: (samples, features)


STEPS: Registry[Step] = Registry("step")


def _fitted(transformer: Callable[[], Any], shape: Callable[[int, int], tuple[int, int]] | None = None) -> Step:
    """The step of a transformer of scikit-learn."""

    def apply(arrays: dict[str, Matrix], validation: int) -> dict[str, Matrix]:
        X = arrays["Xtrain"]
        fitted = transformer().fit(X[: len(X) - validation])
        return {
            name: np.asarray(fitted.transform(x), x.dtype) if name.startswith("X") else x for name, x in arrays.items()
        }

    return Step(apply, shape) if shape else Step(apply)


def _sklearn() -> Any:
    """The transformers. They take a second to import, which composing a configuration does not need."""
    from sklearn import preprocessing

    return preprocessing


@STEPS.register("StandardScaler")
def standard_scaler() -> Step:
    """Each feature gets mean 0 and standard deviation 1."""
    return _fitted(lambda: _sklearn().StandardScaler())


@STEPS.register("MinMaxScaler")
def min_max_scaler(low: float = 0.0, high: float = 1.0) -> Step:
    """Each feature gets a range."""
    if not low < high:
        raise NervaError(f"MinMaxScaler: low should be less than high, not {low:g} and {high:g}")
    return _fitted(lambda: _sklearn().MinMaxScaler((low, high)))


@STEPS.register("MaxAbsScaler")
def max_abs_scaler() -> Step:
    """Each feature is divided by its largest absolute value."""
    return _fitted(lambda: _sklearn().MaxAbsScaler())


@STEPS.register("RobustScaler")
def robust_scaler(low: float = 25.0, high: float = 75.0) -> Step:
    """Each feature gets median 0, and its range between two percentiles becomes 1."""
    if not 0 <= low < high <= 100:
        raise NervaError(f"RobustScaler: 0 <= low < high <= 100 should hold, not {low:g} and {high:g}")
    return _fitted(lambda: _sklearn().RobustScaler(quantile_range=(low, high)))


@STEPS.register("QuantileTransformer")
def quantile_transformer(quantiles: int = 1000, seed: int = 0) -> Step:
    """Each feature gets a uniform distribution on [0, 1]."""
    if quantiles < 1 or not 0 <= seed < 2**32:
        raise NervaError(
            f"QuantileTransformer: quantiles should be 1 or more, and seed 0 to {2**32 - 1}, not {quantiles} and {seed}"
        )
    return _fitted(lambda: _sklearn().QuantileTransformer(n_quantiles=quantiles, random_state=seed))


@STEPS.register("Normalizer")
def normalizer(norm: str = "l2") -> Step:
    """Each sample gets norm 1: l1, l2 or max."""
    if norm not in ("l1", "l2", "max"):
        raise NervaError(f'Normalizer: norm should be l1, l2 or max, not "{norm}"')
    return _fitted(lambda: _sklearn().Normalizer(norm))


@STEPS.register("Divide")
def divide(by: float) -> Step:
    """All features are divided by one number, such as 255 for pixels of 8 bits."""
    if not by or math.isinf(by):
        raise NervaError(f"Divide: by should be a number other than 0, not {by:g}")
    return _fitted(lambda: _sklearn().FunctionTransformer(lambda X: X / np.float32(by)))


@STEPS.register("OneHotEncoder")
def one_hot_encoder(columns: list[int], values: list[int]) -> Step:
    """Columns with the whole numbers 0, 1, … become one column for each number, after the other columns.

    Args:
        columns: the columns, counted from 0.
        values: how many numbers each of them has.
    """
    if len(columns) != len(values) or len({*columns}) != len(columns) or min(values) < 1:
        raise NervaError(f"OneHotEncoder: columns {columns} should have as many values, 1 or more each, not {values}")

    def shape(samples: int, features: int) -> tuple[int, int]:
        if not all(0 <= column < features for column in columns):
            raise NervaError(f"OneHotEncoder: columns should be 0 to {features - 1}, not {columns}")
        return samples, features - len(columns) + sum(values)

    def transformer() -> Any:
        from sklearn.compose import ColumnTransformer

        encoder = _sklearn().OneHotEncoder(categories=[np.arange(count) for count in values], sparse_output=False)
        return _Reordered(ColumnTransformer([("columns", encoder, columns)], remainder="passthrough"), sum(values))

    return _fitted(transformer, shape)


@dataclass
class _Reordered:
    """A ColumnTransformer whose new columns come last."""

    transformer: Any
    new: int

    def fit(self, X: Matrix) -> "_Reordered":
        try:
            self.transformer.fit(X)
        except ValueError as error:
            raise NervaError(f"OneHotEncoder: {str(error)[:200]}") from None
        return self

    def transform(self, X: Matrix) -> Matrix:
        try:
            Z = self.transformer.transform(X)
        except ValueError as error:
            raise NervaError(f"OneHotEncoder: {str(error)[:200]}") from None
        return np.hstack([Z[:, self.new :], Z[:, : self.new]])


@STEPS.register("Augment")
def augment(copies: int = 1, shift: int = 0, flip: float = 0.0, seed: int = 1) -> Step:
    """Add changed copies of the training images. Validation and test images stay as they are.

    Args:
        copies: how many copies of each image are added.
        shift: the largest shift in pixels, in each direction. Pixels without a value become 0.
        flip: the probability that a copy is mirrored, left to right.
        seed: that of the random choices.
    """
    if not 1 <= copies <= 100 or not 0 <= shift <= 1000 or not 0 <= flip <= 1 or seed < 0:
        raise NervaError(
            "Augment: copies should be 1 to 100, shift 0 to 1000 pixels, flip 0 to 1, and seed 0 or more, not "
            f"copies={copies}, shift={shift}, flip={flip:g}, seed={seed}"
        )
    if not shift and not flip:
        raise NervaError("Augment needs shift or flip: copies without a change add nothing")

    def shape(samples: int, features: int) -> tuple[int, int]:
        _planes(features)
        return samples * (1 + copies), features

    def apply(arrays: dict[str, Matrix], validation: int) -> dict[str, Matrix]:
        X, T = arrays["Xtrain"], arrays["Ttrain"]
        split = len(X) - validation
        rng = np.random.default_rng(seed)
        changed = [_augmented(X[:split], shift, flip, rng) for _ in range(copies)]
        return arrays | {
            "Xtrain": np.concatenate([X[:split], *changed, X[split:]]),
            "Ttrain": np.concatenate([T[:split]] * (1 + copies) + [T[split:]]),
        }

    return Step(apply, shape)


def _planes(features: int) -> tuple[int, int]:
    """The number of planes of an image with so many features, and the side of the square."""
    for planes in (1, 3):
        side = math.isqrt(features // planes)
        if planes * side * side == features:
            return planes, side
    raise NervaError(
        f"Augment needs square images, in grey or in planes of red, green and blue, which {features} features are not"
    )


def _augmented(X: Matrix, shift: int, flip: float, rng: np.random.Generator) -> Matrix:
    planes, side = _planes(X.shape[1])
    images = X.reshape(len(X), planes, side, side)
    padded = np.pad(images, ((0, 0), (0, 0), (shift, shift), (shift, shift)))
    rows, columns = rng.integers(0, 2 * shift + 1, (2, len(X), 1)) + np.arange(side)
    mirrored = rng.random(len(X)) < flip
    columns[mirrored] = columns[mirrored, ::-1]
    samples = np.arange(len(X))[:, None, None]
    # Of indices on both sides of a slice, the dimensions come first: samples, rows, columns, planes.
    moved = padded[samples, :, rows[:, :, None], columns[:, None, :]]
    return moved.transpose(0, 3, 1, 2).reshape(X.shape)


def used(dataset: Dataset) -> tuple[list[str], list[str]]:
    """The canonical forms of the steps for inputs, and for targets, which only a regression has.

    Raises:
        NervaError: if a step is unknown, or an argument is wrong.
    """
    targets = dataset.target_steps if dataset.task == "regression" else []
    return _canonical("data.steps", dataset.steps), _canonical("data.target_steps", targets)


def _canonical(key: str, steps: Sequence[str]) -> list[str]:
    return _each(key, steps, STEPS.canonical)


def with_steps(dataset: Dataset) -> Dataset:
    """A dataset with the numbers of training samples and features as they are after its steps.

    Raises:
        NervaError: if a step is unknown or can't be used; the message names the key.
    """
    steps, target_steps = used(dataset)
    for step, text in zip(_parsed("data.target_steps", target_steps), target_steps, strict=True):
        if step.shape(dataset.train, dataset.targets) != (dataset.train, dataset.targets):
            raise NervaError(f"data.target_steps: {text} changes the number of targets or samples")
    if not steps:
        return dataset
    samples, features = dataset.before_steps or [dataset.train, dataset.features]
    before = [samples, features]
    samples -= dataset.validation
    for step in _parsed("data.steps", dataset.steps):
        try:
            samples, features = step.shape(samples, features)
        except NervaError as error:
            raise NervaError(f"data.steps: {error}") from None
    return replace(dataset, train=samples + dataset.validation, features=features, before_steps=before)


def without_steps(dataset: Dataset) -> Dataset:
    """The dataset to which the steps are applied."""
    train, features = dataset.before_steps or [dataset.train, dataset.features]
    return replace(dataset, steps=[], target_steps=[], before_steps=[], train=train, features=features)


def _parsed(key: str, steps: Sequence[str]) -> list[Step]:
    return _each(key, steps, STEPS.parse)


def _each(key: str, steps: Sequence[str], read: Callable[[str], T]) -> list[T]:
    """What a function reads in the specifications of steps; its errors name the key."""
    try:
        return [read(step) for step in steps]
    except NervaError as error:
        raise NervaError(f"{key}: {error}") from None


def apply_steps(dataset: Dataset, arrays: dict[str, Matrix]) -> dict[str, Matrix]:
    """Apply the steps of a dataset to its arrays.

    Raises:
        NervaError: if a step can't be used with the arrays, or gives numbers that are not finite.
    """
    for step in _parsed("data.steps", dataset.steps):
        arrays = step.apply(arrays, dataset.validation)
    if used(dataset)[1]:
        # A step changes X, so the targets take its place. Augmented samples count as training samples.
        targets = {f"X{part}": arrays[f"T{part}"] for part in ("train", "test")}
        for step in _parsed("data.target_steps", dataset.target_steps):
            targets = step.apply(targets, dataset.validation)
        arrays = arrays | {f"T{part}": targets[f"X{part}"] for part in ("train", "test")}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NervaError(f"{dataset.name}: after the steps, {name} has values that are not finite")
    return arrays


def file_digest(dataset: Dataset) -> str:
    """What distinguishes the prepared file of a dataset with steps: the data, the steps, and their code."""
    if not any(used(dataset)):
        return ""
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    text = json.dumps([dataset.checksum, dataset.validation, *used(dataset), code])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
