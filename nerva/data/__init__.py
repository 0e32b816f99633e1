"""Datasets on disk: where raw files come from, and the prepared `.npz` that experiments read."""

from nerva.data.auto import AutoChoice, choose
from nerva.data.description import Dataset, RawFile
from nerva.data.prepare import Prepared, load_prepared, prepare

__all__ = ["AutoChoice", "Dataset", "Prepared", "RawFile", "choose", "load_prepared", "prepare"]
