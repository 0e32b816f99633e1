"""Checkpoints: one `.npz` file with all that is needed to resume an interrupted run after its last epoch.

The file has each array that a component declares as its state (see `component_state`), and the weights of the best
epoch. The rest is JSON, in the array `json`. To resume a run, its components are built again and get the values of the
file. Nothing is pickled.
"""

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from nerva.errors import NervaError
from nerva.experiment.run.build import Training
from nerva.experiment.run.component_state import ComponentState, is_matrix, kind
from nerva.matrix_operations import Matrix, from_numpy
from nerva.training import EpochRecord, evaluates_training_set
from nerva.utilities import load_dict_from_npz, whole_or_absent


class Checkpoint:
    """The checkpoint of a run."""

    def __init__(
        self, path: Path, t: Training, environment: Mapping[str, Any], modules: Set[str] = frozenset()
    ) -> None:
        """
        Args:
            path: the file, which need not exist.
            t: the training, immediately after it was built.
            environment: what the bits of the results depend on; a run is only resumed in the same environment.
            modules: the names of all user-defined modules.
        """
        self.path = path
        self.t = t
        self.environment = dict(environment)
        self.modules = modules
        self.built = ComponentState(t, modules)

    def save(self, started: float, times: list[float], continued: list[dict[str, Any]]) -> None:
        """Write the checkpoint, whole or not at all.

        Args:
            started: when the run was started, in seconds since 1970.
            times: when each epoch was measured.
            continued: after which epochs, and when, the run was resumed.

        Raises:
            NervaError: if the run can't be resumed, because training changes what a checkpoint does not hold. The
                message says what. An earlier checkpoint is deleted.
        """
        t, now = self.t, ComponentState(self.t, self.modules)
        try:
            now.check(self.built)
        except NervaError:
            self.path.unlink(missing_ok=True)
            raise
        arrays = {f"best.{name}": array for name, array in t.best_weights.items()}
        values: dict[str, Any] = {}
        for name, value in now.values.items():
            if isinstance(value, np.ndarray | np.generic):
                arrays[name] = np.asarray(value)
            else:
                values[name] = value.bit_generator.state if isinstance(value, np.random.Generator) else value
        content = {
            "environment": self.environment,
            "values": values,
            "records": [list(vars(record).values()) for record in t.records],
            "best": t.best.epoch if t.best else None,
            "times": [started, *times],
            "continued": continued,
        }
        # Some bit generators have arrays of integers in their state.
        text = json.dumps(content, default=lambda array: array.tolist())
        with whole_or_absent(self.path) as temporary, temporary.open("wb") as file:
            # Not compressed: it is written after every epoch and rarely read.
            np.savez(file, json=np.frombuffer(text.encode(), np.uint8), **arrays)  # type: ignore[arg-type]

    def restore(self) -> tuple[float, list[float], list[dict[str, Any]]]:
        """Give the training, as it was built, the values of the checkpoint. After an error it has to be built again.

        Returns:
            What was given to `save`: started, times and continued.

        Raises:
            NervaError: if the file can't be read, or is not a checkpoint of this run in this environment.
        """
        arrays = load_dict_from_npz(self.path)
        try:
            if "json" not in arrays:
                raise ValueError("it has no json, so another version of nerva wrote it")
            content = json.loads(arrays.pop("json").tobytes())
            for key, now in self.environment.items():
                if (before := content["environment"].get(key)) != now:
                    raise ValueError(f"{key} was {before}, and is {now}")
            self._restore_records(content["records"], content["best"])
            self._restore_best_weights({name: arrays.pop(name) for name in [*arrays] if name.startswith("best.")})
            self._restore_components(content["values"] | arrays)
            (started, *times), continued = content["times"], content["continued"]
            # Up to the year 2242.
            if len(times) != len(self.t.records) or not all(0 <= time < 2**33 for time in (started, *times)):
                raise ValueError("its times are not those of its epochs")
            types = [{key: type(x) for key, x in entry.items()} for entry in continued]
            if type(continued) is not list or any(entry != {"after_epoch": int, "at": str} for entry in types):
                raise ValueError("it does not say when the run was resumed")
            return started, times, continued
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise NervaError(f"{self.path} is not a checkpoint of this run: {error}") from None

    def _restore_records(self, rows: list[list[Any]], best: int | None) -> None:
        records = [EpochRecord(*row) for row in rows]
        numbers = all(
            self._is_metric(name, value, record.epoch) for record in records for name, value in vars(record).items()
        )
        epochs = [record.epoch for record in records if type(record.epoch) is int]
        if not (records and numbers and epochs == list(range(len(records)))):
            raise ValueError("its records are not those of epochs 0, 1, …")
        self.t.records = records
        self.t.best = None if best is None else records[best]

    def _is_metric(self, name: str, value: Any, epoch: int) -> bool:
        """Whether a value is a number, or None where nothing was measured."""
        if name.endswith("_accuracy" if self.t.regression else "_r2"):
            return value is None
        may_be_missing = name.startswith("train_") and not evaluates_training_set(epoch, self.t.evaluate_training)
        return kind(value) == "a number" or (value is None and may_be_missing)

    def _restore_best_weights(self, arrays: dict[str, Matrix]) -> None:
        expected = self.t.M.to_dict() if self.t.best else {}
        if arrays.keys() != {f"best.{name}" for name in expected}:
            raise ValueError("it does not have the weights of the best epoch")
        for name, array in expected.items():
            # The architecture is text, whose length depends on numbers in it.
            _check_array(f"best.{name}", arrays[f"best.{name}"], array.shape, array.dtype)
        self.t.best_weights = {name: arrays[f"best.{name}"] for name in expected}

    def _restore_components(self, found: dict[str, Any]) -> None:
        missing = self.built.values.keys() - found.keys()
        unknown = found.keys() - self.built.declared.keys()
        if missing or unknown:
            raise ValueError(f"it has {'no ' if missing else ''}{min(missing or unknown)}")
        for name, value in found.items():
            before = self.built.values.get(name)
            if isinstance(value, np.ndarray) and not isinstance(before, np.ndarray) and not value.shape:
                value = value[()]  # a NumPy number
            component, attribute = self.built.declared[name]
            # An object that others refer to has to stay the same object.
            if isinstance(before, np.ndarray):
                _check_array(name, value, before.shape, before.dtype)
                if is_matrix(getattr(component, attribute)):
                    setattr(component, attribute, from_numpy(value))
                else:
                    before[...] = value
            elif isinstance(before, np.random.Generator):
                before.bit_generator.state = value
            elif before is not None and kind(value) != kind(before):
                raise ValueError(f"{name} is {kind(value)}, not {kind(before)}")
            elif isinstance(before, list):
                before[:] = value
            elif isinstance(before, dict):
                before.clear()
                before.update(value)
            else:
                setattr(component, attribute, value)


def _check_array(name: str, array: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise a ValueError unless an array has this shape and dtype; texts may have any length."""
    if type(array) is np.ndarray and array.dtype.kind == dtype.kind == "U":
        dtype = array.dtype
    if type(array) is not np.ndarray or (array.shape, array.dtype) != (shape, dtype):
        raise ValueError(f"{name} is not an array of {dtype} of shape {shape}")
