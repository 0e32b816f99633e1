"""Running a configuration in this process, or in a child process if its numerics or its modules need one."""

import json
import os
import subprocess
import sys

import pytest

from nerva.errors import NervaError, PrunedError
from nerva.experiment.config import numerics
from nerva.experiment.identity.identify import identify
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run import processes
from nerva.experiment.run.run import Children, ChildRun, run
from nerva.experiment.run.signals import Interrupted
from nerva.training import EpochRecord
from tests.helpers import (
    DIGITS,
    MINE,
    USER_DEFINED,
    Command,
    assert_same_results,
    configured,
    failed_plainly,
    trained,
)

SUPPORTED = pytest.mark.skipif(
    bool(numerics.obstacle()), reason=f"portable numerics are not supported: {numerics.obstacle()}"
)
# What a machine may set for all of its programs.
MACHINE_WIDE = {"OPENBLAS_CORETYPE": "Sandybridge", "OMP_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}


@SUPPORTED
def test_the_numerics_in_effect_are_recorded(recorded) -> None:
    environment = recorded.read_provenance().environment
    assert (environment["numerics"], environment["kernel"], environment["simd"]) == ("portable", "Haswell", "X86_V3")
    assert environment["threads"] == 1


@SUPPORTED
def test_a_run_with_other_numerics_gets_a_child_process() -> None:
    """This process is pinned to portable numerics."""
    folder = trained(configured("numerics=native"), ["data=digits"])
    assert folder.is_complete()
    origin = folder.read_provenance()
    assert origin.environment["numerics"] == "native"
    assert origin.overrides == ["data=digits"]


@pytest.mark.long
def test_machine_wide_settings_change_nothing(run_command: Command, tmp_path) -> None:
    for folder, changes in (("a", {}), ("b", MACHINE_WIDE)):
        result = run_command("nerva", "train", *DIGITS, f"results_dir={folder}", **changes)
        assert result.returncode == 0, result.stderr
    first, second = ((tmp_path / folder).glob("runs/*/weights.npz") for folder in ("a", "b"))
    assert next(first).read_bytes() == next(second).read_bytes()


def test_a_process_that_has_imported_numpy_trains_the_same(recorded, tmp_path) -> None:
    program = (
        "import numpy\nfrom nerva.experiment.config.composition import compose\n"
        "from nerva.experiment.identity.identify import identify\nfrom nerva.experiment.run.run import run\n"
        f"config = compose({[*DIGITS, 'model.hidden=[8]']})\n"
        "print(run(config, identify(config)).weights['weights.npz'])\n"
    )
    elsewhere = {**os.environ, "NERVA_RESULTS_DIR": str(tmp_path / "elsewhere")}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=elsewhere)
    assert result.stdout.strip() == recorded.read_record().weights["weights.npz"]


