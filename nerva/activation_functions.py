"""Activation functions, their gradients, and the parser of their specifications.

Names of functions on matrices are written with a capital; all work element-wise.
"""

from collections.abc import Callable

from nerva.matrix_operations import Matrix, greater, hadamard, indicator, less, maximum, sigmoid, tanh, where
from nerva.specifications import Registry

MatrixFunction = Callable[[Matrix], Matrix]


def Relu(X: Matrix) -> Matrix:
    """max(0, x)."""
    return maximum(X, 0)


def Relu_gradient(X: Matrix) -> Matrix:
    """1 where x > 0, and 0 elsewhere."""
    return indicator(greater(X, 0), like=X)


def Leaky_relu(alpha: float) -> MatrixFunction:
    """x where x > 0, and alpha x elsewhere."""
    return lambda X: where(greater(X, 0), X, alpha * X, like=X)


def Leaky_relu_gradient(alpha: float) -> MatrixFunction:
    """1 where x > 0, and alpha elsewhere."""
    return lambda X: where(greater(X, 0), 1, alpha, like=X)


def All_relu(alpha: float) -> MatrixFunction:
    """alpha x where x < 0, and x elsewhere."""
    return lambda X: where(less(X, 0), alpha * X, X, like=X)


def All_relu_gradient(alpha: float) -> MatrixFunction:
    """alpha where x < 0, and 1 elsewhere."""
    return lambda X: where(less(X, 0), alpha, 1, like=X)


def Hyperbolic_tangent(X: Matrix) -> Matrix:
    """tanh x."""
    return tanh(X)


def Hyperbolic_tangent_gradient(X: Matrix) -> Matrix:
    """1 - tanh² x."""
    return 1 - tanh(X) ** 2


def Sigmoid(X: Matrix) -> Matrix:
    """σ(x) = 1 / (1 + e⁻ˣ)."""
    return sigmoid(X)


def Sigmoid_gradient(X: Matrix) -> Matrix:
    """σ(x) (1 - σ(x))."""
    Y = sigmoid(X)
    return hadamard(Y, 1 - Y)


class ActivationFunction:
    """A function of each element, and its derivative. Both take and give a matrix of any shape and float dtype."""

    def __call__(self, X: Matrix) -> Matrix:
        raise NotImplementedError

    def gradient(self, X: Matrix) -> Matrix:
        """The derivative at each element of X."""
        raise NotImplementedError


class ReLUActivation(ActivationFunction):
    """max(0, x)."""

    def __call__(self, X: Matrix) -> Matrix:
        return Relu(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Relu_gradient(X)

    def __repr__(self) -> str:
        return "ReLU"


class LeakyReLUActivation(ActivationFunction):
    """x where x > 0, and alpha x elsewhere."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, X: Matrix) -> Matrix:
        return Leaky_relu(self.alpha)(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Leaky_relu_gradient(self.alpha)(X)

    def __repr__(self) -> str:
        return f"LeakyReLU(alpha={float(self.alpha)})"


class AllReLUActivation(ActivationFunction):
    """alpha x where x < 0, and x elsewhere."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def __call__(self, X: Matrix) -> Matrix:
        return All_relu(self.alpha)(X)

    def gradient(self, X: Matrix) -> Matrix:
        return All_relu_gradient(self.alpha)(X)

    def __repr__(self) -> str:
        return f"AllReLU(alpha={float(self.alpha)})"


class HyperbolicTangentActivation(ActivationFunction):
    """tanh x."""

    def __call__(self, X: Matrix) -> Matrix:
        return Hyperbolic_tangent(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Hyperbolic_tangent_gradient(X)

    def __repr__(self) -> str:
        return "HyperbolicTangent"


class SigmoidActivation(ActivationFunction):
    """1 / (1 + e⁻ˣ)."""

    def __call__(self, X: Matrix) -> Matrix:
        return Sigmoid(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Sigmoid_gradient(X)

    def __repr__(self) -> str:
        return "Sigmoid"


ACTIVATIONS: Registry[ActivationFunction] = Registry("activation")
ACTIVATIONS.add("ReLU", ReLUActivation)
ACTIVATIONS.add("LeakyReLU", LeakyReLUActivation)
ACTIVATIONS.add("AllReLU", AllReLUActivation)
ACTIVATIONS.add("HyperbolicTangent", HyperbolicTangentActivation)
ACTIVATIONS.add("Sigmoid", SigmoidActivation)


def parse_activation(text: str) -> ActivationFunction:
    """The activation function that a specification such as `LeakyReLU(alpha=0.1)` names.

    Raises:
        NervaError: if the specification has another shape, or names no known activation.
    """
    return ACTIVATIONS.parse(text)
