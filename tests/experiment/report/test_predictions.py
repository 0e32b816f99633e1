"""The predictions of a network, and the conditions under which it may be loaded."""

import importlib
import io
import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerva.activation_functions import ACTIVATIONS
from nerva.data import load_prepared
from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report import plots
from nerva.experiment.report.predictions import Analysis, Analyst, load_network
from tests.experiment.report.examples import update_checksums
from tests.helpers import configured, trained

MODULE = """
from pathlib import Path

from nerva.activation_functions import ACTIVATIONS, ReLUActivation

Path("imported").touch()


class Twice(ReLUActivation):
    def __repr__(self):
        return "Twice"


ACTIVATIONS.add("Twice", Twice)
"""
TRUSTED = frozenset({"my_activations"})


@pytest.fixture
def analysis(sweep, sweep_results) -> Analysis:
    found = Analyst(sweep_results / "data").analyse(sweep[0])
    assert found is not None
    return found


def test_predictions_are_those_of_the_run(analysis, comparison) -> None:
    accuracy = (analysis.predicted == analysis.T).mean()
    assert accuracy == comparison.runs["test_accuracy"][0]
    assert len(analysis.X) == 297
    assert analysis.names == list("0123456789")


def test_the_confusion_matrix(analysis) -> None:
    counts = analysis.confusion
    assert counts.shape == (10, 10)
    for i, j in np.ndindex(counts.shape):
        assert counts[i, j] == np.sum((analysis.predicted == j) & (i == analysis.T))


def test_a_class_that_is_never_predicted() -> None:
    analysis = Analysis(np.zeros((2, 4)), np.array([0, 1]), np.array([[1, 0, 0], [1, 0, 0]]), ["a", "b", "c"])
    assert analysis.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert [row["class"] for row in analysis.per_class()] == ["a", "b", "c"]
    first, second, third = analysis.per_class()
    assert (first["precision"], first["recall"], first["samples"]) == (0.5, 1.0, 1)
    assert (second["precision"], second["f1"], third["samples"]) == (0.0, 0.0, 0)


def test_the_worst_predictions_have_the_largest_margin() -> None:
    Y = np.array([[3.0, 1.0], [5.0, 1.0], [1.0, 2.0], [np.nan, 1.0]])
    analysis = Analysis(np.zeros((4, 4)), np.array([1, 1, 1, 1]), Y, ["a", "b"])
    assert analysis.worst(25)[:2].tolist() == [1, 0]
    assert analysis.worst(1).tolist() == [1]


def test_the_data_are_read_once(sweep, sweep_results, monkeypatch) -> None:
    reads = []

    def counted(*arguments: Any) -> Any:
        reads.append(arguments)
        return load_prepared(*arguments)

    monkeypatch.setattr("nerva.experiment.report.predictions.load_prepared", counted)
    analyst = Analyst(sweep_results / "data")
    assert all(analyst.analyse(folder) for folder in sweep[:3])
    assert len(reads) == 1


def test_classes_have_their_names(results) -> None:
    names = "zero,one,two,three,four,five,six,seven,eight,nine"
    found = Analyst(results / "data").analyse(trained(configured("train.epochs=1", f"data.class_names=[{names}]")))
    assert found is not None
    assert found.names == names.split(",")


def test_without_the_data_there_are_no_predictions(sweep, tmp_path) -> None:
    analyst = Analyst(tmp_path)
    assert analyst.obstacle(sweep[0]) == "The dataset is no longer here; nerva prepare data=digits prepares it again."
    assert analyst.analyse(sweep[0]) is None


@pytest.fixture(scope="module")
def run_with_module(tmp_path_factory) -> RunFolder:
    """A run with a user-defined module, which is in the folder of the results."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("user-defined")
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(ACTIVATIONS, "components", dict(ACTIVATIONS.components))
        Path("my_activations.py").write_text(MODULE)
        points = (f"results_dir={folder}/results", "imports=[my_activations]", "model.layers=[Twice,Linear]")
        run = trained(configured(*points))
        del sys.modules["my_activations"]
    return run


@pytest.fixture
def user_defined(run_with_module, monkeypatch) -> Iterator[RunFolder]:
    """The run, and its module in the current folder. The module has not been imported, and marks that it is."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(ACTIVATIONS, "components", dict(ACTIVATIONS.components))
    Path("my_activations.py").write_text(MODULE)
    importlib.invalidate_caches()
    yield run_with_module
    sys.modules.pop("my_activations", None)


def test_a_module_is_imported_only_if_the_caller_trusts_it(user_defined) -> None:
    """The folder of a run may be a stranger's."""
    analyst = Analyst(user_defined.path.parent.parent / "data", frozenset({"another"}))
    assert analyst.analyse(user_defined) is None
    assert analyst.obstacle(user_defined) == (
        "The network uses user-defined modules that this configuration does not import: my_activations."
    )
    assert not Path("imported").exists()


def test_a_trusted_module_is_imported(user_defined) -> None:
    found = Analyst(user_defined.path.parent.parent / "data", TRUSTED).analyse(user_defined)
    assert found is not None
    assert Path("imported").exists()


