"""Training steps that the library compiles.

A step changes attributes: parameters, gradients, and the state of optimizers. A compiler needs a function, which takes
the old values of these attributes as arguments and returns the new ones. `CompiledTraining` makes this function of the
methods of a network: it puts the arguments into the attributes, calls the methods, and returns the values that the
attributes have afterwards. The layers need no change for it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.component_attributes import attributes, declared_names, find_components, gradient_names, is_component
from nerva.datasets import DataLoader
from nerva.loss_functions import LossFunction
from nerva.matrix_operations import (
    COMPILES_LAST_BATCH,
    NOT_COMPILABLE,
    Matrix,
    NotCompilableError,
    assign,
    compile_epoch,
    take_rows,
)
from nerva.multilayer_perceptron import MultilayerPerceptron
from nerva.optimizers import Attribute

# A step on a batch of inputs and targets, with a learning rate.
TrainStep = Callable[[MultilayerPerceptron, LossFunction, Matrix, Matrix, Any], None]


_NOT_COMPILABLE: tuple[type[Exception], ...] = (NotCompilableError, *NOT_COMPILABLE)


class CompiledTraining:
    """The compiled training step of a network with a loss.

    Its variables are the matrices and numbers that components declare as state. If the library compiles the last batch
    of an epoch as well, the gradients of parameters are variables too. If not, the methods of the layers compute the
    last batch, so that the layers hold its values and gradients after the epoch, as without compilation. The compiled
    function contains the values of all other attributes except caches. If one of them changes, `fits` is
    false, and a new CompiledTraining is needed.

    nerva's own components are compiled. A user-defined class is compiled only if the class itself, not a base class,
    sets `compilable = True`. Only its author knows whether its methods change nothing but the declared attributes.
    """

    def __init__(self, step: TrainStep, M: MultilayerPerceptron, loss: LossFunction) -> None:
        """
        Args:
            step: the step as a procedure, which changes the network.
            M: the network.
            loss: the loss function.
        """
        self.step = step
        self.M = M
        self.loss = loss
        self._components = _components(M, loss)
        self._variables: list[tuple[Any, str]] = []
        for component in self._components:
            names = declared_names(component)[0]
            names += gradient_names(component) if COMPILES_LAST_BATCH else []
            self._variables += [(component, name) for name in names if _is_variable(getattr(component, name, None))]
        self._constants = self._read_constants()
        # A network with other attributes may have other methods.
        is_plain = _is_compilable(M) and vars(M).keys() == vars(MultilayerPerceptron()).keys()
        may_compile = (
            is_plain and all(map(_is_compilable, self._components)) and all(map(_is_constant, self._constants))
        )
        self._run_epoch = compile_epoch(self._step_as_function) if compile_epoch and may_compile else None

    @property
    def may_compile(self) -> bool:
        """False if the library has no compiler, if a component can't be compiled, or once compilation has failed."""
        return self._run_epoch is not None

    def fits(self, M: MultilayerPerceptron, loss: LossFunction) -> bool:
        """Whether this is the step of a network with a loss as they are now."""
        return (
            self.M is M
            and self.loss is loss
            and _same(self._components, _components(M, loss))
            and _same(self._constants, self._read_constants())
        )

    def train(self, data: DataLoader, eta: float) -> bool:
        """Train the network for one epoch. Return False, and change nothing, if its step can't be compiled.

        Later calls return False at once then.
        """
        if self._run_epoch is None:
            return False
        before = [getattr(component, name) for component, name in self._variables]
        attributes_before = [(component, attributes(component)) for component in self._components]
        generators = _generators([*self._constants, data.rng])
        states = [generator.bit_generator.state for generator in generators]
        batches = data.shuffled()
        compiled_batches = batches if COMPILES_LAST_BATCH else batches[:-1]
        after = list(before)
        try:
            after = self._run_epoch(after, data.Xdata, data.targets, compiled_batches, eta)
        except _NOT_COMPILABLE:
            self._run_epoch = None
            for generator, state in zip(generators, states, strict=True):
                generator.bit_generator.state = state
            return False
        finally:
            _restore(attributes_before)
            for (component, name), old, new in zip(self._variables, before, after, strict=True):
                # Some compilers return numbers as matrices.
                is_number = isinstance(old, int | float) and not isinstance(new, int | float)
                setattr(component, name, type(old)(new) if is_number else new)
        if not COMPILES_LAST_BATCH:
            self._train_last_batch(data, batches[-1], eta)
        return True

    def _train_last_batch(self, data: DataLoader, rows: npt.NDArray[np.int64], eta: float) -> None:
        before = [getattr(component, name) for component, name in self._variables]
        self.step(self.M, self.loss, take_rows(data.Xdata, rows), take_rows(data.targets, rows), eta)
        for (component, name), old in zip(self._variables, before, strict=True):
            new = getattr(component, name)
            if new is not old and hasattr(old, "shape"):
                # For a new array, the step would have to be compiled again.
                setattr(component, name, assign(old, new))

    def _step_as_function(self, variables: list[Any], X: Matrix, T: Matrix, eta: Any) -> list[Any]:
        """The step as a function. Only the compiler calls it, with traced matrices."""
        for (component, name), value in zip(self._variables, variables, strict=True):
            setattr(component, name, value)
        constants = self._read_constants()
        generators = _generators(constants)
        states = [str(generator.bit_generator.state) for generator in generators]  # texts, because they may hold arrays
        self.step(self.M, self.loss, X, T, eta)
        drawn = states != [str(generator.bit_generator.state) for generator in generators]
        if drawn or not _same(constants, self._read_constants()):
            raise NotCompilableError
        return [getattr(component, name) for component, name in self._variables]

    def _read_constants(self) -> list[Any]:
        """All attributes that are neither variables nor caches, and the layers and the loss."""
        constants: list[Any] = []
        # An object may be an attribute of two components: SReLU's x belongs to its layer and to its activation.
        variables = {id(getattr(component, name)) for component, name in self._variables}
        for component in self._components:
            state, caches = declared_names(component)
            for name, value in attributes(component).items():
                if name not in caches and id(value) not in variables and (name not in state or not _is_variable(value)):
                    constants += value if _holds_components(value) else [value]
        return [*constants, *self.M.layers, self.loss]


