"""Matrix operations: their values and dtypes."""

import numpy as np
import pytest

from nerva import matrix_operations as mo

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -6.0]])
S = X[:, :2]
x = np.array([1.0, 2.0, 4.0])

OPERATIONS = {
    "product": (lambda X: mo.product(X, X.T), X @ X.T),
    "hadamard": (lambda X: mo.hadamard(X, X), X**2),
    "diag": (lambda X: mo.diag(X[:, :2]), [1, 4]),
    "Diag": (lambda X: mo.Diag(X[0]), [[1, 0, 0], [0, -2, 0], [0, 0, 3]]),
    "elements_sum": (mo.elements_sum, 0.5),
    "columns_sum": (mo.columns_sum, [1.5, 2, -3]),
    "rows_sum": (mo.rows_sum, [2, -1.5]),
    "columns_max": (mo.columns_max, [1, 4, 3]),
    "rows_max": (mo.rows_max, [3, 4]),
    "columns_mean": (mo.columns_mean, [0.75, 1, -1.5]),
    "rows_mean": (mo.rows_mean, [2 / 3, -0.5]),
    "row_repeat": (lambda X: mo.row_repeat(X[0], 2), [[1, -2, 3], [1, -2, 3]]),
    "column_repeat": (lambda X: mo.column_repeat(X[:, 0], 3), [[1, 1, 1], [0.5, 0.5, 0.5]]),
    "apply": (lambda X: mo.apply(np.sin, X), np.sin(X)),
    "exp": (mo.exp, np.exp(X)),
    "log": (lambda X: mo.log(mo.abs(X)), np.log(np.abs(X))),
    "tanh": (mo.tanh, np.tanh(X)),
    "sigmoid": (mo.sigmoid, 1 / (1 + np.exp(-X))),
    "log_sigmoid": (mo.log_sigmoid, np.log(1 / (1 + np.exp(-X)))),
    "reciprocal": (mo.reciprocal, 1 / X),
    "square": (mo.square, X**2),
    "sqrt": (lambda X: mo.sqrt(mo.abs(X)), np.sqrt(np.abs(X))),
    "inv_sqrt": (lambda X: mo.inv_sqrt(mo.abs(X)), 1 / np.sqrt(np.abs(X) + 1e-7)),
    "clip": (lambda X: mo.clip(X, -1, 2), [[1, -1, 2], [0.5, 2, -1]]),
    "maximum": (lambda X: mo.maximum(X, 0), [[1, 0, 3], [0.5, 4, 0]]),
    "where": (lambda X: mo.where(mo.greater(X, 0), X, 0.25, like=X), [[1, 0.25, 3], [0.5, 4, 0.25]]),
    "indicator": (lambda X: mo.indicator(mo.less(X, 1), like=X), [[0, 1, 0], [1, 0, 1]]),
    "zeros_like": (mo.zeros_like, np.zeros((2, 3))),
    "dot": (lambda X: mo.dot(X[0], X[1]), -25.5),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPERATIONS)
def test_value_and_dtype(name: str, dtype: type) -> None:
    operation, expected = OPERATIONS[name]
    result = operation(X.astype(dtype))
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_constants_are_float32_by_default() -> None:
    for constant in (mo.zeros(2), mo.zeros(2, 3), mo.ones(2, 3), mo.identity(3)):
        assert constant.dtype == np.float32
    assert mo.zeros(2, dtype=np.float64).dtype == np.float64
    np.testing.assert_array_equal(mo.identity(2), [[1, 0], [0, 1]])
    assert mo.ones(2, 3).shape == (2, 3)
    assert mo.zeros(2).shape == (2,)


def test_repeats_are_views() -> None:
    assert np.shares_memory(mo.row_repeat(x, 1000), x)
    assert np.shares_memory(mo.column_repeat(x, 1000), x)


def test_repeats_refuse_matrices() -> None:
    with pytest.raises(ValueError, match=r"row_repeat .*\(2, 3\)"):
        mo.row_repeat(X, 2)
    with pytest.raises(ValueError, match=r"column_repeat .*\(2, 3\)"):
        mo.column_repeat(X, 2)


def test_kinds_of_vectors() -> None:
    assert mo.is_vector(x)
    assert not mo.is_vector(X)
    assert mo.is_row_vector(x[None, :])
    assert mo.is_column_vector(x[:, None])
    assert not mo.is_row_vector(X)
    assert not mo.is_column_vector(X)
    assert mo.is_square(S)
    assert not mo.is_square(X)
    assert mo.vector_size(x) == 3


def test_sigmoid_of_extreme_inputs() -> None:
    extreme = np.array([-1000, 1000], dtype=np.float32)
    np.testing.assert_array_equal(mo.sigmoid(extreme), [0, 1])
    np.testing.assert_array_equal(mo.log_sigmoid(extreme), [-1000, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_that_avoid_the_c_library_are_accurate(dtype: type) -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.standard_normal(2000) * scale for scale in (1e-6, 1e-3, 0.1, 1, 5, 30)]).astype(dtype)
    exact = X.astype(np.longdouble)
    with np.errstate(over="ignore"):
        pairs = (
            (mo.expm1(X), np.expm1(exact)),
            (mo.softplus(X), np.logaddexp(0, exact)),
            (mo.log_sigmoid(X), -np.logaddexp(0, -exact)),
        )
    for computed, expected in pairs:
        assert computed.dtype == dtype
        representable = (abs(expected) > np.finfo(dtype).tiny) & (abs(expected) < np.finfo(dtype).max)
        np.testing.assert_allclose(computed[representable], expected[representable], rtol=4 * np.finfo(dtype).eps)


def test_exponentials_of_extreme_inputs() -> None:
    X = np.array([-np.inf, -1000, 0, 1000, np.inf, np.nan], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(mo.expm1(X), [-1, -1, 0, np.inf, np.inf, np.nan])
    np.testing.assert_allclose(mo.softplus(X), [0, 0, np.log(2), 1000, np.inf, np.nan])
    np.testing.assert_allclose(mo.log_sigmoid(X), [-np.inf, -1000, -np.log(2), 0, 0, np.nan])


@pytest.mark.parametrize("a", [1, 0.9, 0])
@pytest.mark.parametrize("shape", [(3,), (300, 200), (1,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale_add_works_in_place(a: float, shape: tuple[int, ...], dtype: type) -> None:
    rng = np.random.default_rng(0)
    A, B = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    expected = a * A + (-0.1) * B
    result = mo.scale_add(a, A, -0.1, B)
    assert result is A
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == dtype


def test_scale_add_of_views_that_are_not_contiguous() -> None:
    A = np.arange(12.0).reshape(3, 4)
    expected = 2 * A.T + A.T
    np.testing.assert_array_equal(mo.scale_add(2, A.T, 1, A.T.copy()), expected)


def test_assign_keeps_the_array_if_it_can() -> None:
    A = np.zeros((2, 2), np.float32)
    B = np.ones((2, 2), np.float32)
    assert mo.assign(A, B) is A
    np.testing.assert_array_equal(A, B)
    assert mo.assign(A, B.astype(np.float64)).dtype == np.float64
    assert mo.assign(A, np.ones((3, 3), np.float32)).shape == (3, 3)
