"""What a file of `conf/data/` says about a dataset."""

import hashlib
import json
from dataclasses import asdict, dataclass, field


@dataclass
class RawFile:
    """One raw file, and how to know that it is the right one."""

    archive: str = ""  # the name of the gzip archive, without folder
    sha256: str | None = None  # of the uncompressed bytes
    md5: str | None = None  # of the archive, where the uncompressed bytes' is not known


@dataclass
class Dataset:
    """A dataset: what is in it, where it comes from, and the checksums that identify it."""

    name: str = "???"
    title: str = ""
    source: str = ""  # "idx": MNIST's format; "cifar": CIFAR's; "digits": scikit-learn's; "auto": a choice
    features: int = 0
    classes: int = 0
    class_names: list[str] = field(default_factory=list)  # for the eye; without them, a class is a number
    train: int = 0  # the number of samples, those for validation included
    test: int = 0
    validation: int = 0  # how many of the training samples, from the end, are kept for validation
    sha256: str | None = None  # of the prepared arrays
    files: dict[str, RawFile] = field(default_factory=dict)
    mirrors: list[str] = field(default_factory=list)
    note: str = ""  # why it was taken, if it was not asked for by name
    candidates: list[str] = field(default_factory=list)  # of "auto": the set preferred, and the one otherwise

    @property
    def checksum(self) -> str:
        """What identifies the prepared data: its own checksum if that is declared, else that of its raw files."""
        if self.sha256:
            return self.sha256
        files = {name: asdict(file) for name, file in self.files.items()}
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
