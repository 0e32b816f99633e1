"""The code that computes a run: the definitions that its training reaches, and nothing else.

A definition is a function, a class or a variable at the top level of a module. The training reaches those that
`ROOTS` refer to, the components that the configuration names, and, step by step, whatever these refer to. A component
that the configuration does not name is not reached, because registries refer to components by strings only.
"""

import ast
import functools
import symtable
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerva.backends import BACKENDS
from nerva.experiment.identity.fingerprint import hash_parts
from nerva.experiment.paths import PACKAGE

# The modules that compute. Nothing outside of them counts, apart from user-defined modules.
COMPUTING = (
    "nerva.activation_functions",
    "nerva.compiled_training",
    "nerva.component_attributes",
    "nerva.datasets",
    "nerva.experiment.config.metrics",
    "nerva.experiment.run.build",
    "nerva.layers",
    "nerva.learning_rate",
    "nerva.loss_functions",
    "nerva.matrix_operations",
    *(f"nerva.matrix_operations.{backend}" for backend in BACKENDS),
    "nerva.matrix_operations.numpy_blas",
    "nerva.matrix_operations.numpy_compiler",
    "nerva.matrix_operations.numpy_denormals",
    "nerva.matrix_operations.numpy_graph",
    "nerva.matrix_operations.numpy_program",
    "nerva.matrix_operations.numpy_trace",
    "nerva.matrix_operations.shared",
    "nerva.multilayer_perceptron",
    "nerva.optimizers",
    "nerva.ranges",
    "nerva.softmax_functions",
    "nerva.training",
    "nerva.weight_initializers",
)
# The other modules that the ones above import, directly or not. They do not compute: they read specifications and
# files, check values, and print. What they read stands in the canonical configuration, and the data have a checksum.
PRESENTING = (
    "nerva",
    "nerva.backends",
    "nerva.data",
    "nerva.data.auto",
    "nerva.data.description",
    "nerva.data.formats",
    "nerva.data.images",
    "nerva.data.json_files",
    "nerva.data.locks",
    "nerva.data.prepare",
    "nerva.data.raw",
    "nerva.data.sources",
    "nerva.data.steps",
    "nerva.data.tables",
    "nerva.data.unsplit",
    "nerva.errors",
    "nerva.experiment",
    "nerva.experiment.config",
    "nerva.experiment.config.schema",
    "nerva.experiment.run",
    "nerva.npz_files",
    "nerva.specifications",
    "nerva.training_table",
    "nerva.utilities",
    "nerva.whole_files",
)
# Training starts here.
ROOTS = (("nerva.experiment.run.build", "build"), ("nerva.experiment.run.build", "Training"))

_OPERATIONS = "nerva.matrix_operations"

Definition = tuple[str, str]  # a module, and a name at its top level; "" for the statements that define no name


@dataclass(frozen=True, eq=False)
class _Module:
    """A parsed module. It is compared by identity, so that what is found in it can be cached."""

    definitions: dict[str, list[ast.stmt]]  # the statements that define each name
    imported: dict[str, Definition]  # names that come from other modules; with the name "", the module itself


def hash_code(
    components: Iterable[Callable[..., Any]],
    user_files: Iterable[tuple[str, Path]] = (),
    backend: str = "numpy",
) -> dict[str, str]:
    """A hash of each function that computes a run, as `nerva/layers.py: LinearLayer.feedforward`.

    Args:
        components: the components that the configuration names: classes or functions.
        user_files: the names and files of user-defined modules. Everything in these counts.
        backend: the library that computes: of the modules with matrix operations, only its own counts.

    Returns:
        The hashes. Runs of the same code share this dictionary, which must not be changed.
    """
    user = {name: file.read_bytes() for name, file in user_files}
    roots = {*ROOTS, *((c.__module__, c.__qualname__.partition(".")[0]) for c in components)}
    for source in user.values():
        module = _parse(source, user_defined=True)
        roots.update(_references(module, [statement for body in module.definitions.values() for statement in body]))
        # Other user-defined modules may use what this one imports from the engine.
        roots.update(definition for target in module.imported.values() for definition in _of_module(*target))
    hashes = _hashes_of_engine(frozenset(roots), backend)
    if not user:
        return hashes
    hashes = dict(hashes)
    for name, source in user.items():
        for part, sha256 in hash_parts(ast.parse(source).body).items():
            hashes[f"{name}: {part}".removesuffix(": ")] = sha256
    return dict(sorted(hashes.items()))


