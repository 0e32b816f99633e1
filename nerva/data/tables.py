"""Tables: CSV and Parquet files, and datasets of OpenML. pandas reads them, and scikit-learn encodes their columns."""

import csv
import difflib
import math
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerva.data.description import Dataset
from nerva.data.unsplit import Unsplit
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.utilities import whole_or_absent

if TYPE_CHECKING:
    import pandas as pd

_MOST_COLUMNS = 10_000
_MOST_VALUES = 1000  # of a categorical column: each becomes a column
_LARGEST = 2**30  # numbers in the encoded table
_LONGEST_HEADER = 1 << 24  # characters
_DELIMITERS = ",;\t|"
_STRATEGIES = ("mean", "median", "most_frequent")


def read_table(dataset: Dataset, data_dir: Path, download: bool) -> Unsplit:
    """Read a CSV or Parquet file.

    Raises:
        NervaError: if the file can't be read, or a column can't be used; the message names it.
    """
    path = Path(dataset.path).expanduser()
    return as_samples(read_frame(dataset), dataset, path.name)


def read_frame(dataset: Dataset) -> "pd.DataFrame":
    """The table in a CSV or Parquet file, with its missing values.

    Raises:
        NervaError: if the file is missing or damaged, or the names of its columns are not usable.
    """
    import pandas as pd

    path = Path(dataset.path).expanduser()
    if not path.is_file():
        raise NervaError(f"{path}: there is no such file")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet

            _check_names(pyarrow.parquet.read_schema(path).names, path)
            frame = pd.read_parquet(path).rename(columns=str)
            plain = [name for name in frame.columns if not _holds_lists(frame[name])]
            frame[plain] = frame[plain].replace(dict.fromkeys(dataset.missing, math.nan))
            return frame
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(_LONGEST_HEADER)
        delimiter = max(_DELIMITERS, key=header.count)
        names = next(csv.reader([header], delimiter=delimiter), [])
        _check_names(names, path)
        if all(_is_number(name) for name in names):
            raise NervaError(f"{path}: the first line should have the names of the columns, but it has numbers only")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row that is longer than the first
            return pd.read_csv(
                path,
                sep=delimiter,
                encoding="utf-8-sig",
                na_values=dataset.missing,
                keep_default_na=False,
                low_memory=False,
                index_col=False,
            )
    except NervaError:
        raise
    # The errors of pandas and pyarrow are ValueErrors.
    except (OSError, ValueError, csv.Error, pd.errors.ParserWarning) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NervaError(f"{path} can't be read as a table: {reason}") from None


