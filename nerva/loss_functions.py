"""Loss functions and their gradients, and the parser of their specifications.

Y holds the outputs of a network and T the targets (N×K, one sample per row). A loss is the sum over the samples, and
its gradient has the shape of Y. Functions of vectors (y and t, or matrices with one row) have lowercase names.

The softmax losses have two names each, with and without `stable`. Both compute the stable form, which is finite for all
finite logits.
"""

from typing import Any

from nerva.matrix_operations import (
    Matrix,
    column_repeat,
    divide,
    dot,
    elements_sum,
    hadamard,
    log,
    log_sigmoid,
    reciprocal,
    rows_sum,
    sigmoid,
    xlogy,
)
from nerva.softmax_functions import stable_log_softmax, stable_softmax
from nerva.specifications import Registry


def _row(y: Matrix) -> Matrix:
    return y.reshape(1, -1)


def squared_error_loss(y: Matrix, t: Matrix) -> Any:
    """(y - t)(y - t)ᵀ."""
    return dot(y - t, y - t)


def squared_error_loss_gradient(y: Matrix, t: Matrix) -> Matrix:
    """2(y - t)."""
    return 2 * (y - t)


def Squared_error_loss(Y: Matrix, T: Matrix) -> Any:
    """1ᵀ ((Y - T) ⊙ (Y - T)) 1."""
    return elements_sum(hadamard(Y - T, Y - T))


def Squared_error_loss_gradient(Y: Matrix, T: Matrix) -> Matrix:
    """2(Y - T)."""
    return 2 * (Y - T)


def cross_entropy_loss(y: Matrix, t: Matrix) -> Any:
    """-t log(y)ᵀ."""
    return -elements_sum(xlogy(t, y))


def cross_entropy_loss_gradient(y: Matrix, t: Matrix) -> Matrix:
    """-t ⊘ y."""
    return -divide(t, y)


def Cross_entropy_loss(Y: Matrix, T: Matrix) -> Any:
    """-1ᵀ (T ⊙ log(Y)) 1."""
    return -elements_sum(xlogy(T, Y))


def Cross_entropy_loss_gradient(Y: Matrix, T: Matrix) -> Matrix:
    """-T ⊘ Y."""
    return -divide(T, Y)


def stable_softmax_cross_entropy_loss(y: Matrix, t: Matrix) -> Any:
    """-t log(softmax(y))ᵀ."""
    return -dot(t, stable_log_softmax(_row(y)))


def stable_softmax_cross_entropy_loss_gradient(y: Matrix, t: Matrix) -> Matrix:
    """(t 1) softmax(y) - t."""
    return hadamard(elements_sum(t), stable_softmax(_row(y)).reshape(y.shape)) - t


def stable_softmax_cross_entropy_loss_gradient_one_hot(y: Matrix, t: Matrix) -> Matrix:
    """softmax(y) - t: the gradient if t sums to 1."""
    return stable_softmax(_row(y)).reshape(y.shape) - t


def Stable_softmax_cross_entropy_loss(Y: Matrix, T: Matrix) -> Any:
    """-1ᵀ (T ⊙ log(softmax(Y))) 1."""
    return -elements_sum(hadamard(T, stable_log_softmax(Y)))


def Stable_softmax_cross_entropy_loss_gradient(Y: Matrix, T: Matrix) -> Matrix:
    """softmax(Y) ⊙ (T 1 1ᵀ) - T."""
    _, K = Y.shape
    return hadamard(stable_softmax(Y), column_repeat(rows_sum(T), K)) - T


def Stable_softmax_cross_entropy_loss_gradient_one_hot(Y: Matrix, T: Matrix) -> Matrix:
    """softmax(Y) - T: the gradient if each row of T sums to 1."""
    return stable_softmax(Y) - T


softmax_cross_entropy_loss = stable_softmax_cross_entropy_loss
softmax_cross_entropy_loss_gradient = stable_softmax_cross_entropy_loss_gradient
softmax_cross_entropy_loss_gradient_one_hot = stable_softmax_cross_entropy_loss_gradient_one_hot
Softmax_cross_entropy_loss = Stable_softmax_cross_entropy_loss
Softmax_cross_entropy_loss_gradient = Stable_softmax_cross_entropy_loss_gradient
Softmax_cross_entropy_loss_gradient_one_hot = Stable_softmax_cross_entropy_loss_gradient_one_hot


def logistic_cross_entropy_loss(y: Matrix, t: Matrix) -> Any:
    """-t log(σ(y))ᵀ."""
    return -dot(t, log_sigmoid(y))


