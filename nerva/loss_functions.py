"""Loss functions and their gradients, and the parser of their specifications.

Y holds the outputs of a network and T the targets, one sample a row, both N×K. A loss is the sum over the
samples; a gradient has the shape of Y. Names of functions on vectors (y, t) are written small.
"""

from typing import Any

from nerva.matrix_operations import Matrix, column_repeat, dot, elements_sum, hadamard, rows_sum
from nerva.softmax_functions import stable_log_softmax, stable_softmax
from nerva.specifications import Registry


def squared_error_loss(y: Matrix, t: Matrix) -> Any:
    """(y - t)(y - t)ᵀ."""
    return dot(y - t, y - t)


def squared_error_loss_gradient(y: Matrix, t: Matrix) -> Matrix:
    """2(y - t)."""
    return 2 * (y - t)


def Squared_error_loss(Y: Matrix, T: Matrix) -> Any:
    """The sum of (Y - T) ⊙ (Y - T)."""
    return elements_sum(hadamard(Y - T, Y - T))


def Squared_error_loss_gradient(Y: Matrix, T: Matrix) -> Matrix:
    """2(Y - T)."""
    return 2 * (Y - T)


def Stable_softmax_cross_entropy_loss(Y: Matrix, T: Matrix) -> Any:
    """Minus the sum of T ⊙ log softmax(Y)."""
    return -elements_sum(hadamard(T, stable_log_softmax(Y)))


def Stable_softmax_cross_entropy_loss_gradient(Y: Matrix, T: Matrix) -> Matrix:
    """softmax(Y), each row times the sum of that row of T, minus T."""
    _, K = Y.shape
    return hadamard(stable_softmax(Y), column_repeat(rows_sum(T), K)) - T


def Stable_softmax_cross_entropy_loss_gradient_one_hot(Y: Matrix, T: Matrix) -> Matrix:
    """softmax(Y) - T: the gradient where each row of T sums to 1."""
    return stable_softmax(Y) - T


class LossFunction:
    """A loss of the outputs Y for the targets T, both N×K, and its gradient with respect to Y."""

    def __call__(self, Y: Matrix, T: Matrix) -> Any:
        raise NotImplementedError

    def gradient(self, Y: Matrix, T: Matrix) -> Matrix:
        """The N×K derivative of the loss with respect to Y."""
        raise NotImplementedError


class SquaredErrorLossFunction(LossFunction):
    """The sum of squared differences."""

    def __call__(self, Y: Matrix, T: Matrix) -> Any:
        return Squared_error_loss(Y, T)

    def gradient(self, Y: Matrix, T: Matrix) -> Matrix:
        return Squared_error_loss_gradient(Y, T)

    def __repr__(self) -> str:
        return "SquaredError"


class StableSoftmaxCrossEntropyLossFunction(LossFunction):
    """The cross entropy of softmax(Y) and T: for outputs that are logits."""

    def __call__(self, Y: Matrix, T: Matrix) -> Any:
        return Stable_softmax_cross_entropy_loss(Y, T)

    def gradient(self, Y: Matrix, T: Matrix) -> Matrix:
        return Stable_softmax_cross_entropy_loss_gradient(Y, T)

    def __repr__(self) -> str:
        return "SoftmaxCrossEntropy"


LOSSES: Registry[LossFunction] = Registry("loss function")
LOSSES.add("SquaredError", SquaredErrorLossFunction)
LOSSES.add("SoftmaxCrossEntropy", StableSoftmaxCrossEntropyLossFunction)


def parse_loss_function(text: str) -> LossFunction:
    """The loss function that a specification such as `SoftmaxCrossEntropy` names, in its stable form.

    Raises:
        NervaError: if the specification has another shape, or names no known loss.
    """
    return LOSSES.parse(text)
