"""Runs tests/symbols, whose tests need a process that computes with SymPy."""

import os
import subprocess
import sys

import pytest

from tests.helpers import ROOT

PYTEST = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "tests/symbols"]


@pytest.mark.parametrize(
    ("marker", "name"),
    [
        ("not long", ""),
        pytest.param("long", "not wrong_sign", marks=pytest.mark.long),
        pytest.param("long", "wrong_sign", marks=pytest.mark.long),
    ],
)
def test_symbols(marker: str, name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    result = subprocess.run(
        [*PYTEST, "-m", marker, "-k", name],
        cwd=ROOT, env=environment | {"NERVA_BACKEND": "sympy"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
