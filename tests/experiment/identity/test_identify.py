"""Which run a configuration is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nerva.errors import NervaError
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import identify
from tests.helpers import ROOT, configured


def test_an_identity() -> None:
    identity = identify(configured("numerics=native"))
    assert len(identity.run_id) == len(identity.configuration_id) == 12
    assert identity.numerics == "native"
    assert identity.determined_by["optimizer"] == "Momentum(mu=0.9)"
    assert {"nerva/layers.py: LinearLayer.backpropagate", "nerva/experiment/run/build.py: build"} <= {*identity.code}
    assert identity.code_fingerprint == digest(identity.code)
    assert identify(configured("numerics=native")) == identity


def test_the_run_id_is_a_hash_of_the_configuration_and_the_code() -> None:
    run_ids = {identify(configured(*overrides)).run_id for overrides in ([], ["seed=2"], ["optimizer=nesterov"])}
    assert len(run_ids) == 3
    assert identify(configured("experiment_name=other", "results_dir=elsewhere")).run_id in run_ids


def test_runs_that_differ_only_in_the_seed_share_a_configuration() -> None:
    assert identify(configured("seed=2")).configuration_id == identify(configured()).configuration_id
    assert identify(configured("train.epochs=3")).configuration_id != identify(configured()).configuration_id


def test_an_invalid_configuration_has_no_identity() -> None:
    with pytest.raises(NervaError, match=r"train\.epochs should be 1 to"):
        identify(configured("train.epochs=0"))


# The program prints the ids of quick, in the order of their overrides.
QUICK = [sys.executable, "-P", "-m", "nerva", "id", "+experiment=quick", "data=digits"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the package, from which ids are asked."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("nerva", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


# A file of the package, a regular expression, and what replaces its first match.
Edit = tuple[str, str, str]


def run_ids(copy: Path, *edits: Edit, **changes: str) -> dict[str, str]:
    """The ids of quick by their overrides, while files of the copy are edited."""
    before: dict[Path, str] = {}
    for name, pattern, new in edits:
        path = copy / "nerva" / name
        text = path.read_text(encoding="utf-8")
        before.setdefault(path, text)
        edited = re.sub(pattern, new, text, count=1, flags=re.MULTILINE)
        assert edited != text, f"{name} has no {pattern}"
        path.write_text(edited, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", **changes}
    try:
        result = subprocess.run(QUICK, capture_output=True, text=True, check=False, cwd=copy, env=environment)
    finally:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    assert not (copy / "results").exists()
    return {overrides: run_id for run_id, _, overrides in (line.partition(" ") for line in result.stdout.splitlines())}


@pytest.fixture(scope="module")
def quick(copy) -> dict[str, str]:
    """The ids of quick as it is."""
    ids = run_ids(copy)
    assert len({*ids.values()}) == 12
    return ids


# The message of an error, and another one.
MESSAGE = (r"raise NervaError\(f([\"'])", r"raise NervaError(f\g<1>sorry: ")


def test_edits_that_do_not_compute_change_no_id(copy, quick) -> None:
    edits = [
        ("__init__.py", r'__version__ = ".*"', '__version__ = "99.0"'),
        ("training_table.py", "Total training time", "Duration of all epochs"),
        ("utilities.py", *MESSAGE),
        ("specifications.py", *MESSAGE),
        ("specifications.py", "^class Registry", "# The known components\n\n\nclass Registry"),
        ("multilayer_perceptron.py", *MESSAGE),
        ("optimizers.py", '^    """', '    """Edited. '),
        ("layers.py", r"DW = DZ\.T @ X$", "DW = DZ.T @ X  # an outer product per sample"),
        ("layers.py", r"def feedforward\(self, X: Matrix\) -> Matrix:", "def feedforward(self, X):"),
        # Components that quick does not use, and the code of the commands.
        ("optimizers.py", r"^class AdamOptimizer\(.*\):$", r"\g<0>\n    edited = True\n"),
        ("layers.py", r"^class DropoutLayer\(.*\):$", r"\g<0>\n    edited = True\n"),
        ("activation_functions.py", r"^class SigmoidActivation\(.*\):$", r"\g<0>\n    edited = True\n"),
        ("loss_functions.py", r"^class SquaredErrorLossFunction\(.*\):$", r"\g<0>\n    edited = True\n"),
        ("learning_rate.py", r"^class CosineScheduler\(.*\):$", r"\g<0>\n    edited = True\n"),
        ("weight_initializers.py", r"^def set_weights_he_uniform\(.*:$", r"\g<0>\n    edited = True\n"),
        ("cli/id.py", r"\Z", "\nEDITED = True\n"),
    ]
    assert run_ids(copy, *edits) == quick
    # Neither does a language that is not that of the files, nor what an editor leaves beside them.
    (copy / "nerva" / ".#layers.py").symlink_to("jane@host.1:2")
    assert run_ids(copy, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") == quick


@pytest.mark.parametrize(
    ("edit", "optimizers"),
    [
        (("layers.py", r"DW = DZ\.T @ X$", "DW = DZ.T @ X * 1"), {"gradient_descent", "momentum", "nesterov"}),
        (("experiment/run/build.py", r"\.spawn\(2\)", ".spawn(3)[:2]"), {"gradient_descent", "momentum", "nesterov"}),
        # Nesterov is built on Momentum, and both on GradientDescent.
        (
            ("optimizers.py", r"^class MomentumOptimizer\(.*\):$", r"\g<0>\n    edited = True\n"),
            {"momentum", "nesterov"},
        ),
        (("optimizers.py", r"^class NesterovOptimizer\(.*\):$", r"\g<0>\n    edited = True\n"), {"nesterov"}),
    ],
)
def test_an_edit_changes_the_ids_of_the_runs_that_it_computes(copy, quick, edit: Edit, optimizers: set[str]) -> None:
    after = run_ids(copy, edit)
    changed = {overrides for overrides in quick if quick[overrides] != after[overrides]}
    assert changed == {o for o in quick if any(f"optimizer={name} " in o for name in optimizers)}
