"""The description of data that nerva does not know beforehand: it is found by reading them."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from nerva.data.description import Dataset
from nerva.data.prepare import Prepared, check_unchanged
from nerva.data.sources import FILES, READERS, Content, read
from nerva.data.steps import without_steps
from nerva.datasets import checksum


def describe(dataset: Dataset, data_dir: Path, download: bool = False) -> Dataset:
    """A dataset with its description: name, features, classes or targets, samples and checksum. Nothing is written.

    A dataset with a declared checksum is returned as it is. Its file is read only if it is newer than the prepared one.

    Args:
        dataset: the dataset.
        data_dir: the folder of downloaded files.
        download: whether a dataset of OpenML or scikit-learn may be downloaded, which writes it to `raw` in data_dir.

    Raises:
        NervaError: if the source is missing, can't be read or used, or does not have the declared checksum; the message
            says what is wrong where.
    """
    if dataset.source not in READERS:
        return dataset
    if dataset.sha256:
        prepared = Prepared.of(without_steps(dataset), data_dir)
        if (
            dataset.source in FILES
            and prepared.exists()
            and _changed_after(Path(dataset.path).expanduser(), prepared.npz)
        ):
            check_unchanged(dataset, read(dataset, data_dir))
        return dataset
    return described(dataset, read(dataset, data_dir, download))


def described(dataset: Dataset, content: Content) -> Dataset:
    """A dataset with the description of what was read."""
    X, T = content.arrays["Xtrain"], content.arrays["Ttrain"]
    regression = dataset.task == "regression"
    samples = np.concatenate([T, content.arrays["Ttest"]])
    return replace(
        dataset,
        name=dataset.name or default_name(dataset),
        title=dataset.title or Path(dataset.path).name,
        features=X.shape[1],
        classes=0 if regression else int(samples.max()) + 1,
        targets=T.shape[1] if regression else 0,
        class_names=dataset.class_names or content.class_names,
        train=len(X),
        test=len(content.arrays["Xtest"]),
        validation=content.validation,
        sha256=checksum(content.arrays),
    )


def default_name(dataset: Dataset) -> str:
    """A name for a dataset: that of its file or folder, without characters that a name of a file should not have."""
    stem = Path(dataset.path.rstrip("/")).name
    if dataset.source in ("npz", "csv"):
        stem = Path(stem).stem
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).lstrip("._-")[:60] or dataset.source


def _changed_after(path: Path, prepared: Path) -> bool:
    """Whether a file, or anything in a folder, is newer than a prepared file. A missing file is not."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path] * path.exists()
    # Moving or copying a file, and pointing a link elsewhere, may keep the time of the contents, but not the ctime.
    states = [state for file in files for state in (file.stat(), file.lstat())]
    return any(state.st_ctime_ns > prepared.stat().st_mtime_ns for state in states)
