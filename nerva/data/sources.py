"""Data that nerva does not know beforehand: `.npz` files, tables, folders of images, and datasets by name."""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nerva.data.description import Dataset
from nerva.data.images import read_images
from nerva.data.tables import read_openml, read_table
from nerva.data.unsplit import Unsplit
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.npz_files import converted, load_dict_from_npz
from nerva.utilities import save_dict_to_npz

_PARTS = ("Xtrain", "Ttrain", "Xtest", "Ttest")
_LONGEST_NAMES = 20_000  # characters; the record of a configuration is limited


@dataclass(frozen=True)
class Content:
    """What a source contains, split into training and test samples."""

    arrays: dict[str, Matrix]  # the last rows of Xtrain and Ttrain are for validation
    validation: int  # how many
    class_names: list[str]  # empty if they are numbers from 0
    origin: str  # in words


def read(dataset: Dataset, data_dir: Path, download: bool = False) -> Content:
    """Read a source, and split its samples.

    Args:
        dataset: the dataset. Only what says how it is read counts, not its description.
        data_dir: the folder of downloaded files.
        download: whether a dataset of OpenML or scikit-learn may be downloaded, which writes it to `raw` in data_dir.

    Raises:
        NervaError: if the source is missing, can't be read, or can't be used; the message says what is wrong where.
    """
    for key, texts in (("categorical", dataset.categorical), ("ignore", dataset.ignore), ("missing", dataset.missing)):
        if not all(isinstance(text, str) for text in texts):
            raise NervaError(f"data.{key} should be a list of texts, not {str(texts)[:120]}")
    if not dataset.path:
        raise NervaError(f"data.path is missing: {_NEEDED[dataset.source]}")
    if dataset.task not in ("classification", "regression"):
        raise NervaError(f'data.task should be classification or regression, not "{dataset.task[:80]}"')
    found = READERS[dataset.source](dataset, data_dir, download)
    where = found.where
    if len(found.T) < 3:
        raise NervaError(
            f"{where} has {len(found.T)} sample{'s' * (len(found.T) != 1)}; at least one for training, one for "
            "validation and one for testing are needed"
        )
    T, names = (_numbers(found), []) if dataset.task == "regression" else _labels(found)
    rows = np.arange(len(T))
    stratify = None if dataset.task == "regression" else T
    if found.test:
        train, test = rows[: -found.test], rows[-found.test :]
    else:
        train, test = _split(rows, dataset.test, dataset.test_fraction, stratify, dataset.split_seed, where, "test")
    fitted, validation = _split(
        train, dataset.validation, dataset.validation_fraction, stratify, dataset.split_seed, where, "validation"
    )
    X = found.inputs(fitted)
    if X.shape[1] == 0:
        raise NervaError(f"{where} has no features: nothing but labels")
    X = converted(X, np.float32, f"{where}: the inputs")
    _check_finite(X, f"{where}: the inputs")
    train = np.concatenate([fitted, validation])
    arrays = {"Xtrain": X[train], "Ttrain": T[train], "Xtest": X[test], "Ttest": T[test]}
    return Content(arrays, len(validation), names, found.origin)


def _split(
    rows: Matrix, number: int, fraction: float, stratify: Matrix | None, seed: int, where: str, what: str
) -> tuple[Matrix, Matrix]:
    """Rows, and those that are split off them at random: a number of them or, if that is 0, a fraction."""
    from sklearn.model_selection import train_test_split

    if number < 0:
        raise NervaError(f"data.{what} should be 0 or more, not {number}")
    if not (number or 0 < fraction < 1):
        raise NervaError(f"data.{what}_fraction should be more than 0 and less than 1, not {fraction:g}")
    if not 0 <= seed < 2**32:
        raise NervaError(f"data.split_seed should be 0 to {2**32 - 1}, not {seed}")
    try:
        rest, off = train_test_split(
            rows,
            test_size=number or fraction,
            random_state=seed,
            stratify=None if stratify is None else stratify[rows],
        )
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise NervaError(
            f"{where}: the {what} samples can't be split off {len(rows)} samples: {reason}; "
            f"data.{what} is how many there should be, and data.{what}_fraction which part of them"
        ) from None
    return rest, off


