"""Optimizers, which update parameters by their gradients, and the parser of their specifications.

x is a parameter of any shape, Dx its gradient, and eta the learning rate. The dtype of x is kept.
"""

from collections.abc import Callable, Sequence
from typing import Any

from nerva.errors import NervaError
from nerva.matrix_operations import Matrix, larger, norm, scalar, scale_add, sqrt, square, zeros, zeros_like
from nerva.ranges import not_negative, positive
from nerva.specifications import Registry, Specification


class Attribute:
    """A parameter or gradient, given by its owner and its name: `Attribute(layer, "W")`.

    An optimizer of attributes looks up the arrays in each step, so that it still works after `layer.W = ...`.
    """

    def __init__(self, owner: object, name: str) -> None:
        self.owner = owner
        self.name = name


class Optimizer:
    """An update rule of one or more parameters."""

    # The names of attributes that are needed to resume training, besides the parameter. A subclass lists only those
    # that it adds.
    state: tuple[str, ...] = ()
    # The names of attributes that are recomputed in each step. A subclass lists only those that it adds.
    caches: tuple[str, ...] = ()

    def update(self, eta: float) -> None:
        """Make one step with learning rate eta."""
        raise NotImplementedError


class CompositeOptimizer(Optimizer):
    """Several optimizers as one, each for a different parameter."""

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

    @Dx.setter
    def Dx(self, value: Matrix) -> None:
        if isinstance(self._Dx, Attribute):
            setattr(self._Dx.owner, self._Dx.name, value)
        else:
            self._Dx = value

    def update(self, eta: float) -> None:
        eta = scalar(eta)  # a NumPy float64 would turn float32 parameters into float64
        self.x = scale_add(1, self.x, -eta, self.Dx)

    def __repr__(self) -> str:
        return "GradientDescent()"


class MomentumOptimizer(GradientDescentOptimizer):
    """delta_x := mu delta_x - eta Dx; x := x + delta_x."""

    state = ("delta_x",)

    def __init__(self, x: Matrix | Attribute, Dx: Matrix | Attribute, mu: float) -> None:
        super().__init__(x, Dx)
        if not 0 <= mu <= 1:
            raise NervaError(f"mu should be 0 to 1, not {mu}")
        self.mu = mu
        self.delta_x = zeros_like(self.x)

    def update(self, eta: float) -> None:
        eta, mu = scalar(eta), float(self.mu)
        self.delta_x = scale_add(mu, self.delta_x, -eta, self.Dx)
        self.x = scale_add(1, self.x, 1, self.delta_x)

    def __repr__(self) -> str:
        return f"Momentum(mu={float(self.mu)})"


class NesterovOptimizer(MomentumOptimizer):
    """delta_x := mu delta_x - eta Dx; x := x + mu delta_x - eta Dx."""

    def update(self, eta: float) -> None:
        eta, mu = scalar(eta), float(self.mu)
        self.delta_x = scale_add(mu, self.delta_x, -eta, self.Dx)
        self.x = scale_add(1, self.x, mu, self.delta_x)
        self.x = scale_add(1, self.x, -eta, self.Dx)

    def __repr__(self) -> str:
        return f"Nesterov(mu={float(self.mu)})"