def logistic_cross_entropy_loss_gradient(y: Matrix, t: Matrix) -> Matrix:
    """t ⊙ σ(y) - t."""
    return hadamard(t, sigmoid(y)) - t


def Logistic_cross_entropy_loss(Y: Matrix, T: Matrix) -> Any:
    """-1ᵀ (T ⊙ log(σ(Y))) 1."""
    return -elements_sum(hadamard(T, log_sigmoid(Y)))


def Logistic_cross_entropy_loss_gradient(Y: Matrix, T: Matrix) -> Matrix:
    """T ⊙ σ(Y) - T."""
    return hadamard(T, sigmoid(Y)) - T


def negative_log_likelihood_loss(y: Matrix, t: Matrix) -> Any:
    """-log(y tᵀ)."""
    return -elements_sum(log(rows_sum(hadamard(_row(y), _row(t)))))


def negative_log_likelihood_loss_gradient(y: Matrix, t: Matrix) -> Matrix:
    """-t / (y tᵀ)."""
    return -hadamard(reciprocal(dot(y, t)), t)


def Negative_log_likelihood_loss(Y: Matrix, T: Matrix) -> Any:
    """-1ᵀ log((Y ⊙ T) 1)."""
    return -elements_sum(log(rows_sum(hadamard(Y, T))))


def Negative_log_likelihood_loss_gradient(Y: Matrix, T: Matrix) -> Matrix:
    """-T ⊘ ((Y ⊙ T) 1 1ᵀ)."""
    _, K = Y.shape
    return -divide(T, column_repeat(rows_sum(hadamard(Y, T)), K))


class LossFunction:
    """A loss of the outputs Y for the targets T, both N×K, and its gradient with respect to Y."""

    # The names of attributes that are needed to resume training.
    state: tuple[str, ...] = ()

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


class CrossEntropyLossFunction(LossFunction):
    """The cross entropy of Y and T: for outputs that are probabilities, such as those of a softmax layer."""

    def __call__(self, Y: Matrix, T: Matrix) -> Any:
        return Cross_entropy_loss(Y, T)

    def gradient(self, Y: Matrix, T: Matrix) -> Matrix:
        return Cross_entropy_loss_gradient(Y, T)

    def __repr__(self) -> str:
        return "CrossEntropy"


class StableSoftmaxCrossEntropyLossFunction(LossFunction):
    """The cross entropy of softmax(Y) and T: for outputs that are logits, such as those of a linear layer."""

    def __call__(self, Y: Matrix, T: Matrix) -> Any:
        return Stable_softmax_cross_entropy_loss(Y, T)

    def gradient(self, Y: Matrix, T: Matrix) -> Matrix:
        return Stable_softmax_cross_entropy_loss_gradient(Y, T)

    def __repr__(self) -> str:
        return "SoftmaxCrossEntropy"


class SoftmaxCrossEntropyLossFunction(StableSoftmaxCrossEntropyLossFunction):
    """The same loss under the name without `Stable`."""


class LogisticCrossEntropyLossFunction(LossFunction):
    """The cross entropy of σ(Y) and T: for outputs that are logits, and targets that are one-hot."""

    def __call__(self, Y: Matrix, T: Matrix) -> Any:
        return Logistic_cross_entropy_loss(Y, T)

    def gradient(self, Y: Matrix, T: Matrix) -> Matrix:
        return Logistic_cross_entropy_loss_gradient(Y, T)

    def __repr__(self) -> str:
        return "LogisticCrossEntropy"


class NegativeLogLikelihoodLossFunction(LossFunction):
    """Minus the logarithm of the probability of the targets: for outputs that are probabilities."""

    def __call__(self, Y: Matrix, T: Matrix) -> Any:
        return Negative_log_likelihood_loss(Y, T)

    def gradient(self, Y: Matrix, T: Matrix) -> Matrix:
        return Negative_log_likelihood_loss_gradient(Y, T)

    def __repr__(self) -> str:
        return "NegativeLogLikelihood"


LOSSES: Registry[LossFunction] = Registry("loss function")
LOSSES.add("SquaredError", SquaredErrorLossFunction)
LOSSES.add("CrossEntropy", CrossEntropyLossFunction)
LOSSES.add("SoftmaxCrossEntropy", StableSoftmaxCrossEntropyLossFunction)
LOSSES.add("LogisticCrossEntropy", LogisticCrossEntropyLossFunction)
LOSSES.add("NegativeLogLikelihood", NegativeLogLikelihoodLossFunction)


def parse_loss_function(text: str) -> LossFunction:
    """The loss function that a specification such as `SoftmaxCrossEntropy` names.

    Raises:
        NervaError: if the specification cannot be parsed, or names no known loss.
    """
    return LOSSES.parse(text)
