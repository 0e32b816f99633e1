"""Softmax and log-softmax of each row, with their Jacobians.

The plain forms are the usual equations, which overflow for large inputs. The stable forms first subtract the maximum of
each row, which makes no difference in exact arithmetic.
"""

from nerva.matrix_operations import (
    Diag,
    Matrix,
    column_repeat,
    exp,
    hadamard,
    identity,
    is_row_vector,
    log,
    product,
    reciprocal,
    row_repeat,
    rows_max,
    rows_sum,
)


def softmax(X: Matrix) -> Matrix:
    """eˣ divided by the sum of eˣ over its row; X and the result are N×K."""
    _, K = X.shape
    E = exp(X)
    return hadamard(E, column_repeat(reciprocal(rows_sum(E)), K))


def softmax_jacobian(x: Matrix) -> Matrix:
    """The K×K Jacobian of softmax at one 1×K row: Diag(y) - yᵀy with y = softmax(x)."""
    return _jacobian_of_softmax(softmax(_row(x)))


def stable_softmax(X: Matrix) -> Matrix:
    """The same as softmax, without overflow."""
    _, K = X.shape
    E = exp(X - column_repeat(rows_max(X), K))
    return hadamard(E, column_repeat(reciprocal(rows_sum(E)), K))


def stable_softmax_jacobian(x: Matrix) -> Matrix:
    """The same as softmax_jacobian, without overflow."""
    return _jacobian_of_softmax(stable_softmax(_row(x)))


def log_softmax(X: Matrix) -> Matrix:
    """The logarithm of softmax; X and the result are N×K."""
    _, K = X.shape
    return X - column_repeat(log(rows_sum(exp(X))), K)


def log_softmax_jacobian(x: Matrix) -> Matrix:
    """The K×K Jacobian of log_softmax at one 1×K row: 𝕀 - 1ᵀ softmax(x)."""
    return _jacobian_of_log_softmax(softmax(_row(x)))


def stable_log_softmax(X: Matrix) -> Matrix:
    """The same as log_softmax, without overflow."""
    _, K = X.shape
    Y = X - column_repeat(rows_max(X), K)
    return Y - column_repeat(log(rows_sum(exp(Y))), K)


def stable_log_softmax_jacobian(x: Matrix) -> Matrix:
    """The same as log_softmax_jacobian, without overflow."""
    return _jacobian_of_log_softmax(stable_softmax(_row(x)))


def _row(x: Matrix) -> Matrix:
    if not is_row_vector(x):
        raise ValueError(f"a Jacobian is taken at one row, a vector or a 1×K matrix, not at shape {x.shape}")
    return x.reshape(1, -1)


def _jacobian_of_softmax(y: Matrix) -> Matrix:
    return Diag(y) - product(y.T, y)


def _jacobian_of_log_softmax(y: Matrix) -> Matrix:
    _, K = y.shape
    return identity(K, y.dtype) - row_repeat(y, K)


class SoftmaxFunction:
    """softmax, with its Jacobian."""

    def __call__(self, X: Matrix) -> Matrix:
        return softmax(X)

    def jacobian(self, X: Matrix) -> Matrix:
        """The K×K Jacobian at one 1×K row."""
        return softmax_jacobian(X)


class StableSoftmaxFunction:
    """stable_softmax, with its Jacobian."""

    def __call__(self, X: Matrix) -> Matrix:
        return stable_softmax(X)

    def jacobian(self, X: Matrix) -> Matrix:
        """The K×K Jacobian at one 1×K row."""
        return stable_softmax_jacobian(X)


class LogSoftmaxFunction:
    """log_softmax, with its Jacobian."""

    def __call__(self, X: Matrix) -> Matrix:
        return log_softmax(X)

    def jacobian(self, X: Matrix) -> Matrix:
        """The K×K Jacobian at one 1×K row."""
        return log_softmax_jacobian(X)


class StableLogSoftmaxFunction:
    """stable_log_softmax, with its Jacobian."""

    def __call__(self, X: Matrix) -> Matrix:
        return stable_log_softmax(X)

    def jacobian(self, X: Matrix) -> Matrix:
        """The K×K Jacobian at one 1×K row."""
        return stable_log_softmax_jacobian(X)