def _components(M: MultilayerPerceptron, loss: LossFunction) -> list[Any]:
    return [component for _, component in find_components({"layers": M.layers, "loss": loss})]


def _is_compilable(component: Any) -> bool:
    cls = type(component)
    return cls.__module__.partition(".")[0] == "nerva" or vars(cls).get("compilable") is True


def _is_variable(value: Any) -> bool:
    """Whether a declared value is an argument of the step: a matrix, or a number."""
    return hasattr(value, "shape") or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_constant(value: Any) -> bool:
    """Whether a value can't change in place. Components and generators can, but they are checked separately."""
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, type(None) | int | float | str | np.random.Generator | Attribute) or is_component(value)


def _holds_components(value: Any) -> bool:
    """Whether a value is a list of components, such as the `optimizers` of a CompositeOptimizer."""
    return isinstance(value, list) and len(value) > 0 and all(map(is_component, value))


def _restore(attributes_before: list[tuple[Any, dict[str, Any]]]) -> None:
    """Put the values of attributes back. Compilation replaces values by placeholders."""
    for component, values in attributes_before:
        for name in attributes(component).keys() - values.keys():
            delattr(component, name)
        for name, value in values.items():
            setattr(component, name, value)


def _generators(values: list[Any]) -> list[np.random.Generator]:
    return [value for value in values if isinstance(value, np.random.Generator)]


def _same(before: list[Any], now: list[Any]) -> bool:
    """Whether constants are the same objects, or equal numbers or strings."""

    def same(a: Any, b: Any) -> bool:
        return a is b or (type(a) is type(b) and isinstance(a, int | float | str) and a == b)

    return len(before) == len(now) and all(map(same, before, now))
