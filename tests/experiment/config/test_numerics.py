"""Numerics: which kernels compute a run, and what is reported where they are not supported."""

import os
import subprocess
import sys

import pytest

from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.identity.identify import identify
from tests.helpers import configured

SUPPORTED = pytest.mark.skipif(
    bool(numerics.obstacle()), reason=f"portable numerics are not supported: {numerics.obstacle()}"
)
# What a machine may set for all of its programs.
MACHINE_WIDE = {"OPENBLAS_CORETYPE": "Sandybridge", "OMP_NUM_THREADS": "2", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}


def test_the_environment_of_a_mode_has_nothing_of_the_machine() -> None:
    for mode in ("portable", "native"):
        variables = numerics.environment(mode, MACHINE_WIDE | {"HOME": "/somewhere"})
        assert variables["OPENBLAS_NUM_THREADS"] == "1"
        assert variables["HOME"] == "/somewhere"
        assert "OMP_NUM_THREADS" not in variables
        assert variables.get("OPENBLAS_CORETYPE") == ("Haswell" if mode == "portable" else None)


def test_another_mode_is_another_run() -> None:
    native, portable, auto = (identify(configured(f"numerics={mode}")) for mode in ("native", "portable", "auto"))
    assert native.run_id != portable.run_id
    assert auto.run_id == (native if numerics.obstacle() else portable).run_id
    assert (native.numerics, portable.numerics) == ("native", "portable")


def test_a_machine_without_support(unsupported) -> None:
    assert numerics.resolve_mode("auto") == "native"
    assert numerics.note("auto") == (
        "numerics=auto uses native, because portable is not supported: this CPU has no avx2"
    )
    assert numerics.note("native") == ""
    with pytest.raises(NervaError, match="numerics=portable is not supported: this CPU has no avx2; use numerics=nat"):
        numerics.demand("portable")
    numerics.demand("native")


@SUPPORTED
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"OPENBLAS_CORETYPE": "Sandybridge"}, "the BLAS kernel in effect is Sandybridge instead of Haswell"),
        ({"NPY_ENABLE_CPU_FEATURES": "X86_V4"}, "the SIMD level in effect is"),
    ],
)
def test_settings_that_do_not_take_effect_are_noticed(changes: dict[str, str], found: str) -> None:
    if "NPY_ENABLE_CPU_FEATURES" in changes and "avx512f" not in numerics._cpu("flags"):
        pytest.skip("this CPU has one SIMD level only")
    program = "from nerva.experiment.config import numerics as n; print(n.departure())"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=numerics.environment("portable", os.environ) | changes,
        check=True,
    )
    assert found in result.stdout


@SUPPORTED
def test_another_result_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(numerics, "_KNOWN", "0" * 16)
    assert "does not compute the bits" in numerics.departure()


def test_an_unknown_mode() -> None:
    with pytest.raises(NervaError, match=r'numerics.mode should be auto, portable or native, not "fast"'):
        numerics.resolve_mode("fast")


@pytest.mark.parametrize(
    ("arguments", "mode"), [((), "portable"), (("numerics=native",), "native"), (("numerics.mode=native",), "native")]
)
def test_a_command_pins_the_mode_that_it_asks_for(arguments: tuple[str, ...], mode: str) -> None:
    program = f"from nerva.experiment.config import numerics as n; n.pin_for({arguments!r}); print(n.pinned())"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ("native" if numerics.obstacle() else mode)


def test_a_mode_can_no_longer_be_pinned_after_numpy_is_imported() -> None:
    program = "import numpy; from nerva.experiment.config import numerics as n; n.pin('native'); print(n.pinned())"
    environment = {key: value for key, value in os.environ.items() if key not in numerics._VARIABLES}
    one = {"OPENBLAS_NUM_THREADS": "1"}
    # joblib sets the variables of all libraries in its workers.
    workers = [(one | {"OMP_NUM_THREADS": "1"}, "native"), (one | {"OMP_NUM_THREADS": "2"}, "")]
    for changes, mode in (({}, ""), (one, "native"), *workers, (one | {"MKL_CBWR": "1"}, "")):
        result = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment | changes
        )
        assert result.stdout.strip() == mode