@pytest.mark.long
def test_numpy_may_be_imported_before_nerva_if_the_numerics_are_kept(run_command: Command, tmp_path) -> None:
    """A sitecustomize imports NumPy. A child process that was started with the right variables is pinned even so."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import numpy\n")
    path = {"PYTHONPATH": str(tmp_path / "site")}
    for mode in ("auto", "native"):
        result = run_command("nerva", "train", *DIGITS, f"numerics={mode}", **path)
        assert result.returncode == 0, result.stderr
    # One that changes the variables is noticed.
    (tmp_path / "site" / "sitecustomize.py").write_text("import numpy, os\nos.environ['OPENBLAS_NUM_THREADS'] = '2'\n")
    failed_plainly(
        run_command("nerva", "train", *DIGITS, "numerics=native", "seed=2", **path),
        "before nerva can pin the numerics",
    )


def test_files_in_the_current_folder_are_not_imported(run_command: Command, tmp_path) -> None:
    """Neither modules with the names of standard ones, nor another copy of the engine."""
    for name in ("random.py", "nerva/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError")
    result = run_command("nerva", "train", "-m", *DIGITS, "numerics=native,auto")
    assert result.returncode == 0, result.stderr


def in_child(*overrides: str) -> None:
    config = configured("numerics=native", *overrides)
    ChildRun(config, identify(config), [], RunFolder.of(config.results_dir, "0123456789ab")).result()


def test_errors_come_back_from_the_child(results) -> None:
    with pytest.raises(NervaError, match=r"\(1400, 64\) is declared"):
        in_child("data.train=1400", "data.sha256=null")


@pytest.mark.parametrize("early", [False, True])
def test_a_signal_that_ends_the_child_interrupts_the_run(tmp_path, monkeypatch, early: bool) -> None:
    """The child ends by SIGTERM after it has read its order, or before."""
    killed = tmp_path / "python"
    killed.write_text(f"#!/bin/sh\n{'' if early else 'read -r order'}\nkill -TERM $$\n")
    killed.chmod(0o755)
    config = configured("numerics=native")
    identity = identify(config)
    popen = subprocess.Popen

    def late(*arguments, **options):
        process = popen(*arguments, **options)
        process.wait()
        return process

    monkeypatch.setattr(sys, "executable", str(killed))
    if early:
        monkeypatch.setattr(processes.subprocess, "Popen", late)
    with pytest.raises(Interrupted, match="SIGTERM"):
        ChildRun(config, identity, [], RunFolder.of(config.results_dir, identity.run_id)).result()


def test_a_child_that_ends_with_an_exit_code(tmp_path, monkeypatch) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\nexit 7\n")
    failing.chmod(0o755)
    config = configured("numerics=native")
    identity = identify(config)
    monkeypatch.setattr(sys, "executable", str(failing))
    with pytest.raises(NervaError, match=f"the process that trained {identity.run_id} ended with exit code 7"):
        ChildRun(config, identity, [], RunFolder.of(config.results_dir, identity.run_id)).result()


def test_a_machine_without_portable_numerics(unsupported) -> None:
    config = configured("numerics=portable")
    with pytest.raises(NervaError, match="numerics=portable is not supported: this CPU has no avx2; use numerics=nati"):
        run(config, identify(config))
    folder = trained(configured())
    assert "numerics=auto uses native, because portable is not supported" in folder.log.read_text()
    assert folder.read_provenance().environment["numerics"] == "native"


@pytest.mark.long
def test_each_run_with_user_defined_modules_has_a_process_of_its_own(run_command: Command, tmp_path) -> None:
    """What a class has counted in one run is not seen by the next. A checkpoint does not hold that count."""
    (tmp_path / "helper.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "mine.py").write_text(MINE)
    weights = set()
    for sweep in (["-m", "seed=1,2"], ["seed=2", "force=true"]):
        result = run_command("nerva", "train", *DIGITS, *USER_DEFINED, "train.epochs=300", *sweep)
        assert result.returncode == 0, result.stderr
        assert "restarts from scratch: training changes Scaled.count, which a checkpoint does not hold" in result.stdout
        weights |= {
            json.loads(path.read_text())["weights"]["weights.npz"]
            for path in tmp_path.glob("results/runs/*/run.json")
            if json.loads((path.parent / "provenance.json").read_text())["determined_by"]["seed"] == 2
        }
    assert len(weights) == 1


@pytest.mark.parametrize("apart", [False, True])
def test_a_run_that_is_pruned_resumes_when_it_is_asked_for(results, apart) -> None:
    config = configured("train.epochs=4", "model.hidden=[8]")
    identity, seen = identify(config), []

    def watch(epoch: EpochRecord) -> None:
        seen.append(epoch)
        if epoch.epoch == 2:
            raise PrunedError

    with pytest.raises(PrunedError):
        run(config, identity, watch=watch, children=Children() if apart else None)
    folder = RunFolder.of(config.results_dir, identity.run_id)
    assert [epoch.epoch for epoch in seen] == [1, 2]
    assert [row["validation_loss"] for row in folder.read_metrics()[1:]] == [epoch.validation_loss for epoch in seen]
    assert folder.checkpoint.exists()
    assert not folder.record.exists()
    # A second watcher sees the epochs before the interruption as well.
    seen.clear()
    with pytest.raises(PrunedError):
        run(config, identity, watch=watch)
    assert [epoch.epoch for epoch in seen] == [1, 2]
    assert_same_results(trained(config), trained(config, folder=RunFolder(results / "runs" / "whole")))
    assert len(folder.read_metrics()) == 5
