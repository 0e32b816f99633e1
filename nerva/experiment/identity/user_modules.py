"""User-defined modules, which register components. Their code is part of a run's identity and of its record."""

import atexit
import importlib.machinery
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

from nerva.errors import NervaError
from nerva.experiment.identity.fingerprint import fingerprint
from nerva.utilities import import_here

_INSTALLED = {"site-packages", "dist-packages"}
_FOLDER = object()
_PATH = re.compile(r"([\w-]{1,100}/){0,20}[\w-]{1,100}\.py")


def sources(name: str) -> dict[str, str]:
    """A hash of the code of each file that `files` finds, by module name."""
    return {module: fingerprint(file.read_bytes()) for module, file in files(name).items()}


def files(name: str) -> dict[str, Path]:
    """The files of a user-defined module and of the modules beside it that it imports, by module name.

    Beside it means: in the folder that contains its outermost package, or in its own folder if it is in no package. If
    the module is installed, only modules of the same package are found.

    Raises:
        NervaError: if there is no such module, it is not written in Python, or another module of the same name has
            been imported from elsewhere.
    """
    root = _root(name)
    finder = _Finder(root, name.partition(".")[0])
    try:
        finder.import_hook(name)
    except ImportError:
        raise NervaError(f'imports: "{name}" is another name of a module; name the module itself') from None
    found = {}
    for module, entry in sorted(finder.modules.items()):
        if (name_of_file := vars(entry)["__file__"]) is None:
            continue
        path = Path(name_of_file)
        loaded = getattr(sys.modules.get(module), "__file__", None)
        if loaded and not path.samefile(loaded):
            if _INSTALLED & {*Path(loaded).parts} or Path(loaded).is_relative_to(sysconfig.get_path("stdlib")):
                continue  # Python finds the other module of this name first
            raise NervaError(f'imports: the module "{module}" was imported from {loaded}, but {path} would be recorded')
        found[module] = path
    return found


class _Finder(ModuleFinder):
    """Finds imported modules below one folder, by their bytecode: nothing is executed."""

    def __init__(self, root: Path, package: str) -> None:
        super().__init__(path=[str(root)])
        self._package = package
        self._only_package = bool(_INSTALLED & {*root.parts})

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        outermost = (parent.__name__ if parent else name).partition(".")[0]
        # The engine's code is hashed by itself.
        if outermost == "nerva" or (self._only_package and outermost != self._package):
            raise ImportError(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path or self.path)
        if spec and spec.loader is None and spec.submodule_search_locations:
            # A folder without __init__.py, which ModuleFinder does not know.
            return None, next(iter(spec.submodule_search_locations)), ("", "", _FOLDER)
        return super().find_module(name, path, parent)

    def load_module(self, fqname: str, fp: Any, pathname: str, file_info: tuple[str, str, Any]) -> Any:
        if file_info[2] is _FOLDER:
            module = self.add_module(fqname)
            vars(module)["__path__"] = [pathname]
            return module
        try:
            return super().load_module(fqname, fp, pathname, file_info)
        except SyntaxError as error:  # in a module that is imported inside a function; ModuleFinder would leave it out
            raise NervaError(f"imports: {error}") from None


def texts(names: Iterable[str]) -> dict[str, str]:
    """The source texts of user-defined modules and of what they import, by paths relative to where they are found."""
    return {
        file.relative_to(_root(name)).as_posix(): file.read_text(encoding="utf-8", errors="surrogateescape")
        for name in names
        for file in files(name).values()
    }


def write_texts(texts: Mapping[str, str], folder: Path) -> None:
    """Write source texts to a folder, from which they can be imported.

    Raises:
        NervaError: if a path is not that of a module, such as one that leads out of the folder.
    """
    for name, text in texts.items():
        path = folder / name
        if not _PATH.fullmatch(name):
            raise NervaError(f"{name[:200]!r} is not the path of a module")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")


def restore(names: Iterable[str], recorded: Mapping[str, str]) -> None:
    """Let Python find recorded modules, if it does not find modules of these names already. Importing executes them.

    Args:
        names: the modules.
        recorded: the source texts, as `texts` returned them.

    Raises:
        NervaError: if a path is not that of a module.
    """
    if all(map(is_importable, names)):
        return
    # A module is imported once, so that its file has to exist until this process ends.
    folder = tempfile.mkdtemp(prefix="nerva-modules-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_texts(recorded, Path(folder))
    sys.path.append(folder)


def is_importable(name: str) -> bool:
    """Whether Python finds a module of this name; it is not imported."""
    spec = importlib.machinery.PathFinder.find_spec(name.partition(".")[0], [str(Path.cwd()), *sys.path])
    return spec is not None and spec.origin is not None  # a folder without __init__.py has no origin


def _root(name: str) -> Path:
    """The folder that contains a module, or the outermost package around it."""
    file = getattr(import_here(name), "__file__", None)
    if not file or not file.endswith(".py"):
        raise NervaError(f'imports: "{name}" is not a module written in Python')
    return Path(file).parents[name.count(".") + (Path(file).name == "__init__.py")]
