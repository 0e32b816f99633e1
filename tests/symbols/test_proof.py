"""Proofs: all equations are proved, and a wrong sign anywhere in a gradient is detected."""

import ast
import copy
import inspect
import types
from collections.abc import Iterator

import numpy as np
import pytest
import sympy as sp

from nerva import activation_functions, layers, loss_functions, softmax_functions
from nerva.proof import (
    SOFTMAX_CLASSES,
    Engine,
    Result,
    activations,
    all_layers,
    loss_names,
    losses,
    prove,
    prove_activation,
    prove_layer,
    prove_loss,
    prove_loss_function,
    prove_softmax,
)
from nerva.proof.exact import is_zero, symbols, without_maxima

SMALL = (2, 2, 2)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return list(prove())


def test_every_equation_is_proved_in_one_shape() -> None:
    assert [result for result in prove(((2, 1, 2),)) if not result.proved] == []


@pytest.mark.long
def test_every_equation_is_proved(results) -> None:
    assert [result for result in results if not result.proved] == []


@pytest.mark.long
def test_every_component_and_gradient_is_proved(results) -> None:
    proved = {result.what for result in results}
    assert proved >= {f"{name} layer" for name in activation_functions.ACTIVATIONS.components}
    assert proved >= set(activation_functions.ACTIVATIONS.components)
    assert proved >= {f"{name} layer" for name in layers.LAYERS.components}
    assert proved >= {name for name in vars(softmax_functions) if name.endswith("Function")}
    assert proved >= {f"{name} loss" for name in loss_functions.LOSSES.components}
    assert proved >= {name for name in vars(loss_functions) if name.endswith("_loss")}
    equations = {(result.what, result.equation) for result in results}
    gradients = {"SReLU layer": {"DX", "DW", "Db", "Dx"}, "Dropout layer": {"DX"}}
    gradients["BatchNormalization layer"] = {"DX", "Dbeta", "Dgamma"}
    for layer in {what for what in proved if what.endswith(" layer")}:
        assert {e for what, e in equations if what == layer} == gradients.get(layer, {"DX", "DW", "Db"})
    shapes = {result.shape for result in results if result.what == "Softmax layer"}
    assert shapes == {(1, 1, 1), (2, 1, 3), (3, 2, 1), (2, 3, 2)}


# --- mutations ----------------------------------------------------------------------------------------------------


def equations_of(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The functions that compute gradients."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (
            node.name == "backpropagate" or "gradient" in node.name or "jacobian" in node.name
        ):
            yield node


def sites(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, str]]:
    """The places in a function where a sign can be changed."""
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            yield node, "swap"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            yield node, "drop"
        elif isinstance(node, ast.Assign | ast.Return) and isinstance(
            node.value, ast.Call | ast.BinOp | ast.UnaryOp | ast.IfExp
        ):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if all(isinstance(target, ast.Name) for target in targets):
                yield node, "negate"
        elif isinstance(node, ast.Lambda):
            yield node, "negate body"


def change(node: ast.AST, how: str) -> None:
    """Change one sign."""
    if how == "swap":
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    elif how == "drop":
        node.op = ast.UAdd()
    elif how == "negate":
        node.value = ast.UnaryOp(ast.USub(), node.value)
    else:
        node.body = ast.UnaryOp(ast.USub(), node.body)


def mutants(module: types.ModuleType) -> Iterator[tuple[str, str, types.ModuleType]]:
    """For each sign in a gradient: its place, the class or name of the function, and the module with it changed."""
    tree = ast.parse(inspect.getsource(module))
    owners = {
        f: node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for f in node.body
        if isinstance(f, ast.FunctionDef)
    }
    functions = list(equations_of(tree))
    for i, function in enumerate(functions):
        for j, (node, how) in enumerate(sites(function)):
            changed = copy.deepcopy(tree)
            change(*list(sites(list(equations_of(changed))[i]))[j])
            mutant = types.ModuleType(module.__name__)
            exec(compile(ast.fix_missing_locations(changed), module.__file__, "exec"), mutant.__dict__)
            where = f"{function.name}, line {node.lineno}: {how} {ast.unparse(node)}"
            yield where, owners.get(function, function.name), mutant


def of_activations(owner: str, mutant: types.ModuleType) -> Iterator[Result]:
    for act in activations(Engine(activation_functions=mutant)):
        yield from prove_activation(act)


def of_softmax(owner: str, mutant: types.ModuleType) -> Iterator[Result]:
    for name in SOFTMAX_CLASSES:
        yield from prove_softmax(getattr(mutant, name)())


def of_losses(owner: str, mutant: types.ModuleType) -> Iterator[Result]:
    engine = Engine(loss_functions=mutant)
    for loss in losses(engine):
        if owner == type(loss).__name__:
            yield from prove_loss(loss, 2, 2)
    for N in (1, 2) if owner in loss_names(engine) else ():
        yield from prove_loss_function(owner, N, 2, engine)


def of_layers(owner: str, mutant: types.ModuleType) -> Iterator[Result]:
    N, D, K = SMALL
    for layer in all_layers(D, K, Engine(layers=mutant)):
        if owner in [cls.__name__ for cls in type(layer).__mro__]:
            yield from prove_layer(layer, N)


# Base classes, whose gradients raise NotImplementedError.
ABSTRACT = ("ActivationFunction", "LossFunction", "Layer")

