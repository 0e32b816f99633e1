"""Intel's MKL, which the compiled training step of NumPy uses in native numerics if it is installed."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest

from nerva.matrix_operations import numpy_blas
from tests.backends.test_libraries import python
from tests.helpers import command_in

pytestmark = [pytest.mark.backends, pytest.mark.xdist_group("backends")]


@pytest.fixture(scope="module", autouse=True)
def mkl() -> str:
    """The name of the installed MKL."""
    try:
        return f"mkl {version('mkl')}"
    except PackageNotFoundError:
        pytest.skip("MKL is not installed")


def environment(folder: Path) -> dict[str, dict]:
    """What each run computed with, by its numerics."""
    found = [json.loads(file.read_text()) for file in folder.glob("results/runs/*/provenance.json")]
    return {provenance["determined_by"]["numerics"]: provenance["environment"] for provenance in found}


def test_native_runs_use_it_on_cpus_of_intel_and_portable_ones_do_not(tmp_path: Path, mkl: str) -> None:
    command = command_in(tmp_path)
    for numerics in ("native", "portable"):
        result = command("nerva", "train", "data=digits", "tracking=off", f"numerics={numerics}")
        assert result.returncode == 0, result.stderr
    computed_with = environment(tmp_path)
    assert (computed_with["native"]["products"] == mkl) == numpy_blas._has_cpu_of_intel()
    assert computed_with["portable"]["products"].startswith("openblas")
    for path in tmp_path.glob("results/runs/*"):
        if path.is_dir():
            assert "identical" in command("nerva", "replay", path.name).stdout


@pytest.mark.parametrize("of_intel", [True, False])
def test_it_is_the_default_on_cpus_of_intel(of_intel: bool, mkl: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NERVA_BLAS", raising=False)
    monkeypatch.setattr(numpy_blas, "_has_cpu_of_intel", lambda: of_intel)
    found = numpy_blas.find.__wrapped__()
    assert found is not None
    assert (found.name == mkl) == of_intel


def test_it_gives_the_same_numbers_within_rounding(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from tests.test_numpy_compiler import CASES, data, network, values
from nerva.loss_functions import parse_loss_function
from nerva.training import train_epoch
arrays = {}
for i, (layers, optimizer, loss) in enumerate(CASES):
    M = network(layers, [20, 31, 10], optimizer)
    train_epoch(M, parse_loss_function(loss), 0.003, data(20, 70, 16))
    arrays |= {f"{i} {name}": x for name, x in values(M).items()}
np.savez(sys.argv[1], **arrays)
"""
    results = {}
    for name in ("numpy", "mkl"):
        result = python("numpy", "-c", code, str(tmp_path / f"{name}.npz"), NERVA_BLAS=name)
        assert result.returncode == 0, result.stderr
        results[name] = dict(np.load(tmp_path / f"{name}.npz"))
    different = 0
    for key, x in results["numpy"].items():
        np.testing.assert_allclose(x, results["mkl"][key], rtol=1e-8, atol=1e-11, err_msg=key)
        different += not np.array_equal(x, results["mkl"][key])
    assert different  # it is another library
