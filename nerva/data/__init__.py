"""Datasets on disk: finding and downloading raw files, and preparing the `.npz` file that experiments read."""

from nerva.data.auto import AutoChoice, choose, predict, recorded_choice
from nerva.data.description import Dataset, RawFile
from nerva.data.prepare import Prepared, Provenance, load_prepared, prepare, read_provenance

__all__ = [
    "AutoChoice",
    "Dataset",
    "Prepared",
    "Provenance",
    "RawFile",
    "choose",
    "load_prepared",
    "predict",
    "prepare",
    "read_provenance",
    "recorded_choice",
]