def test_a_trusted_module_that_has_changed_is_not_used(user_defined) -> None:
    Path("my_activations.py").write_text("\n" + MODULE)
    analyst = Analyst(user_defined.path.parent.parent / "data", TRUSTED)
    assert analyst.analyse(user_defined) is None
    assert analyst.obstacle(user_defined) == (
        "The network uses user-defined modules that have changed since it was trained: my_activations."
    )


def test_a_trusted_module_that_is_not_found(user_defined) -> None:
    Path("my_activations.py").unlink()
    analyst = Analyst(user_defined.path.parent.parent / "data", TRUSTED)
    assert analyst.analyse(user_defined) is None
    assert analyst.obstacle(user_defined) == (
        "The network uses user-defined modules that are not found: my_activations."
    )


def test_a_dataset_is_not_looked_for_in_other_folders(copied_run, sweep_results) -> None:
    copied_run.config.write_text(copied_run.config.read_text().replace("name: digits", "name: ../data/digits", 1))
    with pytest.raises(NervaError, match=r"data\.name should be the name of a file, without folders"):
        Analyst(sweep_results / "data").analyse(copied_run)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("evaluation_batch_size: 1000", "evaluation_batch_size: 0", "evaluation_batch_size should be 1 or more"),
        ("classes: 10", "classes: 11", "is not a network from 64 features to 11 outputs"),
        ("test: 297", "test: 298", r"Xtest has shape \(297, 64\), but \(298, 64\) is"),
    ],
)
def test_a_forged_configuration(copied_run, sweep_results, before, after, message) -> None:
    copied_run.config.write_text(copied_run.config.read_text().replace(before, after, 1))
    with pytest.raises(NervaError, match=message):
        Analyst(sweep_results / "data").analyse(copied_run)


def test_too_many_classes(copied_run, sweep_results) -> None:
    copied_run.config.write_text(copied_run.config.read_text().replace("classes: 10", "classes: 1000000000", 1))
    analyst = Analyst(sweep_results / "data")
    assert analyst.obstacle(copied_run) == "The dataset has more than 1000 classes."
    assert analyst.analyse(copied_run) is None


def test_weights_that_were_changed(copied_run, sweep_results) -> None:
    shutil.copy(copied_run.code, copied_run.best)
    with pytest.raises(NervaError, match=r"best\.npz was changed after the run had ended; delete"):
        Analyst(sweep_results / "data").analyse(copied_run)


def forged(arrays: dict[str, Any], **changes: Any) -> bytes:
    """The content of an .npz file with some arrays exchanged."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays | changes)
    return buffer.getvalue()


def architecture(*layers: Any) -> Any:
    return np.array([json.dumps(layers)])


def with_member(arrays: dict[str, Any], name: str, content: bytes) -> bytes:
    """The content of an .npz file in which one member is not an array."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(f"{key}.npy", content if key == name else member.getvalue())
    return buffer.getvalue()


class Command:
    """An object that runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("unpickled"),)  # type: ignore[return-value]


HOSTILE = {
    "empty": lambda a: b"",
    "no archive": lambda a: b"hello",
    "truncated": lambda a: forged(a)[:500],
    "pickled": lambda a: forged(a, W1=np.array([Command()], dtype=object)),
    "no architecture": lambda a: forged(a, architecture=np.array(["x"])),
    "architecture without a dimension": lambda a: forged(a, architecture=np.array("[]")),
    "no layers": lambda a: forged(a, architecture=architecture()),
    "unknown layer": lambda a: forged(a, architecture=architecture(["os.system", 64, 10])),
    "negative size": lambda a: forged(a, architecture=architecture(["ReLU", -1, 64])),
    "size that is a text": lambda a: forged(a, architecture=architecture(["ReLU", "x", 64])),
    "layers that do not fit": lambda a: forged(
        a, architecture=architecture(["ReLU", 64, 32], ["Linear", 64, 10]), W1=np.zeros((32, 64)), b1=np.zeros(32)
    ),
    "other inputs": lambda a: forged(
        a, architecture=architecture(["ReLU", 60, 64], ["Linear", 64, 10]), W1=np.zeros((64, 60))
    ),
    "weights of another shape": lambda a: forged(a, W1=np.zeros((64, 8, 8))),
    "negative shape": lambda a: with_member(
        a, "W1", b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 64), }".ljust(80)
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_weights(copied_run, sweep_results, kind) -> None:
    with np.load(copied_run.best) as data:
        arrays = dict(data)
    copied_run.best.write_bytes(HOSTILE[kind](arrays))
    update_checksums(copied_run)
    with pytest.raises(NervaError, match=r"best\.npz:? .*; delete .* to train the run again"):
        Analyst(sweep_results / "data").analyse(copied_run)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize("W1", [np.full((64, 64), "x"), np.zeros((64, 8, 8)), np.full((64, 64), np.nan)])
def test_weights_that_are_no_images(copied_run, W1) -> None:
    copied_run.best.write_bytes(forged({}, W1=W1))
    assert plots.first_layer(copied_run) is None


def test_a_network_is_loaded(sweep) -> None:
    M = load_network(sweep[0], sweep[0].read_config())
    assert [layer.output_size() for layer in M.layers] == [64, 10]
