"""Importing user-defined modules from the working directory."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nerva.utilities
from nerva.errors import NervaError
from nerva.utilities import import_here

NAMES = {"mine", "helper", "later", "pkg", "plain"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """A working directory with user-defined modules, which are forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nerva.utilities._FALLBACK, "folders", [])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def test_the_path_is_unchanged() -> None:
    write({"mine.py": "import helper", "helper.py": ""})
    before = list(sys.path)
    import_here("mine")
    assert sys.path == before


@pytest.mark.parametrize("text", ["import nosuch", "1 / 0", "1 +", "raise SystemError"])
def test_the_path_is_unchanged_after_an_error(text: str) -> None:
    write({"mine.py": text})
    before = list(sys.path)
    with pytest.raises(NervaError):
        import_here("mine")
    assert sys.path == before


def test_folders_that_a_module_adds_to_the_path_stay(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    write({"mine.py": "import sys; sys.path.insert(0, 'elsewhere')"})
    import_here("mine")
    assert sys.path[0] == "elsewhere"
    assert str(tmp_path) not in sys.path


def test_imports_inside_functions_find_modules_beside_theirs(monkeypatch, tmp_path) -> None:
    write(
        {
            "mine.py": "def f():\n    import later, pkg.later\n    return later.X + pkg.later.X\n",
            "later.py": "X = 1",
            "pkg/__init__.py": "",
            "pkg/later.py": "X = 2",
        }
    )
    mine = import_here("mine")
    monkeypatch.chdir(tmp_path.parent)
    assert mine.f() == 3


def test_packages_without_an_init_file() -> None:
    write({"plain/mine.py": "def f():\n    from plain import later\n    return later.X\n", "plain/later.py": "X = 1"})
    assert import_here("plain.mine").f() == 1


def test_files_of_the_working_directory_do_not_shadow_other_modules(tmp_path) -> None:
    """In a new process, because neither module may have been imported before."""
    write({"mine.py": "", "wave.py": "1 / 0", "a_folder_without_modules/x.txt": ""})
    code = """
from nerva.utilities import import_here
import_here("mine")
import wave
try:
    import a_folder_without_modules
except ModuleNotFoundError:
    print("done")
"""
    (tmp_path / "program.py").write_text(code)
    # -P: Python itself does not put the program's folder on the path.
    result = subprocess.run([sys.executable, "-P", "program.py"], capture_output=True, text=True, check=False)
    assert result.stdout == "done\n", result.stderr


def test_an_installed_module_leaves_no_folder_behind(tmp_path) -> None:
    before = list(sys.meta_path)
    assert import_here("json").__name__ == "json"
    write({"later.py": ""})
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("later")
    assert sys.meta_path == before
