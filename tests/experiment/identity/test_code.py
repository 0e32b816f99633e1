"""The code that counts in a run's identity: everything that computes the run, and nothing else."""

import ast
import copy
import dis
import inspect
import sys
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, get_type_hints

import numpy as np
import pytest

from nerva.activation_functions import ACTIVATIONS
from nerva.backends import BACKENDS
from nerva.experiment.config.schema import Config
from nerva.experiment.identity import code
from nerva.experiment.identity.canonical import components_in_strings, named_components
from nerva.experiment.identity.code import COMPUTING, PRESENTING, hash_code
from nerva.experiment.paths import PACKAGE
from nerva.experiment.run.build import build
from nerva.layers import LAYERS, has_weights
from nerva.learning_rate import LEARNING_RATES
from nerva.loss_functions import LOSSES
from nerva.optimizers import OPTIMIZERS
from nerva.specifications import Registry, Specification
from nerva.weight_initializers import INITIALIZERS
from tests.helpers import configured

REGISTRIES: dict[str, Registry[Any]] = {
    "layer": LAYERS,
    "activation": ACTIVATIONS,
    "optimizer": OPTIMIZERS,
    "schedule": LEARNING_RATES,
    "loss": LOSSES,
    "initializer": INITIALIZERS,
}
COMPONENTS = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry.components]
DATA = {
    "Xtrain": np.linspace(0, 1, 60 * 64, dtype=np.float32).reshape(60, 64),
    "Ttrain": np.arange(60) % 10,
    "Xtest": np.linspace(0, 1, 20 * 64, dtype=np.float32).reshape(20, 64),
    "Ttest": np.arange(20) % 10,
}
SMALL = configured("model.hidden=[8]", "train.epochs=1", "train.batch_size=20")
SMALL.data.train, SMALL.data.validation, SMALL.data.test = 60, 20, 20

# A module and the name of a definition at its top level.
Definition = tuple[str, str]


def example(registry: Registry[Any], name: str) -> str:
    """A specification of a component, with a value for each argument that has no default."""
    component = registry.components[name]
    types = get_type_hints(component.__init__ if inspect.isclass(component) else component)
    values = {float: "0.5", int: "3", list[int]: "[1,2]", Specification: "GradientDescent"}
    values[registry.of] = "Constant(lr=0.1)"
    arguments = [
        f"{key}={values[types[key]]}"
        for key, parameter in inspect.signature(component).parameters.items()
        if key not in registry.given and parameter.default is parameter.empty
    ]
    return f"{name}({'; '.join(arguments)})"


def configuration(kind: str, name: str) -> Config:
    """A small configuration that names a component."""
    config = copy.deepcopy(SMALL)
    text = example(REGISTRIES[kind], name)
    if kind in ("layer", "activation"):
        config.model.layers = [text, "Linear"] if has_weights(text) else ["ReLU", text, "Linear"]
    elif kind == "initializer":
        config.model.weights = text
    else:
        setattr(config, {"schedule": "learning_rate"}.get(kind, kind), {"name": text})
    return config


def source_of(module: str) -> str:
    return code._path(module).read_text()


@pytest.fixture
def rewrite(monkeypatch) -> Callable[[Mapping[str, str]], None]:
    """Replace the source texts of modules, as if their files had them."""
    read = code._module

    def rewrite(sources: Mapping[str, str]) -> None:
        parsed = {module: code._parse(source.encode()) for module, source in sources.items()}
        monkeypatch.setattr(code, "_module", lambda module: parsed.get(module) or read(module))
        monkeypatch.setattr(code, "_hashes_of_engine", code._hashes_of_engine.__wrapped__)  # without its cache

    return rewrite


def hashes(config: Config) -> dict[str, str]:
    return hash_code(named_components(config))


def edited(definitions: Set[Definition]) -> dict[str, str]:
    """The source texts of modules, with some definitions edited."""
    modules = {module for module, _ in definitions}
    return {module: with_edits(source_of(module), {n for m, n in definitions if m == module}) for module in modules}


def with_edits(source: str, names: Set[str]) -> str:
    """The source text of a module with a statement added to the functions and classes of these names."""
    lines = source.splitlines()
    found = [node for node in ast.parse(source).body if getattr(node, "name", None) in names]
    assert len(found) == len(names)
    for node in reversed(found):
        lines.insert(node.end_lineno, " " * node.body[0].col_offset + "edited = True")
    return "\n".join(lines)


