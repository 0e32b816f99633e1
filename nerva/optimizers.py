"""Optimizers, which turn gradients into new parameters, and the parser of their specifications.

x is a parameter of any shape, Dx its gradient, eta the learning rate. All keep the dtype of x.
"""

from collections.abc import Callable, Sequence
from typing import Any

from nerva.matrix_operations import Matrix, scale_add, zeros, zeros_like
from nerva.specifications import Registry
from nerva.utilities import NervaError


class Attribute:
    """A parameter or gradient by its owner and name, `Attribute(layer, "W")`.

    An optimizer that is given attributes instead of arrays finds the array that its owner has now, so that it
    goes on working after `layer.W = ...`.
    """

    def __init__(self, owner: object, name: str) -> None:
        self.owner = owner
        self.name = name


class Optimizer:
    """Adjusts parameters, by their gradients."""

    def update(self, eta: float) -> None:
        """Makes one step with learning rate eta."""
        raise NotImplementedError


class CompositeOptimizer(Optimizer):
    """Several optimizers as one, each for a parameter of its own."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = list(optimizers)

    def update(self, eta: float) -> None:
        for optimizer in self.optimizers:
            optimizer.update(eta)

    def __repr__(self) -> str:
        return f"CompositeOptimizer({self.optimizers})"


class GradientDescentOptimizer(Optimizer):
    """x := x - eta Dx."""

    def __init__(self, x: Matrix | Attribute, Dx: Matrix | Attribute) -> None:
        self._x = x
        self._Dx = Dx

    @property
    def x(self) -> Matrix:
        """The parameter."""
        return getattr(self._x.owner, self._x.name) if isinstance(self._x, Attribute) else self._x

    @x.setter
    def x(self, value: Matrix) -> None:
        if isinstance(self._x, Attribute):
            setattr(self._x.owner, self._x.name, value)
        else:
            self._x = value

    @property
    def Dx(self) -> Matrix:
        """The gradient."""
        return getattr(self._Dx.owner, self._Dx.name) if isinstance(self._Dx, Attribute) else self._Dx

    def update(self, eta: float) -> None:
        eta = float(eta)  # a NumPy float64 would turn float32 parameters into float64
        self.x = scale_add(1, self.x, -eta, self.Dx)

    def __repr__(self) -> str:
        return "GradientDescent()"


class MomentumOptimizer(GradientDescentOptimizer):
    """delta_x := mu delta_x - eta Dx; x := x + delta_x."""

    def __init__(self, x: Matrix | Attribute, Dx: Matrix | Attribute, mu: float) -> None:
        super().__init__(x, Dx)
        if not 0 <= mu <= 1:
            raise NervaError(f"mu is the part of the last step that is kept: 0 to 1, not {mu}")
        self.mu = mu
        self.delta_x = zeros_like(self.x)

    def update(self, eta: float) -> None:
        eta, mu = float(eta), float(self.mu)
        self.delta_x = scale_add(mu, self.delta_x, -eta, self.Dx)
        self.x = scale_add(1, self.x, 1, self.delta_x)

    def __repr__(self) -> str:
        return f"Momentum(mu={float(self.mu)})"


class NesterovOptimizer(MomentumOptimizer):
    """delta_x := mu delta_x - eta Dx; x := x + mu delta_x - eta Dx."""

    def update(self, eta: float) -> None:
        eta, mu = float(eta), float(self.mu)
        self.delta_x = scale_add(mu, self.delta_x, -eta, self.Dx)
        self.x = scale_add(1, self.x, mu, self.delta_x)
        self.x = scale_add(1, self.x, -eta, self.Dx)

    def __repr__(self) -> str:
        return f"Nesterov(mu={float(self.mu)})"


OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", given=("x", "Dx"))
OPTIMIZERS.add("GradientDescent", GradientDescentOptimizer)
OPTIMIZERS.add("Momentum", MomentumOptimizer)
OPTIMIZERS.add("Nesterov", NesterovOptimizer)


def parse_optimizer(text: str) -> Callable[[Any, Any], Optimizer]:
    """What makes the optimizer that a specification such as `Momentum(mu=0.9)` names, from x and Dx.

    Raises:
        NervaError: if the specification has another shape, names no known optimizer, or a value is out of range.
    """
    make = OPTIMIZERS.bind(text)
    make(zeros(0), zeros(0))  # values out of range are told now, not when a layer is built
    return make