@functools.cache
def _hashes_of_engine(roots: frozenset[Definition], backend: str) -> dict[str, str]:
    hashes = {}
    for module_name, name in _reached(roots, backend):
        path = _path(module_name).relative_to(PACKAGE.parent).as_posix()
        for part, sha256 in _hashes(_module(module_name), name).items():
            hashes[f"{path}: {part or name}".removesuffix(": ")] = sha256
    return dict(sorted(hashes.items()))


def _reached(roots: frozenset[Definition], backend: str) -> tuple[Definition, ...]:
    """The definitions in modules that compute which are reached from some of them."""
    reached: set[Definition] = set()
    waiting = list(roots)
    while waiting:
        definition = waiting.pop()
        module_name, name = definition
        if module_name == _OPERATIONS and name in _module(f"{_OPERATIONS}.{backend}").definitions:
            # The declaration of an operation computes nothing.
            definition = module_name, name = f"{_OPERATIONS}.{backend}", name
        if module_name not in COMPUTING or definition in reached:
            continue
        module = _module(module_name)
        if name not in module.definitions:
            if name in module.imported:
                waiting.append(module.imported[name])
            continue
        reached.add(definition)
        waiting.append((module_name, ""))
        waiting += _targets(module, name, module_name)
    return tuple(sorted(reached))


@functools.cache
def _module(name: str) -> _Module:
    """A module that computes, as this process read it first; later edits are those of another process."""
    return _parse(_path(name).read_bytes())


def _path(name: str) -> Path:
    """The file of a module."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _parse(source: bytes, user_defined: bool = False) -> _Module:
    tree = ast.parse(source)
    definitions: dict[str, list[ast.stmt]] = defaultdict(list)
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or (_registers(statement) and not user_defined):
            continue
        for defined in _defined(statement) or [""]:
            definitions[defined].append(statement)
    definitions.setdefault("", [])
    imported: dict[str, Definition] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.asname or alias.name: (alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if alias.name == "*" and node.module in COMPUTING:
                    module = _module(node.module)
                    imported |= {name: (node.module, name) for name in (*module.imported, *module.definitions)}
                submodule = f"{node.module}.{alias.name}"
                is_module = submodule in COMPUTING or submodule in PRESENTING
                imported[alias.asname or alias.name] = (submodule, "") if is_module else (node.module, alias.name)
    return _Module(dict(definitions), imported)


def _registers(statement: ast.stmt) -> bool:
    """Whether a statement only adds a component to a registry: `LAYERS.add("Linear", LinearLayer)`."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Attribute)
        and statement.value.func.attr == "add"
    )


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


@functools.cache
def _hashes(module: _Module, name: str) -> dict[str, str]:
    """A hash of each function of a definition."""
    return hash_parts(module.definitions[name])


@functools.cache
def _targets(module: _Module, name: str, module_name: str) -> tuple[Definition, ...]:
    """The definitions to which a definition refers."""
    return tuple(_references(module, module.definitions[name], module_name))


def _references(module: _Module, body: list[ast.stmt], own_name: str = "") -> Iterator[Definition]:
    """The definitions to which statements refer, whether they are in modules that compute or not."""
    global_names = _global_names(body)
    for node in _counting(body):
        if isinstance(node, ast.Name) and node.id in global_names:
            if node.id in module.definitions:
                yield own_name, node.id
            elif node.id in module.imported:
                yield from _of_module(*module.imported[node.id])
        elif isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            target, _ = module.imported.get(owner, (owner, ""))
            if target in COMPUTING:
                yield target, node.attr


def _global_names(body: list[ast.stmt]) -> set[str]:
    """The names in statements that are not those of a function's own variables."""
    tables = [symtable.symtable(ast.unparse(ast.Module(body, [])), "", "exec")]
    names: set[str] = set()
    for table in tables:
        tables += table.get_children()
        in_function = table.get_type() not in ("module", "class")
        names.update(s.get_name() for s in table.get_symbols() if s.is_global() or s.is_imported() or not in_function)
    return names


def _of_module(name: str, attribute: str) -> Iterator[Definition]:
    """What an imported name refers to: a module that is passed around as a whole counts as a whole."""
    if attribute:
        yield name, attribute
    elif name in COMPUTING:
        yield from ((name, definition) for definition in _module(name).definitions)


def _counting(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes of syntax trees that count: see `fingerprint`."""
    for node in nodes:
        yield node
        if isinstance(node, ast.Raise):
            continue
        for field, value in ast.iter_fields(node):
            if field not in ("annotation", "returns", "msg"):
                children = value if isinstance(value, list) else [value]
                yield from _counting(child for child in children if isinstance(child, ast.AST))