def definition(component: Any) -> Definition:
    return component.__module__, component.__qualname__.partition(".")[0]


def built_on(components: list[Any]) -> set[Definition]:
    """Components, their base classes, and the functions and classes of the engine that their code names.

    They are found by the compiled code, independently of the source code that is hashed.
    """
    found: set[Definition] = set()
    waiting = list(components)
    while waiting:
        item = waiting.pop()
        if not isinstance(item, type | FunctionType) or item.__module__ not in COMPUTING or definition(item) in found:
            continue
        found.add(definition(item))
        functions = [item] if isinstance(item, FunctionType) else [*vars(item).values()]
        waiting += getattr(item, "__mro__", ())
        for function in functions:
            if isinstance(function, FunctionType):
                waiting += [function.__globals__.get(name) for name in global_names(function.__code__)]
    return found


def global_names(compiled: CodeType) -> set[str]:
    """The global names that a function loads, including those that it loads in functions inside it."""
    names = {step.argval for step in dis.get_instructions(compiled) if step.opname == "LOAD_GLOBAL"}
    return names.union(*(global_names(constant) for constant in compiled.co_consts if isinstance(constant, CodeType)))


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_an_edit_of_an_unused_component_changes_nothing(kind: str, name: str, rewrite) -> None:
    config = configuration(kind, name)
    used = built_on([*named_components(config), build])
    unused = {definition(REGISTRIES[kind].components[name]) for kind, name in COMPONENTS} - used
    assert len(unused) > len(COMPONENTS) / 2
    before = hashes(config)
    rewrite(edited(unused))
    assert hashes(config) == before


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_a_used_component_counts_with_all_that_it_is_built_on(kind: str, name: str) -> None:
    config = configuration(kind, name)
    parts = (part.partition(".py: ") for part in hashes(config))
    counted = {(path.replace("/", "."), name.partition(".")[0]) for path, _, name in parts}
    assert built_on(named_components(config)) <= counted


# What `SMALL` uses.
USED = sorted(built_on([*named_components(SMALL), build]))


@pytest.mark.parametrize("used", USED, ids=".".join)
def test_an_edit_of_a_used_definition_changes_the_code(used: Definition, rewrite) -> None:
    module, name = used
    before = hashes(SMALL)
    rewrite(edited({used}))
    after = hashes(SMALL)
    assert {part for part in before if before[part] != after[part]} == {f"{module.replace('.', '/')}.py: {name}"}


