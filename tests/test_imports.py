"""What imports what: the engine needs NumPy only, and imports go in one direction through the rooms of the experiment.

All imports in the source text count, including those inside functions and below `if TYPE_CHECKING:`. Both are ways to
depend on a module that would be a circle at the top of the file.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nerva

PACKAGE = Path(nerva.__file__).parent
ENGINE = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", "__main__"))
# The engine imports none of these.
HEAVY = {
    "optuna",
    "hydra",
    "mlflow",
    "sympy",
    "omegaconf",
    "pandas",
    "matplotlib",
    "sklearn",
    "scipy",
    "requests",
    "click",
}
# The order of the flow. A room imports from those before it, and from the engine.
ROOMS = ("paths", "config", "identity", "records", "run", "report", "tracking", "sweep", "search")


def name_of(path: Path) -> str:
    """The name of the module in a file of this package."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in FILES else str(node.module)


IMPORTS = {name: {*imports(path)} for name, path in FILES.items()}


def room(module: str) -> str:
    """The room of a module of the experiment, `cli` for the command line, and "" for the engine.

    `nerva.experiment` itself, which offers functions of the last room, is `python`: no room may import it.
    """
    parts = module.split(".")
    if module == "nerva.experiment":
        return "python"
    if parts[:2] == ["nerva", "experiment"]:
        return parts[2] if len(parts) > 2 else ""
    return "cli" if parts[:2] in (["nerva", "cli"], ["nerva", "__main__"]) else ""


def test_the_files_are_found() -> None:
    assert {"nerva", "nerva.layers", "nerva.experiment.run.run", "nerva.cli.train"} <= {*FILES}
    assert "nerva.experiment.run.train" in IMPORTS["nerva.experiment.run.run"]
    assert "nerva.experiment.sweep.plan" in IMPORTS["nerva.cli.arguments"]  # below TYPE_CHECKING
    assert "nerva.experiment.sweep.application" in IMPORTS["nerva.cli.train"]  # inside a function


def test_every_import_of_this_package_exists() -> None:
    missing = {f"{name}: {i}" for name, found in IMPORTS.items() for i in found if i.split(".")[0] == "nerva"}
    assert {m for m in missing if m.split(": ")[1] not in FILES} == set()


def test_no_module_imports_itself_through_others() -> None:
    graph = {name: {module for module in found if room(module)} for name, found in IMPORTS.items() if room(name)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_room_has_a_place_in_the_order() -> None:
    assert {room(name) for name in FILES} - {"", "python", "cli"} == {*ROOMS}


def test_rooms_import_from_the_rooms_before_them() -> None:
    order = ("", *ROOMS, "python", "cli")
    wrong = [
        f"{name} imports {module}"
        for name, found in IMPORTS.items()
        for module in found
        if module.split(".")[0] == "nerva" and order.index(room(name)) < order.index(room(module))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("library", "rooms"),
    [("hydra", {"config", "sweep", "search"}), ("mlflow", {"tracking"}), ("optuna", {"search"})],
)
def test_few_rooms_import_a_library(library: str, rooms: set[str]) -> None:
    users = {name for name, found in IMPORTS.items() if any(module.split(".")[0] == library for module in found)}
    assert {room(name) for name in users} == rooms, users


def loaded(statement: str) -> set[str]:
    """The packages that a statement loads in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ENGINE)
def test_the_engine_imports_numpy_only(module: str) -> None:
    assert not loaded(f"import nerva.{module}") & HEAVY


def test_the_help_imports_nothing_heavy() -> None:
    assert not loaded("import nerva.cli") & (HEAVY - {"click"})


@pytest.mark.long
def test_other_commands_do_not_import_optuna() -> None:
    modules = "nerva.cli.train, nerva.cli.compare, nerva.experiment.sweep.application, nerva.experiment.report.files"
    assert "optuna" not in loaded(f"import {modules}")
    assert "optuna" in loaded("import nerva.experiment.search.command")


def test_the_functions_for_python_import_numpy_when_they_are_called() -> None:
    """So that a script which imports them first has its numerics pinned."""
    heavy = {*HEAVY, "numpy"}
    assert not loaded("from nerva.experiment import compose, launch, plan, replay, runs") & heavy
    assert not loaded("from nerva.experiment import *") & heavy


def test_reading_results_imports_neither_hydra_nor_mlflow() -> None:
    assert not loaded("import nerva.experiment.sweep.finding") & {"hydra", "mlflow"}


def test_a_plan_does_not_import_mlflow() -> None:
    assert "mlflow" not in loaded("import nerva.experiment.sweep.plan, nerva.experiment.records.run_folder")