def _labels(found: Unsplit) -> tuple[Matrix, list[str]]:
    """Labels from 0, and the names of the classes, which are empty if the labels were such numbers."""
    T, where = found.T, found.where
    if T.ndim == 2 and T.shape[1] == 1:
        T = T[:, 0]
    if T.ndim != 1:
        raise NervaError(f"{where}: a label should be one value, but the labels have the shape {T.shape}")
    if T.dtype.kind == "f":
        _check_finite(T[:, None], f"{where}: the labels")
        if (np.round(T) != T).any():
            number = T[np.round(T) != T][0]
            raise NervaError(
                f"{where}: {number:g} is a label, but labels of classes should be texts or whole numbers; "
                "data.task=regression predicts numbers"
            )
        T = T.astype(np.int64)
    values, labels, counts = np.unique(T, return_inverse=True, return_counts=True)
    if len(values) < 2:
        raise NervaError(f'{where}: all samples have the label "{values[0]}"; a classification needs two or more')
    if counts.min() < 3:
        few = [f'"{value}" ({count})' for value, count in zip(values, counts, strict=True) if count < 3]
        raise NervaError(
            f"{where}: each class needs at least 3 samples, for training, validation and testing; "
            f"{', '.join(few[:10])}{' and others have' if few[10:] else ' have' if few[1:] else ' has'} fewer"
        )
    names = list(found.class_names) if len(found.class_names) == len(values) else [str(value) for value in values]
    if names == [str(number) for number in range(len(values))] or sum(map(len, names)) > _LONGEST_NAMES:
        names = []
    return labels.reshape(-1).astype(np.int64), names


def _numbers(found: Unsplit) -> Matrix:
    """The targets of a regression, as a float32 matrix with one row per sample."""
    T = found.T if found.T.ndim > 1 else found.T[:, None]
    if T.ndim != 2 or not T.shape[1] or T.dtype.kind not in "biuf":
        raise NervaError(f"{found.where}: the targets of a regression should be numbers, not {T.dtype} {T.shape}")
    T = converted(T, np.float32, f"{found.where}: the targets")
    _check_finite(T, f"{found.where}: the targets")
    return T


def _check_finite(x: Matrix, what: str) -> None:
    wrong = ~np.isfinite(x)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise NervaError(
            f"{what} have {wrong.sum():,} values that are missing (NaN) or infinite, the first in row {row + 1}"
            + (f", column {column + 1}" if x.shape[1] > 1 else "")
        )


def _read_npz(dataset: Dataset, data_dir: Path, download: bool) -> Unsplit:
    """An `.npz` file with Xtrain, Ttrain, Xtest and Ttest, or with X and T."""
    path = Path(dataset.path).expanduser()
    data = load_dict_from_npz(path)
    where = Path(dataset.path).name
    parts = [name for name in _PARTS if name in data]
    if parts and len(parts) < 4:
        missing = " and ".join(name for name in _PARTS if name not in data)
        raise NervaError(f"{path} has {', '.join(parts)}, but not {missing}")
    if not parts and not {"X", "T"} <= {*data}:
        raise NervaError(
            f"{path} should have the arrays Xtrain, Ttrain, Xtest and Ttest, or X and T; "
            f"it has {', '.join(data) or 'none'}"
        )
    pairs = [("Xtrain", "Ttrain"), ("Xtest", "Ttest")] if parts else [("X", "T")]
    for x, t in pairs:
        if data[x].ndim and not len(data[x]):
            raise NervaError(f"{path}: {x} has no samples")
        if data[x].ndim < 1 or data[t].ndim < 1 or len(data[x]) != len(data[t]):
            raise NervaError(f"{path}: {x} {data[x].shape} and {t} {data[t].shape} should have one row per sample")
        if data[x].dtype.kind not in "biuf":
            raise NervaError(f"{path}: {x} should hold numbers, not {data[x].dtype}")
    if parts and data["Xtrain"].shape[1:] != data["Xtest"].shape[1:]:
        raise NervaError(f"{path}: the samples of Xtrain and of Xtest have different shapes")
    X, T = (np.concatenate([data[name] for name in names]) for names in zip(*pairs, strict=True))
    return Unsplit(
        where, T, _flat_inputs(X), test=len(data["Xtest"]) if parts else 0, origin=f"{where}: arrays of NumPy"
    )


