"""A checkout in which the commands of the documentation run."""

import shutil
from pathlib import Path

import pytest

from tests.data.user_files import flowers, write_csv
from tests.helpers import ROOT, Command, command_in


@pytest.fixture(scope="session")
def checkout(tmp_path_factory, empty_store) -> Path:
    """A copy of the files that the commands need, with an empty store. The pages share it, as a reader would."""
    folder: Path = tmp_path_factory.mktemp("checkout")
    (folder / "results").mkdir()
    shutil.copy(empty_store, folder / "results")
    shutil.copy(ROOT / "Snakefile", folder)
    # The package, too: `nerva data add` writes to the conf/ beside it.
    for name in ("profiles", "workflow", "conf", "nerva"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_csv(folder / "flowers.csv", flowers(3000))
    return folder


@pytest.fixture
def reader(checkout: Path) -> Command:
    """A function that runs a command in the checkout."""
    run = command_in(checkout)
    return lambda *arguments, **changes: run(*arguments, PYTHONPATH=str(checkout), **changes)
