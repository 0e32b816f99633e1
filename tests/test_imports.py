"""Imports: the engine needs NumPy only, and hydra and mlflow are imported in one place each."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nerva

PACKAGE = Path(nerva.__file__).parent
ENGINE = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", "__main__"))
# Packages that no module of the engine may import.
HEAVY = {"hydra", "mlflow", "sympy", "omegaconf", "pandas", "matplotlib", "sklearn", "scipy", "requests", "pydantic"}
HEAVY |= {"click"}


def loaded(statement: str) -> set[str]:
    """The packages that a statement loads in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ENGINE)
def test_the_engine_imports_numpy_only(module: str) -> None:
    assert not loaded(f"import nerva.{module}") & HEAVY


def test_help_imports_nothing_heavy() -> None:
    assert not loaded("import nerva.cli") & (HEAVY - {"click"})


def test_the_snakefile_does_not_import_mlflow() -> None:
    assert "mlflow" not in loaded("import nerva.experiment.config.composition, nerva.experiment.records.run_folder")


@pytest.mark.parametrize(("library", "place"), [("hydra", "compose.py"), ("mlflow", "tracking")])
def test_one_place_knows(library: str, place: str) -> None:
    importers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == library for name in names):
                importers.add(path.relative_to(PACKAGE / "experiment").parts[0])
    assert importers == {place}
