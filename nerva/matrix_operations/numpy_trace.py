"""Traced matrices: they record how they are computed instead of being computed.

A training step that is called with traced matrices leaves a list of operations. `numpy_program` makes a function of it.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from nerva.matrix_operations.shared import NotCompilableError

# The Python operator for each ufunc, for operations on numbers only.
_OF_NUMBERS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.true_divide: operator.truediv,
    np.power: operator.pow,
    np.negative: operator.neg,
}


class Trace:
    """The operations of a step, in their order. Equal operations are recorded once.

    An operation is a ufunc of NumPy, a function of Python numbers, or one of these names:

    - product (X, Y): the matrix product.
    - transpose, reshape, broadcast, cast (X): to the shape or dtype of the result.
    - element (x): the element of a vector that `detail` gives.
    - reduce (X): `detail` has the ufunc and the axis.
    - norm (X): a number.
    - where (condition, X, Y).
    - ufunc where (condition, *operands): `detail` has the ufunc, and the result where the condition is false.
    - full (): the number that `detail` gives, everywhere.
    - random (): `detail` has the generator, and a number that makes the operation unique.
    - vector (*elements).
    - variable, inputs, targets, eta (): the arguments of the step.
    - accumulate (X, P, Q, a, b): aX + bPQ. Only the compiler makes it.
    """

    def __init__(self) -> None:
        self.nodes: list[Traced] = []
        self._node_of: dict[Any, Traced] = {}

    def record(self, function: Any, arguments: tuple[Any, ...], shape: Any, dtype: Any, detail: Any = None) -> "Traced":
        """The result of an operation.

        Args:
            function: the operation.
            arguments: traced matrices and numbers, and Python numbers.
            shape: the shape of the result.
            dtype: its dtype; None for a Python number.
            detail: see above.
        """
        # The text of a number tells 0.0 from -0.0, and 1 from 1.0.
        operands = tuple(id(x) if isinstance(x, Traced) else repr(x) for x in arguments)
        key = (function, operands, tuple(shape), dtype, detail)
        if key not in self._node_of:
            self._node_of[key] = Traced(self, function, arguments, tuple(shape), dtype, detail)
            self.nodes.append(self._node_of[key])
        return self._node_of[key]


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """The result of an operation: a matrix or, with `dtype=None`, a Python number.

    NumPy's functions and Python's operators accept it. An operation that needs the value raises a NotCompilableError.
    """

    def __init__(
        self, trace: Trace, function: Any, arguments: tuple[Any, ...], shape: tuple[int, ...], dtype: Any, detail: Any
    ) -> None:
        self.trace = trace
        self.function = function
        self.arguments = arguments
        self.shape = shape
        self.dtype = dtype
        self.detail = detail

    __hash__ = object.__hash__  # == records a comparison

    @property
    def is_number(self) -> bool:
        """Whether it stands for a Python number."""
        return self.dtype is None

    @property
    def operands(self) -> "list[Traced]":
        """The arguments that are traced."""
        return [x for x in self.arguments if isinstance(x, Traced)]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def T(self) -> "Traced":
        """The transposed matrix."""
        return self.trace.record("transpose", (self,), self.shape[::-1], self.dtype)

    def reshape(self, *shape: Any) -> "Traced":
        """The same elements in another shape."""
        if isinstance(shape[0], tuple):
            (shape,) = shape
        known = math.prod(n for n in shape if n >= 0)
        return self.trace.record("reshape", (self,), [self.size // known if n < 0 else n for n in shape], self.dtype)

    def astype(self, dtype: Any) -> "Traced":
        """The same elements in another dtype."""
        return self.trace.record("cast", (self,), self.shape, np.dtype(dtype))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> "Traced":
        if not isinstance(index, int) or self.ndim != 1 or not 0 <= index < len(self):
            raise NotCompilableError
        return self.trace.record("element", (self,), (), self.dtype, index)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotCompilableError

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NotCompilableError

    __array__ = __bool__ = __float__ = __int__ = __index__ = __setitem__ = __contains__ = _refuse

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = (), where: Any = True, **options: Any
    ) -> "Traced":
        is_plain_call = method == "__call__" and ufunc.nout == 1 and not options
        # A NumPy number may change the dtype of a matrix; Python's int and float do not.
        if not is_plain_call or not all(isinstance(x, Traced) or type(x) in (int, float) for x in inputs):
            raise NotCompilableError
        matrices = [x for x in inputs if is_matrix(x)]
        if not matrices:
            if ufunc not in _OF_NUMBERS:
                raise NotCompilableError
            return self.trace.record(_OF_NUMBERS[ufunc], inputs, (), None)
        if ufunc is np.matmul:
            return _product(*inputs)
        if any(x.dtype.kind not in "bf" for x in matrices):
            raise NotCompilableError  # integers together with Python's float become float64
        types = (x.dtype if is_matrix(x) else float if isinstance(x, Traced) else type(x) for x in inputs)
        *_, dtype = ufunc.resolve_dtypes((*types, None))
        if dtype.kind not in "bf":
            raise NotCompilableError
        shape = np.broadcast_shapes(*(x.shape for x in matrices))
        if where is True and not out:
            return self.trace.record(ufunc, inputs, shape, dtype)
        # `out` must come from zeros_like or ones_like. Its number is the result where the condition is false.
        if not (isinstance(where, Traced) and isinstance(out[0], Traced) and out[0].function == "full"):
            raise NotCompilableError
        return self.trace.record("ufunc where", (where, *inputs), shape, dtype, (ufunc, out[0].detail))

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> "Traced":
        if function not in _FUNCTIONS:
            raise NotCompilableError
        return _FUNCTIONS[function](*arguments, **options)


def is_matrix(x: Any) -> bool:
    """Whether x is a traced matrix, and not a number."""
    return isinstance(x, Traced) and not x.is_number


def _product(X: Traced, Y: Traced) -> Traced:
    if X.ndim != 2 or Y.ndim != 2 or X.dtype != Y.dtype or X.dtype.char not in "fd":
        raise NotCompilableError
    return X.trace.record("product", (X, Y), (X.shape[0], Y.shape[1]), X.dtype)


def _reduce(ufunc: np.ufunc) -> Callable[..., Traced]:
    def reduce(X: Traced, axis: int | None = None) -> Traced:
        if X.dtype.kind != "f" or axis not in (None, *range(X.ndim)):
            raise NotCompilableError
        shape = [] if axis is None else [n for i, n in enumerate(X.shape) if i != axis]
        return X.trace.record("reduce", (X,), shape, X.dtype, (ufunc, axis))

    return reduce


def _mean(X: Traced, axis: int) -> Any:
    return np.true_divide(_reduce(np.add)(X, axis), X.shape[axis])  # as NumPy computes it


def _broadcast(X: Traced, shape: tuple[int, ...]) -> Traced:
    return X.trace.record("broadcast", (X,), shape, X.dtype)


def _norm(X: Traced) -> Traced:
    return X.trace.record("norm", (X,), (), None)


def _full(value: float) -> Callable[[Traced], Traced]:
    return lambda X: X.trace.record("full", (), X.shape, X.dtype, value)


def where(condition: Traced, X: Any, Y: Any, dtype: Any = None) -> Traced:
    """X where the condition holds and Y elsewhere; with a dtype, X and Y may be numbers."""
    matrices = [x for x in (X, Y) if is_matrix(x)]
    dtypes = {x.dtype for x in matrices} | ({dtype} if dtype else set())
    shapes = {x.shape for x in matrices if x.shape}
    if not isinstance(condition, Traced) or len(dtypes) != 1 or shapes - {condition.shape}:
        raise NotCompilableError
    return condition.trace.record("where", (condition, X, Y), condition.shape, dtypes.pop())


_FUNCTIONS: dict[Any, Callable[..., Traced]] = {
    np.sum: _reduce(np.add),
    np.max: _reduce(np.maximum),
    np.mean: _mean,
    np.broadcast_to: _broadcast,
    np.linalg.norm: _norm,
    np.zeros_like: _full(0),
    np.ones_like: _full(1),
    np.where: where,
}
