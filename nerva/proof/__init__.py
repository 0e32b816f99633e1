"""Proofs of the engine's equations, by running them on symbols.

The code that trains a network runs here unchanged, on matrices of SymPy symbols: this package needs a process that
computes with SymPy, and no other library. Its gradients are compared with exact
derivatives, entry by entry. For a layer, the loss is the sum of DY ⊙ Y, where DY is a matrix of symbols. The gradients
depend on the loss only through its derivative DY, so that a proof for this loss holds for every loss. A proof is for
one shape; the equations are the same for all shapes. `evaluate` has no gradient, so it is not proved.
"""

import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import sympy as sp

from nerva.backends import use

use("sympy")  # before the engine is imported

from nerva import activation_functions, layers, loss_functions, softmax_functions  # noqa: E402
from nerva.matrix_operations import Matrix  # noqa: E402
from nerva.proof.exact import coefficients, is_zero, symbols, without_maxima  # noqa: E402

# Samples, inputs and outputs. In the second and third shapes, a matrix can't be mistaken for its transpose. Batch
# normalization needs three samples: with two, the normalized samples are each other's negative, which hides errors.
SHAPES = ((1, 1, 1), (2, 1, 3), (3, 2, 1), (2, 3, 2))


@dataclass(frozen=True)
class Result:
    """The result of one proof."""

    what: str  # the layer or function
    equation: str  # the gradient that is proved
    shape: tuple[int, ...]
    proved: bool
    seconds: float
    difference: str = ""  # the first entry that differs, if any


@dataclass(frozen=True)
class Engine:
    """The modules whose equations are proved. Tests replace them with modified ones."""

    activation_functions: ModuleType = activation_functions
    softmax_functions: ModuleType = softmax_functions
    loss_functions: ModuleType = loss_functions
    layers: ModuleType = layers


# --- what is proved ---------------------------------------------------------------------------------------------


def prove(shapes: tuple[tuple[int, int, int], ...] = SHAPES, engine: Engine | None = None) -> Iterator[Result]:
    """Prove every activation, softmax function, loss and layer, one gradient after the other.

    Args:
        shapes: the shapes (N, D, K) for which losses and layers are proved.
        engine: the modules; those of nerva by default.
    """
    engine = engine or Engine()
    for act in activations(engine):
        yield from prove_activation(act)
    for name in SOFTMAX_CLASSES:
        yield from prove_softmax(getattr(engine.softmax_functions, name)())
    for N, K in sorted({(N, K) for N, _, K in shapes}):
        for loss in losses(engine):
            yield from prove_loss(loss, N, K)
        for name in loss_names(engine):
            yield from prove_loss_function(name, N, K, engine)
    for N, D, K in shapes:
        for layer in all_layers(D, K, engine):
            yield from prove_layer(layer, N)


SOFTMAX_CLASSES = ("SoftmaxFunction", "StableSoftmaxFunction", "LogSoftmaxFunction", "StableLogSoftmaxFunction")


def losses(engine: Engine) -> list[Any]:
    """Every registered loss."""
    return [component() for component in engine.loss_functions.LOSSES.components.values()]


def activations(engine: Engine) -> list[Any]:
    """Every registered activation, with symbols for its parameters."""
    made = []
    for component in engine.activation_functions.ACTIVATIONS.components.values():
        act = component(*_symbols_for(component))
        if hasattr(act, "x"):
            act.x = np.array(sp.symbols("al tl ar tr", real=True), dtype=object)
        made.append(act)
    return made


def _symbols_for(component: Callable[..., Any]) -> list[Any]:
    """A symbol for the parameter alpha, if the component has it."""
    return [sp.Symbol("alpha", real=True)] if "alpha" in inspect.signature(component).parameters else []


def all_layers(D: int, K: int, engine: Engine) -> list[Any]:
    """Every registered layer, and a layer with each activation, with symbols for all parameters."""
    module = engine.layers
    made = []
    for name, component in module.LAYERS.components.items():
        sizes = (D, K) if module.has_weights(name) else (D,)
        made.append(component(*sizes))
    # An activation with trained parameters has its own layer among LAYERS.
    made += [module.ActivationLayer(D, K, act) for act in activations(engine) if not hasattr(act, "x")]
    for layer in made:
        for name in layer.parameters:
            setattr(layer, name, symbols(name.lower(), *getattr(layer, name).shape))
        if hasattr(layer, "p"):
            layer.p = sp.Symbol("p", positive=True)
    return made


def loss_names(engine: Engine) -> list[str]:
    """The names of the gradients of losses: capitalized for matrices, lowercase for vectors."""
    return [name for name in vars(engine.loss_functions) if "_loss_gradient" in name]


# --- how it is proved --------------------------------------------------------------------------------------------


def prove_activation(act: Any) -> Iterator[Result]:
    """Prove that act.gradient(X) has the derivatives of act(X), whose elements depend on their own input only."""
    X = symbols("x", 2, 2)

    def both() -> tuple[Matrix, Matrix]:
        Y, gradient = act(X), act.gradient(X)
        computed, expected = np.zeros((4, 4), dtype=object), np.zeros((4, 4), dtype=object)
        for i, index in enumerate(np.ndindex(2, 2)):
            computed[i, i] = gradient[index]
            expected[i] = _derivatives(Y[index], X).ravel()
        return computed, expected

    yield _compare(_name(act), "gradient", (2, 2), both)


