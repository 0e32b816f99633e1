"""The types behind the files of `conf/data/`."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class RawFile:
    """A raw file and the checksum that identifies it."""

    archive: str = ""  # the name of the gzip archive, without its folder
    sha256: str | None = None  # of the uncompressed content
    md5: str | None = None  # of the archive, where the sha256 of the content is unknown


@dataclass
class Dataset:
    """A dataset: its size, its origin, and the checksums that identify it."""

    name: str = "???"
    title: str = ""
    task: str = "classification"  # or "regression", whose targets are numbers
    source: str = ""  # how it is read: see `prepare`; "auto" is a choice
    features: int = 0
    classes: int = 0  # of classification
    targets: int = 0  # of regression: how many numbers are predicted for each sample
    class_names: list[str] = field(default_factory=list)  # for reports; without names, classes are numbers
    train: int = 0  # the number of training samples, including those for validation
    test: int = 0
    validation: int = 0  # the number of training samples, taken from the end, that are used for validation
    sha256: str | None = None  # of the prepared arrays
    files: dict[str, RawFile] = field(default_factory=dict)
    mirrors: list[str] = field(default_factory=list)
    note: str = ""  # why this dataset was chosen, if it was not named
    candidates: list[str] = field(default_factory=list)  # of "auto": the preferred dataset and the alternative
    # A file or a folder; the name of a dataset of OpenML or scikit-learn; what is read from the archive of EMNIST.
    path: str = ""
    version: int = 0  # of a dataset of OpenML
    label: Any = ""  # the column of a table with the labels; of regression also a list of columns
    categorical: list[str] = field(default_factory=list)  # the columns of a table that become one column per value
    ignore: list[str] = field(default_factory=list)  # the columns of a table that are not used
    missing: list[str] = field(default_factory=list)  # the texts in a table that stand for a missing value
    impute: str = ""  # how missing values are replaced: mean, median or most_frequent; "": they are an error
    size: int = 0  # the images of a folder are resized to so many pixels in both directions; 0: as they are
    colour: str = ""  # of the images of a folder: grey or rgb
    test_fraction: float = 0.0  # of the samples of a source that has no test samples, if `test` is 0
    validation_fraction: float = 0.0  # of the training samples of a file or a table, if `validation` is 0
    split_seed: int = 0  # of the choice of the test and validation samples
    steps: list[str] = field(default_factory=list)  # what is done with the inputs: see `nerva.data.steps`
    target_steps: list[str] = field(default_factory=list)  # what is done with the targets of a regression
    before_steps: list[int] = field(default_factory=list)  # the numbers of training samples and features; nerva sets it

    def stated(self) -> dict[str, Any]:
        """The values that are not defaults, as nested dictionaries: most keys belong to some sources only."""
        default = asdict(Dataset())
        return {key: value for key, value in asdict(self).items() if value != default[key]}

    @property
    def outputs(self) -> int:
        """The number of outputs of a network: one for each class or target."""
        return self.targets if self.task == "regression" else self.classes

    @property
    def outputs_text(self) -> str:
        """The number of outputs for people, such as `10 classes`."""
        unit = ("target", "targets") if self.task == "regression" else ("class", "classes")
        return f"{self.outputs:,} {unit[self.outputs != 1]}"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the prepared arrays."""
        targets = (self.targets,) if self.task == "regression" else ()
        return {
            "Xtrain": (self.train, self.features),
            "Ttrain": (self.train, *targets),
            "Xtest": (self.test, self.features),
            "Ttest": (self.test, *targets),
        }

    @property
    def checksum(self) -> str:
        """The identity of the prepared data: the declared checksum or, without one, a checksum of the raw files."""
        if self.sha256:
            return self.sha256
        files = {name: asdict(file) for name, file in self.files.items()}
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
