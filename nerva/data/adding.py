"""Files of a user as datasets in `conf/data/`: what is detected in them, what is shown of them, and the file itself."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerva.data.describing import described
from nerva.data.description import Dataset
from nerva.data.json_files import parse_json
from nerva.data.sources import Content, read
from nerva.data.tables import label_columns, read_frame
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix
from nerva.npz_files import load_dict_from_npz
from nerva.whole_files import whole_or_absent

if TYPE_CHECKING:
    import pandas as pd

_FEW = 20  # different whole numbers that are labels of classes rather than targets of a regression
_SHOWN = 40  # columns and classes that are shown
_BAR = 40  # characters


def read_description(file: Path) -> Dataset:
    """The dataset in a file of `conf/data/`.

    Raises:
        NervaError: if the file is not the description of a dataset.
    """
    import yaml

    try:
        return parse_json(json.dumps(yaml.safe_load(file.read_text(encoding="utf-8"))), Dataset)
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise NervaError(f"{file} is not the description of a dataset: {' '.join(str(error).split())}") from None


def source_of(path: Path) -> str:
    """The source that reads a file or a folder.

    Raises:
        NervaError: if there is no such file, or it is of another kind.
    """
    if path.is_dir():
        return "images"
    if not path.exists():
        raise NervaError(f"{path}: there is no such file or folder")
    kinds = {"npz": (".npz",), "csv": (".csv", ".tsv", ".txt", ".parquet", ".pq")}
    for source, suffixes in kinds.items():
        if path.suffix.lower() in suffixes:
            return source
    known = ", ".join(suffix for suffixes in kinds.values() for suffix in suffixes)
    raise NervaError(f"{path} has none of the suffixes {known}, and is not a folder of images")


def add_dataset(asked: Dataset, task: str, file: Path, data_dir: Path, command_again: str) -> tuple[Dataset, Content]:
    """Describe a user's data in a file of `conf/data/`, which is written whole or not at all.

    Args:
        asked: what the user says about the data, and the defaults of their kind.
        task: the task; "" if it is to be detected.
        file: the file to write.
        data_dir: the folder of the prepared datasets.
        command_again: the command that describes the data again.

    Returns:
        The description, and what was read.

    Raises:
        NervaError: if the data can't be read or used; the message says what is wrong where.
    """
    asked = detected(asked, task)
    if asked.task != "regression":
        asked = replace(asked, target_steps=[])
    content = read(asked, data_dir)
    dataset = described(asked, content)
    with whole_or_absent(file) as temporary:
        temporary.write_text(description_file(dataset, command_again), encoding="utf-8")
    return dataset, content


def detected(dataset: Dataset, task: str = "") -> Dataset:
    """A dataset with its task, and for a table with its categorical columns, as its file suggests.

    The task is a classification if the labels are texts, or few different whole numbers.

    Args:
        dataset: the dataset; columns that it names as categorical stay so.
        task: the task, if it is known.

    Raises:
        NervaError: if the file can't be read, or does not have the columns that the dataset names.
    """
    path = Path(dataset.path).expanduser()
    if dataset.source == "images":
        return replace(dataset, task=task or "classification")
    if dataset.source == "npz":
        data = load_dict_from_npz(path)
        T = data.get("Ttrain", data.get("T"))
        return replace(dataset, task=task or ("classification" if T is None else _task(T)))
    frame = read_frame(dataset)
    labels = label_columns(replace(dataset, task="regression"), frame, path.name)
    if missing := [label for label in labels if label not in frame.columns]:
        raise NervaError(f'{path} has no column "{missing[0]}"; it has {", ".join(map(str, frame.columns[:_SHOWN]))}')
    columns = frame.drop(columns=[*labels, *(name for name in dataset.ignore if name in frame.columns)])
    texts = [str(name) for name in columns.select_dtypes(exclude=["number", "bool"]).columns]
    categorical = list(dict.fromkeys([*dataset.categorical, *texts]))
    found = task or ("regression" if len(labels) > 1 else _task(frame[labels[0]].dropna().to_numpy()))
    return replace(dataset, task=found, categorical=categorical)


def _task(T: Matrix) -> str:
    if T.dtype.kind not in "iuf":
        return "classification"
    whole = bool((np.isfinite(T) & (np.round(T) == T)).all())
    few = len(np.unique(T)) <= _FEW
    one_per_sample = T.ndim < 2 or T.shape[1:] == (1,)
    return "classification" if whole and few and one_per_sample else "regression"


def overview(dataset: Dataset, content: Content) -> "pd.DataFrame":
    """What a file contains: the columns of a table with their types, missing values, and ranges, or the arrays.

    Args:
        dataset: the dataset.
        content: what was read.
    """
    import pandas as pd

    if dataset.source != "csv":
        return pd.DataFrame(
            [{"array": name, "shape": "x".join(map(str, x.shape)), **_range(x)} for name, x in content.arrays.items()]
        )
    frame = read_frame(dataset)
    roles = dict.fromkeys(dataset.ignore, "ignored") | dict.fromkeys(dataset.categorical, "categorical")
    labels = dataset.label if isinstance(dataset.label, list) else [dataset.label]
    roles |= dict.fromkeys(labels, "predicted")
    return pd.DataFrame(
        [
            {
                "column": str(name)[:40],
                "type": str(column.dtype),
                "use": roles.get(str(name), ""),
                "missing": int(column.isna().sum()),
                **_range(column.dropna().to_numpy()),
            }
            for name, column in frame.items()
        ]
    )


def _range(x: Matrix) -> dict[str, Any]:
    if x.dtype.kind not in "iuf" or not x.size:
        return {"min": "", "mean": "", "max": ""}
    return {"min": f"{x.min():.6g}", "mean": f"{x.mean(dtype=np.float64):.6g}", "max": f"{x.max():.6g}"}


def as_text(table: "pd.DataFrame") -> str:
    """A table for a terminal. Of a long one, the first rows."""
    text: str = table.head(_SHOWN).to_string(index=False)
    more = len(table) - _SHOWN
    return text + (f"\n… and {more:,} more" if more > 0 else "")


def class_counts(dataset: Dataset, content: Content) -> list[str]:
    """A bar for each class, by the number of its samples; empty for a regression."""
    if dataset.task == "regression":
        return []
    counts = np.bincount(np.concatenate([content.arrays["Ttrain"], content.arrays["Ttest"]]))
    names = dataset.class_names or [str(number) for number in range(len(counts))]
    width = min(30, max(map(len, names)))
    lines = [
        f"{name[:width]:<{width}} {'█' * max(1, round(_BAR * count / counts.max()))} {count:,}"
        for name, count in zip(names, counts, strict=True)
    ]
    more = len(lines) - _SHOWN
    return lines[:_SHOWN] + [f"… and {more:,} more classes"] * (more > 0)


_FIRST = ("name", "title", "source", "path", "task", "label", "categorical", "ignore", "missing", "impute")
_COMMENTS = {
    "path": "relative to the current folder, unless it begins with / or ~",
    "categorical": "columns that become one input per value",
    "missing": "the texts that stand for a missing value",
    "impute": "what replaces missing values: mean, median or most_frequent of the training samples",
    "size": "images are resized to so many pixels in both directions",
    "train": "including those for validation",
    "sha256": "of the arrays that are read",
    "split_seed": "of the random choice of test and validation samples",
    "steps": "see docs/experiments.md",
}


def description_file(dataset: Dataset, command: str) -> str:
    """The text of a file of `conf/data/` that describes a dataset.

    Args:
        dataset: the dataset.
        command: the command that has described it.
    """
    import yaml

    samples = f"{dataset.train + dataset.test:,} samples"
    lines = [
        f"# {dataset.title}: {samples} with {dataset.features:,} features and {dataset.outputs_text}.",
        f"#   nerva train data={dataset.name}",
        "# If the file changes, it has another checksum, and is refused. Then describe it again:",
        f"#   {command}",
    ]
    default = Dataset(name="")
    for key in dict.fromkeys([*_FIRST, *(field.name for field in fields(Dataset))]):
        value = getattr(dataset, key)
        if value != getattr(default, key) or key == "task":
            text = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=math.inf).strip()[1:-1]
            if "${" in text:
                raise NervaError(
                    f"data.{key} has ${{, which Hydra would take for a reference to another key: {text:.100}"
                )
            lines.append(f"{key}: {text}" + (f" # {_COMMENTS[key]}" if key in _COMMENTS else ""))
    return "\n".join(lines) + "\n"