def prove_softmax(function: Any) -> Iterator[Result]:
    """Prove that the Jacobian has the derivatives of each row of a softmax function, which depends on no other row."""
    for K in (1, 2, 3):
        X = symbols("x", 2, K)

        def both(X: Matrix = X) -> tuple[Matrix, Matrix]:
            Y = without_maxima(function(X))
            expected = np.vstack([np.vstack([_derivatives(y, X).ravel() for y in row]) for row in Y])
            computed = np.zeros(expected.shape, dtype=object)
            for i in range(2):
                size = X.shape[1]
                block = slice(i * size, (i + 1) * size)
                computed[block, block] = without_maxima(function.jacobian(X[i : i + 1]))
            return computed, expected

        yield _compare(type(function).__name__, "jacobian", (2, K), both)


def prove_loss(loss: Any, N: int, K: int) -> Iterator[Result]:
    """Prove that loss.gradient(Y, T) has the derivatives of loss(Y, T) with respect to Y."""
    Y, T = symbols("y", N, K), symbols("t", N, K)
    yield _compare(f"{loss!r} loss", "gradient", (N, K), lambda: _loss_gradients(loss, loss.gradient, Y, T))


def prove_loss_function(name: str, N: int, K: int, engine: Engine) -> Iterator[Result]:
    """Prove the same for a function by its name, such as Squared_error_loss_gradient; see `loss_names`."""
    module = engine.loss_functions
    what = name.removesuffix("_one_hot").removesuffix("_gradient")
    shape = (K,) if name[0].islower() else (N, K)
    if shape == (K,) and N > 1:
        return
    Y, T = symbols("y", *shape), symbols("t", *shape)
    if name.endswith("_one_hot"):  # each row sums to 1
        T[..., -1] = 1 - T[..., :-1].sum(axis=-1)
    yield _compare(what, name, shape, lambda: _loss_gradients(getattr(module, what), getattr(module, name), Y, T))


def _loss_gradients(loss: Any, gradient: Any, Y: Matrix, T: Matrix) -> tuple[Matrix, Matrix]:
    value = without_maxima(np.array([loss(Y, T)], dtype=object))[0]
    return without_maxima(gradient(Y, T)), _derivatives(value, Y)


def prove_layer(layer: Any, N: int) -> Iterator[Result]:
    """Prove that DX and the gradient of each parameter are the derivatives of the sum of DY ⊙ Y.

    The proof is for the layer's second batch, so that it fails if a gradient depends on the first.
    """
    D, K = layer.input_size(), layer.output_size()
    X, DY = symbols("x", N, D), symbols("d", N, K)
    state: dict[str, Any] = {}

    def run() -> Any:
        """The loss. The layer runs once, for all of its gradients."""
        if not state:
            for inputs, gradient in ((symbols("u", N, D), symbols("e", N, K)), (X, DY)):
                Y = layer.feedforward(inputs)
                layer.backpropagate(Y, gradient)
            state["loss"] = sum((DY * without_maxima(Y)).flat)
        return state["loss"]

    for name, x in (("X", X), *((name, getattr(layer, name)) for name in layer.parameters)):

        def both(name: str = name, x: Matrix = x) -> tuple[Matrix, Matrix]:
            loss = run()
            return without_maxima(getattr(layer, f"D{name}")), _derivatives(loss, x)

        yield _compare(f"{_name(layer)} layer", f"D{name}", (N, D, K), both, DY)


def _derivatives(expression: Any, X: Matrix) -> Matrix:
    """The derivatives of an expression with respect to each element of X."""
    derivatives = np.empty(X.shape, dtype=object)
    for index in np.ndindex(*X.shape):
        derivatives[index] = sp.diff(expression, X[index])
    return derivatives


def _compare(
    what: str,
    equation: str,
    shape: tuple[int, ...],
    both: Callable[[], tuple[Matrix, Matrix]],
    linear: Matrix | None = None,
) -> Result:
    """Compare a computed gradient with the exact one, entry by entry. `linear` has symbols in which both are linear."""
    start = time.perf_counter()
    try:
        computed, expected = both()
    except Exception as error:  # an equation that fails in any way is not proved
        return Result(what, equation, shape, False, time.perf_counter() - start, f"{type(error).__name__}: {error}")
    difference = ""
    if computed.shape != expected.shape:
        difference = f"shape {computed.shape}, expected {expected.shape}"
    for index in np.ndindex(*expected.shape) if not difference else ():
        rest = sp.sympify(computed[index] - expected[index])
        # Each summand of a linear expression has its own kinks. All summands together would have too many cases.
        parts = [rest] if linear is None or not rest.has(sp.Piecewise) else coefficients(rest, linear)
        if not all(is_zero(part) for part in parts):
            where = ", ".join(str(i + 1) for i in index)
            difference = f"entry ({where}) is {computed[index]}, expected {expected[index]}"
            break
    return Result(what, equation, shape, not difference, time.perf_counter() - start, difference)


def _name(component: Any) -> str:
    """The name of a component: that of its class, without the suffix."""
    name = type(component).__name__
    if name == "ActivationLayer":
        return _name(component.act)
    return name.removesuffix("Activation").removesuffix("Layer")