class AdamOptimizer(GradientDescentOptimizer):
    """m := beta1 m + (1 - beta1) Dx; v := beta2 v + (1 - beta2) Dx²; x := x - eta m' / (√v' + epsilon).

    m' = m / (1 - beta1ᵗ) and v' = v / (1 - beta2ᵗ) at step t (Kingma and Ba 2015).
    """

    state = ("t", "m", "v")

    def __init__(
        self,
        x: Matrix | Attribute,
        Dx: Matrix | Attribute,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(x, Dx)
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if not 0 <= beta < 1:
                raise NervaError(f"{name} should be 0 or more and less than 1, not {beta}")
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = positive("epsilon", epsilon)
        self.t = 0
        self.m = zeros_like(self.x)
        self.v = zeros_like(self.x)

    def update(self, eta: float) -> None:
        eta, beta1, beta2 = scalar(eta), float(self.beta1), float(self.beta2)
        self.t += 1
        self.m = scale_add(beta1, self.m, 1 - beta1, self.Dx)
        self.v = scale_add(beta2, self.v, 1 - beta2, square(self.Dx))
        m = self.m / (1 - beta1**self.t)
        v = self.v / (1 - beta2**self.t)
        self.x = scale_add(1, self.x, -eta, m / (sqrt(v) + float(self.epsilon)))

    def __repr__(self) -> str:
        return f"Adam(beta1={float(self.beta1)}, beta2={float(self.beta2)}, epsilon={float(self.epsilon)})"


class AdamWOptimizer(AdamOptimizer):
    """x := (1 - eta decay) x, followed by the step of Adam (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        x: Matrix | Attribute,
        Dx: Matrix | Attribute,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        decay: float = 0.01,
    ) -> None:
        super().__init__(x, Dx, beta1, beta2, epsilon)
        self.decay = not_negative("decay", decay)

    def update(self, eta: float) -> None:
        self.x = scale_add(1, self.x, -scalar(eta) * float(self.decay), self.x)
        super().update(eta)

    def __repr__(self) -> str:
        return f"AdamW{super().__repr__()[4:-1]}, decay={float(self.decay)})"


class RMSPropOptimizer(GradientDescentOptimizer):
    """v := rho v + (1 - rho) Dx²; x := x - eta Dx / (√v + epsilon) (Tieleman and Hinton 2012)."""

    state = ("v",)

    def __init__(self, x: Matrix | Attribute, Dx: Matrix | Attribute, rho: float = 0.99, epsilon: float = 1e-8) -> None:
        super().__init__(x, Dx)
        if not 0 <= rho < 1:
            raise NervaError(f"rho should be 0 or more and less than 1, not {rho}")
        self.rho = rho
        self.epsilon = positive("epsilon", epsilon)
        self.v = zeros_like(self.x)

    def update(self, eta: float) -> None:
        eta, rho = scalar(eta), float(self.rho)
        self.v = scale_add(rho, self.v, 1 - rho, square(self.Dx))
        self.x = scale_add(1, self.x, -eta, self.Dx / (sqrt(self.v) + float(self.epsilon)))

    def __repr__(self) -> str:
        return f"RMSProp(rho={float(self.rho)}, epsilon={float(self.epsilon)})"


class ChangedGradientOptimizer(GradientDescentOptimizer):
    """Another optimizer, applied to a gradient that is computed from Dx."""

    caches = ("gradient",)

    def __init__(self, x: Matrix | Attribute, Dx: Matrix | Attribute, optimizer: Specification) -> None:
        super().__init__(x, Dx)
        self.gradient = self.Dx
        self.optimizer = OPTIMIZERS.bind(optimizer)(x, Attribute(self, "gradient"))

    def changed(self, Dx: Matrix) -> Matrix:
        """The gradient to which the other optimizer is applied."""
        raise NotImplementedError

    def update(self, eta: float) -> None:
        self.gradient = self.changed(self.Dx)
        self.optimizer.update(eta)


class WeightDecayOptimizer(ChangedGradientOptimizer):
    """Another optimizer, applied to Dx + decay x: the gradient of the loss plus decay/2 ‖x‖²."""

    def __init__(self, x: Matrix | Attribute, Dx: Matrix | Attribute, optimizer: Specification, decay: float) -> None:
        super().__init__(x, Dx, optimizer)
        self.decay = not_negative("decay", decay)

    def changed(self, Dx: Matrix) -> Matrix:
        return Dx + float(self.decay) * self.x

    def __repr__(self) -> str:
        return f"WeightDecay(optimizer={self.optimizer}, decay={float(self.decay)})"


class ClipNormOptimizer(ChangedGradientOptimizer):
    """Another optimizer, applied to Dx norm / max(norm, ‖Dx‖): the gradient, scaled down to norm if it is longer."""

    def __init__(self, x: Matrix | Attribute, Dx: Matrix | Attribute, optimizer: Specification, norm: float) -> None:
        super().__init__(x, Dx, optimizer)
        self.norm = positive("norm", norm)

    def changed(self, Dx: Matrix) -> Matrix:
        factor: float = float(self.norm) / larger(float(self.norm), norm(Dx))
        return Dx * factor

    def __repr__(self) -> str:
        return f"ClipNorm(optimizer={self.optimizer}, norm={float(self.norm)})"


OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", given=("x", "Dx"))
OPTIMIZERS.add("GradientDescent", GradientDescentOptimizer)
OPTIMIZERS.add("Momentum", MomentumOptimizer)
OPTIMIZERS.add("Nesterov", NesterovOptimizer)
OPTIMIZERS.add("Adam", AdamOptimizer)
OPTIMIZERS.add("AdamW", AdamWOptimizer)
OPTIMIZERS.add("RMSProp", RMSPropOptimizer)
OPTIMIZERS.add("WeightDecay", WeightDecayOptimizer)
OPTIMIZERS.add("ClipNorm", ClipNormOptimizer)


def parse_optimizer(text: str) -> Callable[[Any, Any], Optimizer]:
    """The function of x and Dx that creates the optimizer named by a specification such as `Momentum(mu=0.9)`.

    Weight decay and clipping wrap another optimizer: `WeightDecay(Momentum(0.9), 0.0001)`.

    Raises:
        NervaError: if the specification cannot be parsed, names no known optimizer, or a value is out of range.
    """
    make = OPTIMIZERS.bind(text)
    make(zeros(0), zeros(0))  # so that values out of range are reported now
    return make
