"""Runs tests/symbols, whose tests need a process that computes with SymPy."""

import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT


@pytest.mark.parametrize(
    "selected",
    [
        "prove and not wrong_sign and not mistakes",
        "not prove and not wrong_sign and not mistakes",
        "wrong_sign and not layers and not softmax",
        *(pytest.param(part, marks=pytest.mark.long) for part in ("mistakes", "wrong_sign and (layers or softmax)")),
    ],
)
def test_symbols(selected: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/symbols", "-k", selected],
        cwd=ROOT, env=environment | {"NERVA_BACKEND": "sympy"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