MODULES = {
    "activation_functions": (activation_functions, of_activations, 15),
    "softmax_functions": (softmax_functions, of_softmax, 8),
    "loss_functions": (loss_functions, of_losses, 20),
    "layers": (layers, of_layers, 40),
}


@pytest.mark.long
@pytest.mark.parametrize("name", MODULES)
def test_a_wrong_sign_is_detected(name: str) -> None:
    module, proofs, at_least = MODULES[name]
    undetected, changed = [], 0
    for where, owner, mutant in mutants(module):
        if owner in ABSTRACT:
            continue
        changed += 1
        if all(result.proved for result in proofs(owner, mutant)):
            undetected.append(where)
    assert undetected == []
    assert changed >= at_least


# --- what the proofs are based on -------------------------------------------------------------------------------

x, y = sp.symbols("x y", real=True)
ZERO = [
    0,
    sp.exp(x + y) - sp.exp(x) * sp.exp(y),
    1 / (1 + sp.exp(-x)) - sp.exp(x) / (sp.exp(x) + 1),
    sp.tanh(x) - (sp.exp(2 * x) - 1) / (sp.exp(2 * x) + 1),
    sp.Piecewise((x, x > 0), (0, True)) - sp.Piecewise((0, x < 0), (x, True)),
    sp.exp(sp.Piecewise((x, x < 0), (0, True))) - sp.Piecewise((1, x > 0), (sp.exp(x), True)),
    (x + y) ** 2 - x**2 - 2 * x * y - y**2,
]
NOT_ZERO = [
    sp.Piecewise((1, sp.Ne(x, 0)), (0, True)) - sp.Piecewise((1, x < 0), (0, True)),
    sp.Piecewise((1, sp.And(x > 0, y > 0)), (0, True)),
    1,
    x,
    sp.exp(x) - sp.exp(-x),
    sp.exp(x) - 1 - x,
    sp.Piecewise((x, x > 0), (0, True)) - sp.Piecewise((x, x > 1), (0, True)),
    sp.Piecewise((x, x > 0), (0, True)) - x,
    sp.tanh(x) - x,
]


@pytest.mark.parametrize("expression", ZERO)
def test_zero(expression) -> None:
    assert is_zero(expression)


@pytest.mark.parametrize("expression", NOT_ZERO)
def test_not_zero(expression) -> None:
    assert not is_zero(expression)


def test_a_maximum_must_cancel() -> None:
    X = symbols("x", 1, 3)
    np.testing.assert_array_equal(
        [is_zero(a - b) for a, b in zip(*map(np.ravel, stable_and_plain(X)), strict=True)], [True] * 3
    )
    m = sp.Dummy("maximum", real=True)
    with pytest.raises(AssertionError, match="depends on the maximum"):
        without_maxima(np.array([sp.exp(x - m)], dtype=object))


def wrong(module: types.ModuleType, old: str, new: str) -> types.ModuleType:
    """A module with a piece of its text replaced."""
    source = inspect.getsource(module)
    assert source.count(old) >= 1, old
    mutant = types.ModuleType(module.__name__)
    exec(compile(source.replace(old, new), module.__file__, "exec"), mutant.__dict__)
    return mutant


WRONG = {
    "a stale Z": (layers, "self.Z = Z", "self.Z = Z if self.Z is None else self.Z"),
    "a stale X": (layers, "self.X = self._takes(X)", "self.X = self._takes(X) if self.X is None else self.X"),
    "an accumulated gradient": (layers, "assign(self.DW, DW)", "assign(self.DW, self.DW + DW)"),
    "a transpose": (layers, "DX = DZ @ W", "DX = DZ @ W.T"),
    "a sum of rows for one of columns": (layers, "Db = columns_sum(DZ)", "Db = rows_sum(DZ)"),
    "a factor of 2 for N": (layers, "N * DZ - row", "2 * DZ - row"),
    "a divisor of 2 for N": (layers, "inv_sqrt_Sigma / N, N)", "inv_sqrt_Sigma / 2, N)"),
    "another loss's gradient": (loss_functions, "return Cross_entropy_loss_gradient(Y, T)", "return 2 * (Y - T)"),
    "another loss": (loss_functions, "return Negative_log_likelihood_loss(Y, T)", "return Cross_entropy_loss(Y, T)"),
    "a product of matrices": (activation_functions, "hadamard(X, normal_pdf(X))", "X @ normal_pdf(X)"),
    "a wrong Jacobian": (softmax_functions, "return log_softmax_jacobian(X)", "return -log_softmax_jacobian(X)"),
    "a condition on the maximum": (
        softmax_functions,
        "return hadamard(E, column_repeat(reciprocal(rows_sum(E)), K))",
        "from nerva.matrix_operations import greater, where;"
        " Y = hadamard(E, column_repeat(reciprocal(rows_sum(E)), K));"
        " return where(greater(column_repeat(rows_max(X), K), 0), 7 * Y, Y, like=Y)",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("what", WRONG)
def test_other_mistakes_are_detected(what: str) -> None:
    module, old, new = WRONG[what]
    engine = Engine(**{module.__name__.rpartition(".")[2]: wrong(module, old, new)})
    if module is layers:
        results = (result for layer in all_layers(2, 2, engine) for result in prove_layer(layer, 3))
    else:
        results = prove(((1, 1, 1), (2, 1, 2)), engine)
    assert not all(result.proved for result in results)


def stable_and_plain(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return without_maxima(softmax_functions.stable_softmax(X)), softmax_functions.softmax(X)
