"""The same bits: what is pinned, where, and what is said where it can't be."""

import os
import subprocess
import sys

import pytest

from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.config.composition import compose
from nerva.experiment.identity.identify import run_id
from nerva.experiment.run import processes as worker
from nerva.experiment.run.processes import give, run_elsewhere
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.run.train import run
from tests.helpers import DIGITS, Command, configured, failed_plainly

PORTABLE = pytest.mark.skipif(bool(numerics.obstacle()), reason=f"portable numerics can't hold: {numerics.obstacle()}")
# What a machine may set for all of its programs.
MACHINE_WIDE = {"OPENBLAS_CORETYPE": "Sandybridge", "OMP_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}


def test_the_environment_of_a_mode_has_nothing_of_the_machines() -> None:
    for mode in ("portable", "native"):
        variables = numerics.environment(mode, MACHINE_WIDE | {"HOME": "/somewhere"})
        assert variables["OPENBLAS_NUM_THREADS"] == "1"
        assert variables["HOME"] == "/somewhere"
        assert "OMP_NUM_THREADS" not in variables
        assert variables.get("OPENBLAS_CORETYPE") == ("Haswell" if mode == "portable" else None)


@PORTABLE
def test_what_is_in_effect_is_recorded() -> None:
    folder = run(configured("numerics=portable"), [])
    environment = folder.read_provenance()["environment"]
    assert (environment["numerics"], environment["kernel"], environment["simd"]) == ("portable", "Haswell", "X86_V3")
    assert environment["threads"] == 1


def test_a_machine_wide_setting_changes_nothing(run: Command, tmp_path) -> None:
    for folder, changes in (("a", {}), ("b", MACHINE_WIDE)):
        result = run("nerva", "train", *DIGITS, f"results_dir={folder}", **changes)
        assert result.returncode == 0, result.stderr
    first, second = ((tmp_path / folder).glob("runs/*/weights.npz") for folder in ("a", "b"))
    assert next(first).read_bytes() == next(second).read_bytes()


def test_native_is_another_run() -> None:
    assert run_id(configured("numerics=native")) != run_id(configured("numerics=portable"))
    assert run_id(configured("numerics=auto")) in (
        run_id(configured("numerics=native")),
        run_id(configured("numerics=portable")),
    )


@PORTABLE
def test_a_mode_that_this_process_does_not_compute_in_gets_one_of_its_own() -> None:
    """This process is pinned to portable numerics; native ones are those of another."""
    folder = run(configured("numerics=native"), ["data=digits"])
    assert folder.is_whole()
    origin = folder.read_provenance()
    assert origin["environment"]["numerics"] == "native"
    assert origin["overrides"] == ["data=digits"]


def test_a_process_that_has_imported_numpy_trains_the_same(tmp_path) -> None:
    program = (
        "import numpy\nfrom nerva.experiment.config.composition import compose\n"
        "from nerva.experiment.run.train import run\n"
        f"print(run(compose({DIGITS}), []).read_summary()['weights']['weights.npz'])\n"
    )
    elsewhere = {**os.environ, "NERVA_RESULTS_DIR": str(tmp_path / "elsewhere")}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=elsewhere)
    assert result.stdout.strip() == run(configured(), []).read_summary()["weights"]["weights.npz"]


def test_what_python_imports_before_all_else(run: Command, tmp_path) -> None:
    """NumPy, by a sitecustomize: no process can be told in time, but those that are started in the mode need not be."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import numpy\n")
    path = {"PYTHONPATH": str(tmp_path / "site")}
    for mode in ("auto", "native"):
        result = run("nerva", "train", *DIGITS, f"numerics={mode}", timeout=60, **path)
        assert result.returncode == 0, result.stderr
    # One that changes what it was told is found out.
    (tmp_path / "site" / "sitecustomize.py").write_text("import numpy, os\nos.environ['OPENBLAS_NUM_THREADS'] = '2'\n")
    failed_plainly(run("nerva", "train", *DIGITS, "numerics=native", "seed=2", timeout=60, **path), "before nerva can")


def test_what_lies_in_the_current_folder_does_not_matter(run: Command, tmp_path) -> None:
    """Neither modules that are called like Python's, nor another copy of the engine."""
    for name in ("random.py", "nerva/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError")
    result = run("nerva", "train", "-m", *DIGITS, "numerics=native,auto")
    assert result.returncode == 0, result.stderr


def test_errors_come_back_from_the_other_process(tmp_path) -> None:
    config = configured("data.train=1400", "data.sha256=null")
    with pytest.raises(NervaError, match=r"\(1400, 64\) is declared"):
        run_elsewhere(config, [], tmp_path / "0123456789ab", "native")


@pytest.mark.parametrize("early", [False, True])
def test_a_signal_that_ends_the_other_process_ends_this_one(tmp_path, monkeypatch, early: bool) -> None:
    """What is started here ends by SIGTERM, after it has read its order, or before."""
    killed = tmp_path / "python"
    killed.write_text(f"#!/bin/sh\n{'' if early else 'read -r order'}\nkill -TERM $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))

    def give_late(process, order) -> None:
        process.wait()
        give(process, order)

    if early:
        monkeypatch.setattr(worker, "give", give_late)
    with pytest.raises(Interrupted, match="SIGTERM"):
        run_elsewhere(configured(), [], tmp_path / "0123456789ab", "native")


@pytest.fixture
def unfit(monkeypatch):
    """A machine on which portable numerics can't hold."""
    monkeypatch.setattr(numerics, "_unfit", lambda: "this CPU has no avx2")
    numerics.obstacle.cache_clear()
    yield
    numerics.obstacle.cache_clear()


def test_a_machine_on_which_it_cannot_hold(unfit) -> None:
    assert numerics.settle("auto") == "native"
    assert numerics.note("auto") == "numerics=auto takes native, as portable can't hold: this CPU has no avx2"
    assert numerics.note("native") == ""
    with pytest.raises(NervaError, match="numerics=portable can't hold: this CPU has no avx2; numerics=native can"):
        run(configured("numerics=portable"), [])
    folder = run(configured(), [])
    assert "numerics=auto takes native" in folder.log.read_text()
    assert folder.read_provenance()["environment"]["numerics"] == "native"


@PORTABLE
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"OPENBLAS_CORETYPE": "Sandybridge"}, "the BLAS kernel in effect is Sandybridge, and not Haswell"),
        ({"NPY_ENABLE_CPU_FEATURES": "X86_V4"}, "the SIMD level in effect is"),
    ],
)
def test_what_did_not_take_effect_is_noticed(changes: dict[str, str], found: str) -> None:
    program = "from nerva.experiment.config import numerics as n; print(n.departure())"
    environment = numerics.environment("portable") | changes
    if "NPY_ENABLE_CPU_FEATURES" in changes and "avx512f" not in numerics._cpu("flags"):
        pytest.skip("this CPU has one SIMD level only")
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert found in result.stdout


@PORTABLE
def test_another_computation_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(numerics, "_KNOWN", "0" * 16)
    assert "computes" in numerics.departure()


def test_a_mode_that_there_is_not() -> None:
    with pytest.raises(NervaError, match=r'numerics.mode should be auto, portable or native, not "fast"'):
        run(configured("numerics.mode=fast"), [])
    with pytest.raises(NervaError, match='there is no "fast" in conf/numerics'):
        compose(["data=digits", "numerics=fast"])
