"""Which run a configuration is."""

import os
import shutil
import subprocess
import sys

import pytest

from nerva.experiment.config import schema as config_module
from nerva.experiment.config.schema import canonical
from nerva.experiment.identity.fingerprint import fingerprint, parts
from nerva.experiment.identity.identify import code_parts, configuration_id, run_id
from tests.helpers import ROOT, configured


def test_what_does_not_matter_does_not_count(tmp_path) -> None:
    same = ["tracking=mlflow", "experiment_name=other", f"results_dir={tmp_path}", "data.mirrors=[]"]
    same += ["force=true", "learning_rate.lr=1e-2", "optimizer.mu=0.90", "model.layers=['ReLU()',Linear]"]
    same += ["model.weights='HeNormal()'"]
    assert {run_id(configured(override)) for override in same} == {run_id(configured())}


def test_what_matters_counts() -> None:
    other = ["seed=2", "train.epochs=3", "train.batch_size=50", "train.evaluation_batch_size=7", "data.validation=200"]
    other += ["optimizer=nesterov", "optimizer.mu=0.8", "learning_rate.lr=0.02", "loss=squared_error"]
    other += ["model.hidden=[32]", "model.layers=[Sigmoid,Linear]", "model.weights=XavierNormal", "data.sha256=0"]
    # Where the prepared data have no checksum yet.
    other += ["data.sha256=null", "data.sha256=null data.train=1400"]
    ids = [run_id(configured())] + [run_id(configured(*override.split())) for override in other]
    assert len(set(ids)) == len(other) + 1


def test_the_seed_does_not_count_for_a_configuration() -> None:
    assert configuration_id(configured("seed=2")) == configuration_id(configured())
    assert configuration_id(configured("train.epochs=3")) != configuration_id(configured())


def test_the_preparation_of_data_without_a_checksum_counts(monkeypatch) -> None:
    def ids() -> list[str]:
        return [run_id(configured()), run_id(configured("data.sha256=null"))]

    declared, undeclared = ids()
    monkeypatch.setattr(config_module, "fingerprint", lambda source: "other code")
    assert ids()[0] == declared
    assert ids()[1] != undeclared


def test_canonical_values_are_json() -> None:
    assert canonical(configured())["optimizer"] == "Momentum(mu=0.9)"
    assert canonical(configured("optimizer=gradient_descent"))["optimizer"] == "GradientDescent"


SOURCE = '"""Doc."""\ndef f(x, y=1):\n    """Doc."""\n    return x - y  # why\n'
SAME = ["def f(x, y = 1):\n    return (x -\n            y)\n", "# c\n\ndef f(x,y=1): return x-y"]
OTHER = ["def f(x, y=1): return x + y", "def f(x, y=1.0): return x - y", "def f(x, y=True): return x - y"]
OTHER += ["def f(x, y=None): return x - y", "def f(x, y='1'): return x - y", "def g(x, y=1): return x - y", "pass"]


def test_fingerprints() -> None:
    assert {fingerprint(source.encode()) for source in SAME} == {fingerprint(SOURCE.encode())}
    assert len({fingerprint(source.encode()) for source in [SOURCE, *OTHER]}) == len(OTHER) + 1
    assert fingerprint(b"x = 1\n'''what x is'''\n") == fingerprint(b"\xef\xbb\xbfx = 1  # \xc3\xa9\n")


def test_parts_of_a_module() -> None:
    source = """
import a
x = 1
class C:
    "Doc."
    y = 2
    def f(self):
        return 1
    class D:
        def g(self): return 2
def h(): return 3
"""
    first = parts(source.encode())
    assert list(first) == ["C.f", "C.D.g", "C.D", "C", "h", ""]
    for old, new, changed in (
        ("return 1", "return 4", {"C.f"}),
        ("return 2", "return 4", {"C.D.g"}),
        ("y = 2", "y = 4", {"C"}),
        ("x = 1", "x = 4", {""}),
        ("return 3", "return 3  # why", set()),
        ('"Doc."', '"Other."', set()),
    ):
        now = parts(source.replace(old, new).encode())
        assert {name for name in first if first[name] != now[name]} == changed


def test_the_parts_are_those_of_the_engine() -> None:
    names = code_parts()
    assert {"nerva/layers.py: LinearLayer.backpropagate", "nerva/experiment/run/build.py: build"} <= set(names)
    assert "nerva/layers.py" in names


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package, of which the ids of quick can be had."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("nerva", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def ids(copy, old: str = "", new: str = "", **changes: str) -> list[str]:
    """The ids of the runs of quick, with something changed in layers.py; nothing but configurations is there."""
    layers = copy / "nerva" / "layers.py"
    text = layers.read_text()
    assert old in text
    layers.write_text(text.replace(old, new))
    command = [sys.executable, "-m", "nerva", "id", "+experiment=quick", "data=mnist"]
    environment = {**os.environ, **changes}
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=copy, env=environment)
    layers.write_text(text)
    assert not (copy / "results").exists()
    return [line.split()[0] for line in result.stdout.splitlines()]


def test_a_comment_changes_no_id_and_an_equation_changes_all(copy) -> None:
    before = ids(copy)
    assert len(set(before)) == 12
    assert ids(copy, "        DW = DZ.T @ X\n", "        # Why?\n        DW = DZ.T @ X  # so\n") == before
    assert not {*ids(copy, "        DW = DZ.T @ X\n", "        DW = DZ.T @ X * 1\n")} & {*before}
    # Nor does a language that isn't that of the files, or what an editor leaves beside them.
    (copy / "nerva" / ".#layers.py").symlink_to("jane@host.1:2")
    assert ids(copy, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") == before
