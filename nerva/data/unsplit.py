"""Samples as a source has them, before they are split into training, validation and test samples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nerva.matrix_operations import Matrix


@dataclass(frozen=True)
class Unsplit:
    """The samples of a source."""

    where: str  # the name of the source, for messages
    T: Matrix  # labels or targets: numbers or texts, one row per sample
    inputs: Callable[[Matrix], Matrix]  # the matrix of the inputs; encodings are fitted on the rows that it is given
    test: int = 0  # how many samples at the end are for testing; 0 if the source does not say
    class_names: Sequence[str] = ()  # in the order of the labels, if the source has them
    origin: str = ""  # in words, for the record