def _holds_lists(column: "pd.Series[Any]") -> bool:
    """Whether values of a column are lists, dictionaries or arrays, which pandas can't compare."""
    return column.dtype == object and any(isinstance(value, list | dict | np.ndarray) for value in column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_names(names: list[str], path: Path) -> None:
    if not any(names):
        raise NervaError(f"{path} is empty: it should begin with a line that has the names of the columns")
    if len(names) > _MOST_COLUMNS:
        raise NervaError(
            f"{path} has {len(names):,} columns; at most {_MOST_COLUMNS:,} are read from a table. "
            "A matrix of that size belongs in an .npz file, for data=npz"
        )
    if duplicates := [name for name, count in Counter(names).items() if count > 1]:
        raise NervaError(f"{path} has several columns with the name {_listed(duplicates)}; rename them")


def _listed(names: list[str], most: int = 8) -> str:
    """Names in quotes, for a message."""
    return ", ".join(f'"{name}"' for name in names[:most]) + (f" and {len(names) - most} more" * (len(names) > most))


def label_columns(dataset: Dataset, frame: "pd.DataFrame", where: str) -> list[str]:
    """The names of the columns that are predicted.

    Raises:
        NervaError: if `data.label` is empty, or names several columns for a classification.
    """
    labels = dataset.label if isinstance(dataset.label, list) else [dataset.label]
    labels = [str(label) for label in labels if str(label)]
    if not labels:
        raise NervaError(f"data.label should name the column that is predicted; {where} has {_names_of(frame)}")
    if len({*labels}) < len(labels):
        raise NervaError(f"data.label names a column twice: {_listed(labels)}")
    if len(labels) > 1 and dataset.task != "regression":
        raise NervaError(f"data.label has {len(labels)} columns; a classification predicts one")
    return labels


def _names_of(frame: "pd.DataFrame") -> str:
    return f"the columns {_listed([str(name) for name in frame.columns], 20)}"


def as_samples(frame: "pd.DataFrame", dataset: Dataset, where: str) -> Unsplit:
    """The rows of a table as samples.

    Raises:
        NervaError: if a column is missing, or can't be used as `dataset` says; the message names it.
    """
    from pandas.api.types import is_numeric_dtype

    if frame.empty:
        raise NervaError(f"{where} has no rows below the names of the columns")
    frame = frame.rename(columns=str)
    labels = label_columns(dataset, frame, where)
    for key, names in (("label", labels), ("categorical", dataset.categorical), ("ignore", dataset.ignore)):
        for name in names:
            if name not in frame.columns:
                near = difflib.get_close_matches(name, frame.columns, n=1)
                suggestion = f'; did you mean "{near[0]}"?' if near else f"; it has {_names_of(frame)}"
                raise NervaError(f'data.{key}: {where} has no column "{name}"{suggestion}')
    for key, names in (("categorical", dataset.categorical), ("ignore", dataset.ignore)):
        if both := [name for name in labels if name in names]:
            raise NervaError(f"data.{key} and data.label both name {_listed(both)}, which is what is predicted")
    for title, column in frame.drop(columns=[*dataset.ignore]).items():
        if _holds_lists(column):
            raise NervaError(f'{where}: "{title}" holds lists, which are no features; use data.ignore=[{title}]')
    features = frame.drop(columns=[*labels, *dataset.ignore])
    for name in labels:
        if missing := int(frame[name].isna().sum()):
            row = int(np.argmax(frame[name].isna().to_numpy())) + 1
            raise NervaError(
                f'{where}: the label "{name}" is missing in {missing:,} of {len(frame):,} rows, first in row {row} '
                "below the names of the columns; remove these rows"
            )
    if unnamed := [name for name in features.columns if not name or name.startswith("Unnamed: ")]:
        raise NervaError(
            f"{where}: a column has no name; pandas writes such a column unless index=False. Leave it out by "
            f"data.ignore=['{unnamed[0]}']"
        )
    categorical = [
        name for name in features.columns if name in dataset.categorical or features[name].dtype == "category"
    ]
    numeric = [name for name in features.columns if name not in categorical]
    if texts := [name for name in numeric if not is_numeric_dtype(features[name])]:
        example = next((value for value in features[texts[0]] if not _is_number(str(value))), "")
        raise NervaError(
            f"{where}: {_listed(texts)} {'have' if texts[1:] else 'has'} values that are not numbers, such as "
            f'"{str(example)[:40]}"; name such columns in data.categorical for one input per value, in '
            "data.ignore to leave them out, or the text in data.missing if it stands for a missing value"
        )
    _check_missing(features, dataset, where)
    for name in categorical:
        if (count := features[name].nunique()) > _MOST_VALUES:
            raise NervaError(
                f'{where}: "{name}" has {count:,} different values, and one input for each is too many '
                f"({_MOST_VALUES:,} at most); leave it out by data.ignore=[{name}]"
            )
    width = len(numeric) + sum(features[name].nunique() for name in categorical)
    if width * len(frame) > _LARGEST:
        raise NervaError(f"{where} would become {len(frame):,} rows of {width:,} numbers, which is too large")
    targets = frame[labels]
    T: Matrix
    if dataset.task == "regression":
        if texts := [name for name in labels if not is_numeric_dtype(targets[name])]:
            raise NervaError(f"{where}: the targets {_listed(texts)} should be numbers for a regression")
        T = targets.to_numpy(np.float64)
    else:
        values: Matrix = targets[labels[0]].to_numpy()
        T = values if values.dtype.kind in "iuf" else values.astype(str)
    versions = _versions("pandas", "scikit-learn")
    return Unsplit(
        where,
        T,
        lambda fitted: _encoded(features, numeric, categorical, dataset.impute, fitted, where),
        origin=f"{where}: a table with {len(frame):,} rows and {len(frame.columns)} columns, read by {versions}",
    )


def _versions(*names: str) -> str:
    from importlib.metadata import version

    return " and ".join(f"{name} {version(name)}" for name in names)


def _check_missing(features: "pd.DataFrame", dataset: Dataset, where: str) -> None:
    if dataset.impute and dataset.impute not in _STRATEGIES:
        raise NervaError(f'data.impute should be {", ".join(_STRATEGIES)} or "", not "{dataset.impute[:80]}"')
    counts = features.isna().sum()
    incomplete = [f'"{name}" ({count:,})' for name, count in counts[counts > 0].items()]
    if incomplete and not dataset.impute:
        more = f" and {len(incomplete) - 8} more columns" * (len(incomplete) > 8)
        raise NervaError(
            f"{where} has missing values in {', '.join(incomplete[:8])}{more}; data.impute=median replaces them, as do "
            "mean and most_frequent, and data.ignore leaves columns out"
        )


def _encoded(
    features: "pd.DataFrame", numeric: list[str], categorical: list[str], impute: str, fitted: Matrix, where: str
) -> Matrix:
    """The columns with numbers, followed by one column for each value of each categorical column.

    What replaces missing values and which values a column has is determined by the rows `fitted`.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    numbers: Matrix = features[numeric].to_numpy(np.float64, na_value=np.nan)
    values: Matrix = np.empty((len(features), len(categorical)), object)
    for i, name in enumerate(categorical):
        column = features[name].astype(object)
        values[:, i] = [np.nan if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]

    def imputed(block: Matrix, names: list[str], strategy: str) -> Matrix:
        import pandas as pd

        missing: Any = pd.isna(block)
        if not missing.any():
            return block
        if empty := [name for name, column in zip(names, missing[fitted].T, strict=True) if column.all()]:
            raise NervaError(f"{where}: {_listed(empty)} has no values in the training samples; use data.ignore")
        imputer = SimpleImputer(strategy=strategy).fit(block[fitted])
        return imputer.transform(block)  # type: ignore[no-any-return]

    numbers = imputed(numbers, numeric, impute)
    if not categorical:
        return numbers
    # Categories have no mean.
    values = imputed(values, categorical, "most_frequent")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a value that the training samples lack becomes zeros
        encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float64).fit(values[fitted])
        return np.hstack([numbers, encoder.transform(values)])


def read_openml(dataset: Dataset, data_dir: Path, download: bool) -> Unsplit:
    """A dataset of OpenML. It is downloaded once, and kept as a Parquet file.

    Raises:
        NervaError: if it is not on this disk and may not be downloaded, can't be downloaded, or can't be used.
    """
    import pandas as pd

    name, version = dataset.path, dataset.version
    if version < 1:
        raise NervaError(f"data.version should be a version of the dataset on OpenML, from 1, not {version}")
    if not name.isprintable() or "/" in name or len(name) > 100:
        raise NervaError(f"data.path should be the name of a dataset on OpenML, not {name[:80]!r}")
    where = f"OpenML's {name}, version {version}"
    file = data_dir / "raw" / "openml" / f"{name}-{version}.parquet"
    if not file.exists():
        if not download:
            raise NervaError(
                f"{where}, has not been downloaded; "
                f"`nerva prepare openml data.path={name} data.version={version}` downloads it"
            )
        frame = _fetched(name, version, where)
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_absent(file) as temporary:
            frame.to_parquet(temporary)
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise NervaError(f"{file} is damaged ({str(error).splitlines()[0]}); delete it") from None
    return as_samples(frame, replace(dataset, label=dataset.label or frame.attrs.get("label", [])), where)


def _fetched(name: str, version: int, where: str) -> "pd.DataFrame":
    """Download a dataset of OpenML. The names of its targets are kept in `attrs`."""
    from http.client import HTTPException

    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a download that is tried again
            bunch = fetch_openml(name=name, version=version, as_frame=True, parser="auto", cache=False, n_retries=1)
    except (OSError, HTTPException) as error:  # urllib's errors are OSErrors
        reason = getattr(error, "reason", None) or error
        raise NervaError(f"{where}, could not be downloaded: {reason}") from None
    except ValueError as error:
        raise NervaError(f"{where}, can't be used: {str(error).splitlines()[0]}") from None
    frame: pd.DataFrame = bunch.frame
    frame.attrs = {"label": [str(target) for target in bunch.target_names or []]}
    return frame
