"""Initial weights and biases, and the parser of their specifications.

W is a K×D matrix (D inputs, K outputs), and b is a vector of size K. A function fills the array, keeps its dtype, and
returns the result, which callers assign: see `matrix_operations.assign`.
The weights are drawn from a `numpy.random.Generator`. The same generator state gives the same weights. Without a
generator, one with fresh entropy is used, and the weights are not reproducible.
"""

import inspect
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

from nerva.errors import NervaError
from nerva.matrix_operations import Matrix, assign, from_numpy, to_numpy, zeros, zeros_like
from nerva.ranges import not_negative
from nerva.specifications import Registry

Rng = np.random.Generator | None


def generator(rng: Rng) -> np.random.Generator:
    """The generator itself, or one with fresh entropy if it is None."""
    return np.random.default_rng() if rng is None else rng


def _fill(W: Matrix, samples: Matrix) -> Matrix:
    """W := samples, in the dtype of W."""
    try:
        with np.errstate(over="raise"):
            return assign(W, from_numpy(samples.astype(to_numpy(W).dtype)))
    except FloatingPointError:
        raise NervaError(f"an initial weight of {abs(samples).max():.6g} is too large for {W.dtype}") from None


def set_bias_zero(b: Matrix) -> Matrix:
    """b := 0."""
    return assign(b, zeros_like(b))


def set_bias_uniform(b_: Matrix, a: float = 0.0, b: float = 1.0, rng: Rng = None) -> Matrix:
    """b_ := samples of the uniform distribution on [a, b)."""
    return set_weights_uniform(b_, a, b, rng)


def set_bias_normal(b: Matrix, mean: float = 0.0, std: float = 1.0, rng: Rng = None) -> Matrix:
    """b := samples of the normal distribution."""
    return set_weights_normal(b, mean, std, rng)


def set_weights_uniform(W: Matrix, a: float = 0.0, b: float = 1.0, rng: Rng = None) -> Matrix:
    """W := samples of the uniform distribution on [a, b)."""
    if not (math.isfinite(a) and math.isfinite(b) and a <= b and math.isfinite(b - a)):
        raise NervaError(f"the uniform distribution on [a, b) needs finite numbers a ≤ b, not {a} and {b}")
    return _fill(W, generator(rng).uniform(a, b, size=W.shape))


def set_weights_normal(W: Matrix, mean: float = 0.0, std: float = 1.0, rng: Rng = None) -> Matrix:
    """W := samples of the normal distribution."""
    if not math.isfinite(mean):
        raise NervaError(f"the mean of a normal distribution should be finite, not {mean}")
    not_negative("the standard deviation", std)
    return _fill(W, generator(rng).normal(mean, std, size=W.shape))


def set_weights_xavier_uniform(W: Matrix, rng: Rng = None) -> Matrix:
    """W := uniform on ±√(6 / (D + K)) (Glorot and Bengio 2010); suits tanh and sigmoid."""
    K, D = W.shape
    limit = math.sqrt(6 / (D + K))
    return set_weights_uniform(W, -limit, limit, rng)


def set_weights_xavier_normal(W: Matrix, rng: Rng = None) -> Matrix:
    """W := normal with standard deviation √(2 / (D + K)) (Glorot and Bengio 2010); suits tanh and sigmoid."""
    K, D = W.shape
    return set_weights_normal(W, 0, math.sqrt(2 / (D + K)), rng)


def set_weights_he_uniform(W: Matrix, rng: Rng = None) -> Matrix:
    """W := uniform on ±√(6 / D) (He et al. 2015); suits ReLU."""
    _, D = W.shape
    limit = math.sqrt(6 / D)
    return set_weights_uniform(W, -limit, limit, rng)


def set_weights_he_normal(W: Matrix, rng: Rng = None) -> Matrix:
    """W := normal with standard deviation √(2 / D) (He et al. 2015); suits ReLU."""
    _, D = W.shape
    return set_weights_normal(W, 0, math.sqrt(2 / D), rng)


def set_weights_lecun_normal(W: Matrix, rng: Rng = None) -> Matrix:
    """W := normal with standard deviation √(1 / D) (LeCun et al. 1998); suits tanh."""
    _, D = W.shape
    return set_weights_normal(W, 0, math.sqrt(1 / D), rng)


def set_weights_zero(W: Matrix) -> Matrix:
    """W := 0. All neurons of a layer then learn the same: useful for tests and for single-layer networks."""
    return assign(W, zeros_like(W))


INITIALIZERS: Registry[Matrix] = Registry("weight initializer", given=("W", "rng"))


@INITIALIZERS.register("Uniform")
def _uniform(W: Matrix, rng: Rng, a: float = 0.0, b: float = 1.0) -> Matrix:
    return set_weights_uniform(W, a, b, rng)


@INITIALIZERS.register("Normal")
def _normal(W: Matrix, rng: Rng, a: float = 0.0, b: float = 1.0) -> Matrix:
    return set_weights_normal(W, a, b, rng)


INITIALIZERS.add("XavierUniform", set_weights_xavier_uniform)
INITIALIZERS.add("XavierNormal", set_weights_xavier_normal)
INITIALIZERS.add("HeUniform", set_weights_he_uniform)
INITIALIZERS.add("HeNormal", set_weights_he_normal)
INITIALIZERS.add("LeCunNormal", set_weights_lecun_normal)


INITIALIZERS.add("Zero", set_weights_zero)


def parse_weight_initializer(text: str) -> Callable[..., Matrix]:
    """The function of W and rng that a specification such as `XavierNormal` or `Uniform(a=-1, b=1)` names.

    Raises:
        NervaError: if the specification cannot be parsed, or names no known initializer.
    """
    make = INITIALIZERS.bind(text)
    random = "rng" in inspect.signature(make).parameters

    def initialize(W: Matrix, rng: Rng = None) -> Matrix:
        return make(W, rng=rng) if random else make(W)

    initialize(zeros(1, 1), np.random.default_rng(0))  # so that values out of range are reported now
    return initialize


class HasWeights(Protocol):
    """A layer with weights and biases."""

    W: Matrix
    b: Matrix


def set_layer_weights(layer: HasWeights, text: str, rng: Rng = None) -> None:
    """Initialize the weights of a layer as specified, and its biases with zeros.

    Raises:
        NervaError: if the specification cannot be parsed, or names no known initializer.
    """
    layer.W = parse_weight_initializer(text)(layer.W, rng=rng)
    layer.b = set_bias_zero(layer.b)
