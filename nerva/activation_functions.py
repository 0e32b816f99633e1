"""Activation functions, their gradients, and the parser of their specifications.

Functions of matrices have capitalized names. All of them work element-wise.
"""

from collections.abc import Callable

from nerva.errors import NervaError
from nerva.matrix_operations import (
    Matrix,
    elements,
    exp,
    expm1,
    greater,
    hadamard,
    indicator,
    less,
    less_equal,
    maximum,
    minimum,
    normal_cdf,
    normal_pdf,
    sigmoid,
    softplus,
    tanh,
    vector,
    where,
    zeros_like,
)
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


def Srelu(al: float, tl: float, ar: float, tr: float) -> MatrixFunction:
    """tl + al (x - tl) where x ≤ tl, x between tl and tr, and tr + ar (x - tr) where x ≥ tr."""
    return lambda X: where(
        less_equal(X, tl), tl + al * (X - tl), where(less(X, tr), X, tr + ar * (X - tr), like=X), like=X
    )


def Srelu_gradient(al: float, tl: float, ar: float, tr: float) -> MatrixFunction:
    """al where x ≤ tl, 1 between tl and tr, and ar where x ≥ tr."""
    return lambda X: where(less_equal(X, tl), al, where(less(X, tr), 1, ar, like=X), like=X)


def Elu(alpha: float) -> MatrixFunction:
    """x where x > 0, and alpha (eˣ - 1) elsewhere."""
    return lambda X: where(greater(X, 0), X, alpha * expm1(minimum(X, 0)), like=X)


def Elu_gradient(alpha: float) -> MatrixFunction:
    """1 where x > 0, and alpha eˣ elsewhere."""
    return lambda X: where(greater(X, 0), 1, alpha * exp(minimum(X, 0)), like=X)


def Gelu(X: Matrix) -> Matrix:
    """x Φ(x), where Φ is the cumulative distribution function of the standard normal distribution."""
    return hadamard(X, normal_cdf(X))


def Gelu_gradient(X: Matrix) -> Matrix:
    """Φ(x) + x φ(x)."""
    return normal_cdf(X) + hadamard(X, normal_pdf(X))


def Silu(X: Matrix) -> Matrix:
    """x σ(x)."""
    return hadamard(X, sigmoid(X))


def Silu_gradient(X: Matrix) -> Matrix:
    """σ(x) + x σ(x) (1 - σ(x))."""
    Y = sigmoid(X)
    return Y + hadamard(X, hadamard(Y, 1 - Y))


def Softplus(X: Matrix) -> Matrix:
    """log(1 + eˣ)."""
    return softplus(X)


def Softplus_gradient(X: Matrix) -> Matrix:
    """σ(x)."""
    return sigmoid(X)


class ActivationFunction:
    """A function of each element, and its derivative. Both keep the shape and the float dtype of a matrix."""

    # The names of attributes that are needed to resume training, besides the parameters of the layer.
    state: tuple[str, ...] = ()

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


FLOAT32_MAX = 3.4028234663852886e38


class SReLUActivation(ActivationFunction):
    """SReLU, with trainable slopes al, ar and thresholds tl <= tr, which training may move past each other."""

    caches = ("Dx",)

    def __init__(self, al: float = 0.0, tl: float = 0.0, ar: float = 0.0, tr: float = 1.0) -> None:
        if tl > tr:
            raise NervaError(f"the threshold tl should be no more than tr, not {tl} and {tr}")
        if largest := max((x for x in (al, tl, ar, tr) if abs(x) > FLOAT32_MAX), key=abs, default=None):
            raise NervaError(f"a parameter of {largest} is too large for float32")
        self.initial = (al, tl, ar, tr)
        self.x = vector([al, tl, ar, tr])
        self.Dx = zeros_like(self.x)

    def __call__(self, X: Matrix) -> Matrix:
        al, tl, ar, tr = elements(self.x)
        return Srelu(al, tl, ar, tr)(X)

    def gradient(self, X: Matrix) -> Matrix:
        al, tl, ar, tr = elements(self.x)
        return Srelu_gradient(al, tl, ar, tr)(X)

    def __repr__(self) -> str:
        # As other layers do not print their weights, this does not print trained values: tl may be beyond tr.
        al, tl, ar, tr = map(float, self.initial)
        return f"SReLU(al={al}, tl={tl}, ar={ar}, tr={tr})"


class ELUActivation(ActivationFunction):
    """x where x > 0, and alpha (eˣ - 1) elsewhere."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def __call__(self, X: Matrix) -> Matrix:
        return Elu(self.alpha)(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Elu_gradient(self.alpha)(X)

    def __repr__(self) -> str:
        return f"ELU(alpha={float(self.alpha)})"


class GELUActivation(ActivationFunction):
    """x Φ(x), in its exact form."""

    def __call__(self, X: Matrix) -> Matrix:
        return Gelu(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Gelu_gradient(X)

    def __repr__(self) -> str:
        return "GELU"


class SiLUActivation(ActivationFunction):
    """x σ(x), also known as swish."""

    def __call__(self, X: Matrix) -> Matrix:
        return Silu(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Silu_gradient(X)

    def __repr__(self) -> str:
        return "SiLU"


class SoftplusActivation(ActivationFunction):
    """log(1 + eˣ)."""

    def __call__(self, X: Matrix) -> Matrix:
        return Softplus(X)

    def gradient(self, X: Matrix) -> Matrix:
        return Softplus_gradient(X)

    def __repr__(self) -> str:
        return "Softplus"


ACTIVATIONS: Registry[ActivationFunction] = Registry("activation")
ACTIVATIONS.add("ReLU", ReLUActivation)
ACTIVATIONS.add("LeakyReLU", LeakyReLUActivation)
ACTIVATIONS.add("AllReLU", AllReLUActivation)
ACTIVATIONS.add("HyperbolicTangent", HyperbolicTangentActivation)
ACTIVATIONS.add("Sigmoid", SigmoidActivation)
ACTIVATIONS.add("SReLU", SReLUActivation)
ACTIVATIONS.add("ELU", ELUActivation)
ACTIVATIONS.add("GELU", GELUActivation)
ACTIVATIONS.add("SiLU", SiLUActivation)
ACTIVATIONS.add("Softplus", SoftplusActivation)


def parse_activation(text: str) -> ActivationFunction:
    """The activation function that a specification such as `LeakyReLU(alpha=0.1)` names.

    Raises:
        NervaError: if the specification cannot be parsed, or names no known activation.
    """
    return ACTIVATIONS.parse(text)