def _flat_inputs(X: Matrix) -> Callable[[Matrix], Matrix]:
    """The inputs of an array, one row per sample. Nothing is fitted."""
    if X.ndim == 4 and X.shape[3] == 3:
        X = X.transpose(0, 3, 1, 2)  # planes of red, green and blue, as in all datasets of nerva
    flat = X.reshape(len(X), -1)
    return lambda fitted: flat


def _read_sklearn(dataset: Dataset, data_dir: Path, download: bool) -> Unsplit:
    """A dataset that scikit-learn contains (`load_…`) or downloads (`fetch_…`)."""
    import sklearn
    from sklearn import datasets

    name, where = dataset.path, f"scikit-learn's {dataset.path}"
    function = getattr(datasets, f"load_{name}", None) or getattr(datasets, f"fetch_{name}", None)
    if function is None or name in _NO_DATASETS:
        known = sorted(n.partition("_")[2] for n in datasets.__all__ if n.startswith(("load_", "fetch_")))
        raise NervaError(
            f'scikit-learn has no dataset "{name[:80]}"; data.path should be one of '
            f"{', '.join(name for name in known if name not in _NO_DATASETS)}"
        )
    file = data_dir / "raw" / "sklearn" / f"{name}.npz"
    origin = f"scikit-learn {sklearn.__version__}: {function.__name__}"
    if function.__name__.startswith("load_"):
        return _bunch(function(), where, origin)
    if not file.exists():
        if not download:
            raise NervaError(f"{where} has not been downloaded; `nerva prepare sklearn data.path={name}` downloads it")
        # scikit-learn keeps its downloads as pickles, which nerva does not open.
        with tempfile.TemporaryDirectory(prefix="nerva-sklearn-") as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a download that is tried again
            try:
                bunch = function(data_home=folder)
            except OSError as error:
                raise NervaError(f"{where} could not be downloaded: {error}") from None
        found = _bunch(bunch, where, origin)
        save_dict_to_npz(file, {"X": bunch.data, "T": found.T, "names": np.array(found.class_names, dtype=str)})
    data = load_dict_from_npz(file, max_bytes=2**33)
    return Unsplit(where, data["T"], _flat_inputs(data["X"]), class_names=data["names"].tolist(), origin=origin)


def _bunch(bunch: Any, where: str, origin: str) -> Unsplit:
    X, T = getattr(bunch, "data", None), getattr(bunch, "target", None)
    if not (isinstance(X, np.ndarray) and isinstance(T, np.ndarray) and X.dtype.kind in "biuf" and T.dtype.kind != "O"):
        raise NervaError(f"{where} has no matrix of numbers with a target for each sample, so it can't be used")
    names = [str(name) for name in bunch.get("target_names", [])] if T.dtype.kind in "iu" else []
    return Unsplit(where, T, _flat_inputs(X), class_names=names, origin=origin)


# Functions of scikit-learn whose names look like those of datasets.
_NO_DATASETS = ("files", "openml", "sample_image", "sample_images", "svmlight_file", "svmlight_files", "file")

_NEEDED = {
    "npz": "the .npz file, as in data=npz data.path=mine.npz",
    "csv": "the table, as in data=csv data.path=mine.csv data.label=species",
    "images": "the folder with one folder of images for each class, as in data=images data.path=folder data.size=28",
    "openml": "the name of the dataset, as in data=openml data.path=blood-transfusion-service-center",
    "sklearn": "the name of the dataset, as in data=sklearn data.path=wine",
}

# How each source is read.
READERS: dict[str, Callable[[Dataset, Path, bool], Unsplit]] = {
    "npz": _read_npz,
    "csv": read_table,
    "images": read_images,
    "openml": read_openml,
    "sklearn": _read_sklearn,
}
# Sources that are files or folders, which `path` names.
FILES = ("npz", "csv", "images")


def public_path(path: str) -> str:
    """A path for a record: one below the current folder as it is, and only the last part of any other."""
    private = path.startswith(("/", "~")) or ".." in Path(path).parts
    return Path(path).name if private else path