def test_these_definitions_are_among_the_used_ones() -> None:
    assert {
        ("nerva.layers", "LinearLayer"),
        ("nerva.layers", "Layer"),
        ("nerva.activation_functions", "ReLUActivation"),
        ("nerva.activation_functions", "ActivationFunction"),
        ("nerva.optimizers", "MomentumOptimizer"),
        ("nerva.optimizers", "GradientDescentOptimizer"),
        ("nerva.learning_rate", "ConstantScheduler"),
        ("nerva.loss_functions", "Stable_softmax_cross_entropy_loss_gradient"),
        ("nerva.weight_initializers", "set_weights_he_normal"),
        ("nerva.matrix_operations.numpy", "scale_add"),
        ("nerva.experiment.run.build", "build"),
        ("nerva.training", "training_epochs"),
    } <= {*USED}


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_every_function_of_the_engine_that_training_calls_counts(kind: str, name: str) -> None:
    config = configuration(kind, name)
    called: set[str] = set()

    def note(frame, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            called.add(f"{path.relative_to(PACKAGE.parent)}: {frame.f_code.co_qualname.partition('.<locals>')[0]}")

    with np.errstate(all="ignore"):
        sys.setprofile(note)
        try:
            list(build(config, DATA).epochs(1))
        finally:
            sys.setprofile(None)
    computing = {module.replace(".", "/") + ".py" for module in COMPUTING}
    presenting = {module.replace(".", "/") + ".py" for module in PRESENTING}
    counted = hashes(config)
    assert len(called) > 50
    assert {function for function in called if function.partition(":")[0] in computing} <= {*counted}
    assert {function.partition(":")[0] for function in called} <= computing | presenting


def test_what_training_does_not_call_does_not_count() -> None:
    counted = " ".join(hashes(SMALL))
    for unused in (
        "training.py: train ",
        "stochastic_gradient_descent",
        "check_schedule",
        "load_npz_dataset",
        "Dropout",
    ):
        assert unused not in counted


def with_meaningless_edits(source: str) -> str:
    """A source text with other formatting, comments, docstrings, annotations, and messages of errors."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            node.exc.args = [ast.Constant("another message")]
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body[0] = ast.Expr(ast.Constant("another docstring"))
    return "# another comment\n" + ast.unparse(tree)


def test_what_does_not_compute_does_not_count(rewrite) -> None:
    before = hashes(SMALL)
    rewrite({module: with_meaningless_edits(source_of(module)) for module in COMPUTING})
    assert hashes(SMALL) == before


def imported_modules(name: str) -> set[str]:
    """The modules of this package that a module imports, with the packages around them."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    found = {name}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} has a relative import"
            found.add(str(node.module))
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    found.update(
        *([".".join(parts[:i]) for i in range(1, len(parts))] for parts in (name.split(".") for name in found))
    )
    return {name for name in found if name.partition(".")[0] == "nerva" and is_module(name)}


def is_module(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_every_module_that_build_reaches_either_computes_or_presents() -> None:
    reached: set[str] = set()
    waiting = ["nerva.experiment.run.build"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            # It imports something only if one of its functions is asked for, and no module does that.
            waiting += imported_modules(name) if name != "nerva.experiment" else []
    assert not {*COMPUTING} & {*PRESENTING}
    others = {f"nerva.matrix_operations.{backend}" for backend in BACKENDS if backend != "numpy"}
    assert reached == {*COMPUTING, *PRESENTING} - others


def test_a_name_of_a_local_variable_is_not_a_reference() -> None:
    module = code._parse(
        b"def used(): pass\n"
        b"def shadowed(): pass\n"
        b"def f(shadowed=used):\n    shadowed = 1\n    return [shadowed for shadowed in shadowed]\n",
    )
    assert set(code._references(module, module.definitions["f"], "m")) == {("m", "used")}


@pytest.mark.parametrize(
    "source",
    [
        "from nerva.layers import DropoutLayer\nclass Mine(DropoutLayer): pass",
        "import nerva.layers\nclass Mine(nerva.layers.DropoutLayer): pass",
        "from nerva import layers\nclass Mine(layers.DropoutLayer): pass",
        "import nerva.layers as engine\nMine = getattr(engine, 'DropoutLayer')",
        "from nerva.layers import *\nclass Mine(DropoutLayer): pass",
        "def mine():\n    from nerva.layers import DropoutLayer\n    return DropoutLayer",
    ],
)
def test_what_a_user_defined_module_refers_to_counts(tmp_path, source: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    counted = hash_code([], [("mine", tmp_path / "mine.py")])
    assert "nerva/layers.py: DropoutLayer.feedforward" in counted
    assert any(part.startswith("mine") for part in counted)


REACHING_ADAM = {
    "imported": "from nerva.optimizers import AdamOptimizer",
    "through another module": "from base1 import AdamOptimizer",
    "by a dotted name": "import nerva\nx = nerva.optimizers.AdamOptimizer",
    "in a registration": "from nerva.optimizers import *\nOPTIMIZERS.add('X', lambda x, Dx: AdamOptimizer(x, Dx))",
}


@pytest.mark.parametrize("how", REACHING_ADAM)
def test_what_user_defined_modules_use_of_the_engine_counts(tmp_path, how: str) -> None:
    (tmp_path / "base1.py").write_text("from nerva.optimizers import AdamOptimizer\n")
    (tmp_path / "mine.py").write_text(REACHING_ADAM[how])
    files = [(name, tmp_path / f"{name}.py") for name in ("base1", "mine")]
    files = files if how == "through another module" else files[1:]
    assert "nerva/optimizers.py: AdamOptimizer.update" in hash_code([], files)


def test_components_that_strings_name_count(tmp_path) -> None:
    (tmp_path / "mine.py").write_text('def f(x, Dx): return parse_optimizer("WeightDecay(Adam, 0.1)")(x, Dx)\n')
    names = {component.__name__ for component in components_in_strings([tmp_path / "mine.py"])}
    assert {"WeightDecayOptimizer", "AdamOptimizer"} <= names
    (tmp_path / "mine.py").write_text('"""No specification."""\nx = "nothing", "(", ""\n')
    assert components_in_strings([tmp_path / "mine.py"]) == []
