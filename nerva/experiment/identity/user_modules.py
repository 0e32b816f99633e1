"""Modules of one's own, which register components: their code is part of a run's identity, and of its record."""

import ast
import importlib.machinery
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from nerva.errors import NervaError
from nerva.experiment.identity.fingerprint import fingerprint
from nerva.utilities import import_here

_INSTALLED = {"site-packages", "dist-packages"}


def sources(name: str) -> dict[str, str]:
    """A hash of the code of a module of one's own, and of each that it imports from beside it, by their names.

    Beside it are the modules in the folder of its outermost package, or in its own folder if it is in none. What
    is installed counts only if it is of the same package.

    Raises:
        NervaError: if there is no such module, or it is not written in Python.
    """
    return {module: fingerprint(file.read_bytes()) for module, file in files(name).items()}


def files(name: str) -> dict[str, Path]:
    """The file of a module of one's own, and of each that it imports from beside it, by their names; see `sources`."""
    root, first = _root(name), name.partition(".")[0]
    found: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        outermost, path = module.partition(".")[0], _file(root, module)
        outside = outermost != first and _INSTALLED & {*root.parts}
        # The engine's code counts by itself.
        if module in found or path is None or outside or outermost == "nerva":
            continue
        loaded = getattr(sys.modules.get(module), "__file__", None)
        if loaded and not path.samefile(loaded):
            if _INSTALLED & {*Path(loaded).parts} or Path(loaded).is_relative_to(sysconfig.get_path("stdlib")):
                continue  # it is called like another, which Python finds first
            raise NervaError(f'imports: "{module}" is {loaded}, and not {path}: which code counts would not be sure')
        found[module] = path
        around = module.rpartition(".")[0]
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except SyntaxError as error:  # of one that is imported where it is used
            raise NervaError(f"imports: {error}") from None
        waiting += _imported(tree, module if path.name == "__init__.py" else around)
        # With a module, the packages around it are imported.
        waiting += [around] if around else []
    return dict(sorted(found.items()))


def texts(names: Iterable[str]) -> dict[str, str]:
    """The source texts of modules of one's own, and of what they import, by their paths from where they are found."""
    return {
        file.relative_to(_root(name)).as_posix(): file.read_text(encoding="utf-8", errors="surrogateescape")
        for name in names
        for file in files(name).values()
    }


def write_texts(texts: Mapping[str, str], folder: Path) -> None:
    """Writes source texts to a folder, from where they can be imported."""
    for name, text in texts.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise NervaError(f"{name} is no path of a module")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogateescape")


def is_there(name: str) -> bool:
    """Whether a module can be found, without importing it."""
    spec = importlib.machinery.PathFinder.find_spec(name.partition(".")[0], [str(Path.cwd()), *sys.path])
    return spec is not None and spec.origin is not None  # a folder is none


def are_those(names: Iterable[str], recorded: Mapping[str, str]) -> bool:
    """Whether modules of one's own are there, with the texts that were recorded."""
    names = list(names)
    return all(map(is_there, names)) and texts(names) == recorded


def _root(name: str) -> Path:
    """The folder in which a module, or the outermost package around it, lies."""
    file = getattr(import_here(name), "__file__", None)
    if not file or not file.endswith(".py"):
        raise NervaError(f'imports: "{name}" is no module written in Python')
    return Path(file).parents[name.count(".") + (Path(file).name == "__init__.py")]


def _file(root: Path, module: str) -> Path | None:
    """The source of a module below a folder, if it is there."""
    path = root.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.exists()), None)


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """The names that a module in a package imports, wherever it does so: of modules, or of what is in them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".") if node.level else []
            base = ".".join([*around[: len(around) + 1 - node.level], *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
