"""The code of a compiled step: calls of NumPy and of the BLAS that write into arrays which are allocated once."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.matrix_operations import numpy_blas as blas
from nerva.matrix_operations.numpy_graph import VIEWS, Graph, is_elementwise, is_large
from nerva.matrix_operations.numpy_trace import Traced, is_matrix
from nerva.matrix_operations.shared import NotCompilableError

Array = npt.NDArray[Any]

# Element-wise operations on large matrices are computed in parts of _PART elements. The numbers here were measured on a
# CPU with 2 MB of second-level cache.
_PART = 1 << 16
# The product of an update is computed in parts as well, together with the rest of the update, if the BLAS is as fast in
# parts and the batch has at most _SMALL_BATCH samples.
_PART_OF_PRODUCT = 150_000  # elements
_MIN_ROWS_OF_PRODUCT = 128
_SMALL_BATCH = 256


def _order(X: Array) -> str:
    """The order of a matrix: C for row order, and F for column order."""
    return "F" if X.ndim == 2 and X.flags.f_contiguous and not X.flags.c_contiguous else "C"


class Program:
    """The code of a compiled step, and the arrays that it uses. `numpy_compiler` makes a function of the code."""

    def __init__(self, graph: Graph, values: dict[Traced, Any], outputs: dict[Traced, Traced]) -> None:
        """
        Args:
            graph: the operations.
            values: the array of each input or, for a number, its variable in the function.
            outputs: each new value that is computed, and the input that it replaces.
        """
        self.graph = graph
        self.values = values
        self.names: dict[str, Any] = {}  # the global names of the function
        self.before: list[str] = []  # lines that run once in an epoch
        self.lines: list[str] = []  # lines that run for each batch
        self._outputs = outputs
        self._root = {node: node for node in values}  # the result whose memory a result shares
        self._owned: dict[Traced, Array] = {}  # the temporary arrays, by the result that they hold
        self._free: dict[Any, list[Array]] = {}  # temporary arrays without a result, by shape, dtype and order
        self._changing = {old for old in outputs.values() if old.is_number}  # numbers that change in each step
        # Arrays without dimensions, and arguments of the BLAS, by number and dtype.
        self._number_arrays: dict[Any, Any] = {}
        self._name_of: dict[int, str] = {}

        position = 0
        while position < len(graph.nodes):
            group, order = self._group(position)
            if len(group) > 1:  # a single operation gains nothing from parts
                self._emit_group(group, order)
                position = graph.position[group[-1]] + 1
            else:
                self._emit(graph.nodes[position])
                position += 1
            self._release(position)
        for new, old in outputs.items():
            if not old.is_number and values[new] is not values[old]:
                if any(self._root[new] is x for x in outputs.values()):
                    raise NotCompilableError
                self._call(np.copyto, values[old], values[new])

    # --- names and lines ------------------------------------------------------------------------------------------

    def _name(self, value: Any) -> str:
        """The name of a function or an array."""
        if id(value) not in self._name_of:
            kind = "gemm" if isinstance(value, partial) else getattr(value, "__name__", "")
            name = self._name_of[id(value)] = f"{kind if kind.isidentifier() else 'a'}_{len(self.names)}"
            self.names[name] = value
        return self._name_of[id(value)]

    def _call(self, function: Any, *arguments: Any, **options: Any) -> None:
        """Add a call; see `_line`."""
        self.lines.append(self._line(function, *arguments, **options))

    def _line(self, function: Any, *arguments: Any, **options: Any) -> str:
        """The code of a call. Arguments are arrays, or texts that stand in the code as they are."""

        def text(x: Any) -> str:
            return x if isinstance(x, str) else self._name(x)

        listed = [text(x) for x in arguments] + [f"{key}={text(x)}" for key, x in options.items()]
        return f"{self._name(function)}({', '.join(listed)})"

    # --- numbers ----------------------------------------------------------------------------------------------------

    def _emit_number(self, node: Traced) -> None:
        arguments = [self._number_text(x) for x in node.arguments]
        if any(x in self._changing or not x.is_number for x in node.operands):
            self._changing.add(node)
        self.values[node] = f"n{self.graph.position[node]}"
        function = _norm if node.function == "norm" else node.function
        self._lines_for(node).append(f"{self.values[node]} = {self._name(function)}({', '.join(arguments)})")

    def _number_text(self, x: Any) -> str:
        """An argument of a function of numbers, in the code."""
        if isinstance(x, Traced):
            text: str = self.values[x] if x.is_number else self._name(self.values[x])
            return text
        return repr(x) if type(x) in (int, float) and math.isfinite(x) else self._name(x)

    def _lines_for(self, number: Any) -> list[str]:
        return self.lines if number in self._changing else self.before

    def _as_array(self, x: Any, dtype: Any, function: Callable[[float], float] = float) -> Array:
        """A number, or a function of it, as an array without dimensions."""
        key = (x if isinstance(x, Traced) else repr(x), np.dtype(dtype), function)
        if key not in self._number_arrays:
            array = self._number_arrays[key] = np.array(0 if isinstance(x, Traced) else function(x), dtype)
            if isinstance(x, Traced):
                self._lines_for(x).append(f"{self._name(array)}[()] = {self._name(function)}({self.values[x]})")
        found: Array = self._number_arrays[key]
        return found

    def _as_c_number(self, x: Any, dtype: Any) -> Any:
        """A number as an argument of the BLAS."""
        key = (x if isinstance(x, Traced) else repr(x), np.dtype(dtype), "BLAS")
        if key not in self._number_arrays:
            number = self._number_arrays[key] = blas.number(0 if isinstance(x, Traced) else x, dtype)
            if isinstance(x, Traced):
                self._lines_for(x).append(f"{self._name(number)}.value = {self.values[x]}")
        return self._number_arrays[key]

    # --- arrays -----------------------------------------------------------------------------------------------------

    def _allocate(self, node: Traced, order: Any = "C") -> Array:
        """An array for a result: a free array of its shape, dtype and order, or a new one."""
        free = self._free.get((node.shape, node.dtype, order))
        array: Array = free.pop() if free else np.zeros(node.shape, node.dtype, order)
        self._owned[node] = array
        return self._holds(node, array)

    def _holds(self, node: Traced, array: Array) -> Array:
        self.values[node] = array
        self._root[node] = node
        return array

    def _release(self, position: int) -> None:
        """Free the arrays of results whose last use is before a position."""
        for node in [node for node in self._owned if self.graph.last_use[node] < position]:
            array = self._owned.pop(node)
            self._free.setdefault((array.shape, array.dtype, _order(array)), []).append(array)

    def _may_overwrite(self, node: Traced, operand: Traced) -> bool:
        """Whether an operation may write its result into the array of an operand."""
        if not isinstance(node.function, np.ufunc) and node.function != "accumulate":
            return False
        # A product must not overwrite its factors. An element-wise operation must not overwrite an array that it also
        # reads through a view, such as the transposed matrix.
        others = node.operands[1:] if node.function == "accumulate" else [x for x in node.operands if x is not operand]
        is_read = any(self._root.get(x) is operand for x in others)
        return self.graph.last_use[operand] == self.graph.position[node] and not is_read

    def _array_of_variable(self, node: Traced) -> Array | None:
        """The array of the variable whose new value this is, if its old value is not needed any more."""
        old = self._outputs.get(node)
        if old is None:
            return None
        dead = self.graph.last_use[old] < self.graph.position[node]
        array: Array = self.values[old]
        return array if dead or self._may_overwrite(node, old) else None

    def _result(self, node: Traced, order: str = "", default: str = "C") -> Array:
        """The array for the result of an operation: that of an operand if possible.

        Args:
            node: the operation. It is no product, and no view.
            order: the order that the result should have. Without it, it is that of an operand.
            default: the order if no operand has the shape of the result.
        """
        array = self._array_of_variable(node)
        if array is not None and order in ("", _order(array)):
            return self._holds(node, array)
        similar = [x for x in node.operands if x.shape == node.shape and isinstance(self.values.get(x), np.ndarray)]
        for x in similar:
            if x in self._owned and x.dtype == node.dtype and self._may_overwrite(node, x):
                self._owned[node] = self._owned.pop(x)
                return self._holds(node, self._owned[node])
        orders = [_order(self.values[x]) for x in similar if 0 not in self.values[x].strides]
        return self._allocate(node, order or (orders[0] if orders else default))

    # --- operations -------------------------------------------------------------------------------------------------

    def _emit(self, node: Traced) -> None:
        """Add the code of an operation."""
        function = node.function
        if node.is_number:
            self._emit_number(node)
        elif function in VIEWS:
            (x,) = node.operands
            self._root[node] = self._root[x]
            self.values[node] = _view(self.values[x], node)
        elif is_elementwise(node):
            self.lines += self._elementwise(node, self._result(node), self.values.__getitem__)
        elif function == "accumulate":
            self._emit_accumulate(node)
        elif function == "product":
            self._emit_product(1, node.arguments, 0, self._allocate(node, self._product_order(node.arguments)))
        elif function == "reduce":
            self._emit_reduce(node)
        elif function == "full":
            out = self._allocate(node)
            self._call(np.copyto, out, repr(node.detail))
        elif function == "random":
            rng, _ = node.detail
            self._call(rng.random, "None", np.float32, self._allocate(node))
        elif function == "vector":
            out = self._result(node)
            for i, x in enumerate(node.arguments):
                self._call(np.copyto, out[i : i + 1].reshape(()), self._operand(x, node.dtype))
        else:
            raise NotCompilableError

    def _operand(self, x: Any, dtype: Any) -> Array:
        return self.values[x] if is_matrix(x) else self._as_array(x, dtype)

    def _elementwise(self, node: Traced, out: Any, value: Callable[[Traced], Any]) -> list[str]:
        """The code of an element-wise operation.

        Args:
            node: the operation.
            out: the array of the result, or its name.
            value: the array of an operand, or its name.
        """
        # Numbers take the dtype of the widest real operand, so that they do not change the dtype of the result.
        dtypes = [x.dtype for x in node.operands if not x.is_number and x.dtype != bool]
        dtype = max(dtypes, key=lambda d: d.itemsize, default=np.dtype(float))

        def operand(x: Any) -> Any:
            return value(x) if is_matrix(x) else self._as_array(x, dtype)

        function, arguments = node.function, node.arguments
        if function == "cast":
            return [self._line(np.copyto, out, operand(arguments[0]), "'unsafe'")]
        if function == "where":
            condition, X, Y = map(operand, arguments)
            return [self._line(np.copyto, out, Y), self._line(np.copyto, out, X, where=condition)]
        if function == "ufunc where":
            ufunc, default = node.detail
            condition, *operands = map(operand, arguments)
            return [self._line(np.copyto, out, repr(default)), self._line(ufunc, *operands, out, where=condition)]
        if function is np.true_divide and not is_matrix(arguments[1]):
            # Multiplication takes less time than division.
            reciprocal = self._as_array(arguments[1], dtype, _reciprocal)
            return [self._line(np.multiply, operand(arguments[0]), reciprocal, out)]
        if function is np.power and not isinstance(arguments[1], Traced) and arguments[1] == 2:
            return [self._line(np.square, operand(arguments[0]), out)]
        if function in (np.maximum, np.minimum):
            return [
                self._line(function, *map(operand, arguments), out=out)
            ]  # NumPy deprecates a third positional argument
        return [self._line(function, *map(operand, arguments), out)]

    def _product_order(self, factors: Any) -> str:
        """Row order for DYᵀX, whose rows are outputs; column order for products whose rows are samples.

        This is a guess from the form of the product. A wrong guess costs only time.
        """
        return "C" if factors[0].function == "transpose" else "F"

    def _emit_product(self, b: Any, factors: Any, a: Any, out: Array) -> None:
        """out := b PQ + a out."""
        P, Q = (self._contiguous(self.values[x]) for x in factors)
        self._call(blas.product(self._as_c_number(b, out.dtype), P, Q, self._as_c_number(a, out.dtype), out))

    def _contiguous(self, X: Array) -> Array:
        """X, or a copy of it if it is not contiguous, because its rows or columns are repeated."""
        if X.flags.forc:
            return X
        copy = np.empty_like(X, order="C")
        self._call(np.copyto, copy, X)
        return copy

    def _emit_reduce(self, node: Traced) -> None:
        (x,) = node.operands
        X, (ufunc, axis) = self.values[x], node.detail
        out = self._result(node)
        if ufunc is np.add and X.ndim == 2 and axis is not None and X.flags.forc and X.dtype.char in "fd":
            # 1ᵀX and X1 take less time than NumPy's sum.
            self._call(np.matmul, X.T if axis == 0 else X, np.ones(X.shape[axis], X.dtype), out)
        else:
            self._call(ufunc.reduce, X, repr(axis), "None", out)

    def _emit_accumulate(self, node: Traced) -> None:
        X, *factors, a, b = node.arguments
        old = self.values[X]
        out = self._result(node, default=self._product_order(factors))
        if out is not old:
            self._call(np.copyto, out, old)
        self._emit_product(b, factors, a, out)

    # --- operations in parts ------------------------------------------------------------------------------------------

    def _group(self, start: int) -> tuple[list[Traced], str]:
        """Operations from a position on that are computed part by part, and the order of their matrices.

        They are element-wise, or updates with a product, on large matrices of the same shape and order. Numbers between
        them that do not depend on them are left out, and computed before.
        """
        group: dict[Traced, None] = {}
        read_whole: set[Traced] = set()  # matrices that a part reads as a whole: no member may overwrite them
        shape, order = self.graph.nodes[start].shape, ""
        if not is_large(self.graph.nodes[start]):
            return [], ""
        for node in self.graph.nodes[start:]:
            if node.is_number and not any(x in group for x in node.operands):
                continue
            matrices = [x for x in node.operands if x.shape]
            if node.function == "accumulate":
                X, *factors = matrices
                if any(x in group for x in factors) or not self._has_fast_parts(node):
                    break
                matrices = [X]
            elif not is_elementwise(node):
                break
            if any(x.shape != shape for x in (node, *matrices)):
                break
            # Repeated rows and columns may be of any order.
            given = [self.values[x] for x in matrices if x not in group]
            full = [X for X in given if 0 not in X.strides]
            order = order or "".join(map(_order, full[:1]))
            contiguous = all(X.flags.forc for X in full)  # in any order
            if not order or not contiguous or any(_order(X) != order for X in full):
                break
            by_part = {x for x in matrices if x in group or 0 not in self.values[x].strides}
            read_whole |= {self._root[x] for x in node.operands if x not in by_part and x in self._root}
            if self._outputs.get(node) in read_whole or any(self._root.get(x) in read_whole for x in by_part):
                break
            group[node] = None
        return list(group), order

    def _has_fast_parts(self, node: Traced) -> bool:
        """Whether an operation is X := aX + bPQ, in place, and takes no longer in parts."""
        library = blas.find()
        if library is None or not library.has_fast_parts:
            return False
        X, P, Q, *_ = node.operands
        in_place = self._outputs.get(node) is X and self._may_overwrite(node, X)
        is_small = P.shape[1] <= _SMALL_BATCH
        return in_place and is_small and self.values[P].flags.c_contiguous and self.values[Q].flags.forc

    def _emit_group(self, group: list[Traced], order: str) -> None:
        """Add a loop over the parts of matrices. A part has some rows, or some columns in column order."""
        graph, members = self.graph, set(group)
        for node in graph.nodes[graph.position[group[0]] : graph.position[group[-1]]]:
            if node.is_number:
                self._emit_number(node)
        length, *row = group[0].shape[::-1] if order == "F" else group[0].shape
        rows = max(1, _PART // math.prod(row))
        if any(node.function == "accumulate" for node in group):
            rows = max(_MIN_ROWS_OF_PRODUCT, _PART_OF_PRODUCT // math.prod(row))
        loop = PartLoop(length, rows)
        names: dict[Traced, str] = {}  # of the part of each matrix
        temporary: dict[Traced, str] = {}
        lines: list[str] = []

        def part(x: Traced) -> Any:
            """The name of the part of a matrix, or the array of a number."""
            if not x.shape:
                return self.values[x]
            if x not in names:
                names[x] = loop.add_matrix(self.values[x].T if order == "F" else self.values[x])
            return names[x]

        for node in group:
            if node.function == "accumulate":
                X, P, Q, a, b = node.arguments
                out = self._holds(node, self.values[X])
                beta, alpha = self._as_c_number(a, node.dtype), self._as_c_number(b, node.dtype)
                lines.append(
                    loop.add([blas.product(alpha, self.values[P][i], self.values[Q], beta, out[i]) for i in loop.parts])
                    + "()"
                )
                continue
            if node in self._outputs or not all(user in members for user in graph.users[node]):
                self._result(node, order)
            else:
                mine = [x for x in node.operands if x in temporary and x.dtype == node.dtype]
                overwritten = [x for x in mine if self._may_overwrite(node, x)]
                names[node] = temporary[node] = (
                    temporary.pop(overwritten[0]) if overwritten else loop.add_temporary(row, node.dtype)
                )
            lines += self._elementwise(node, part(node), part)
            for x in [x for x in temporary if graph.last_use[x] <= graph.position[node]]:
                loop.free(temporary.pop(x), x.dtype)
        self.lines.append(f"for {', '.join(loop.columns)} in {self._name(loop.turns())}:")
        self.lines += [f"    {line}" for line in lines]


class PartLoop:
    """A loop over the parts of matrices: the names in it, and what they stand for in each turn."""

    def __init__(self, length: int, rows: int) -> None:
        """
        Args:
            length: the number of rows of the matrices.
            rows: the number of rows of a part; the last part may have fewer.
        """
        self.parts = [slice(start, min(start + rows, length)) for start in range(0, length, rows)]
        self.columns: dict[str, list[Any]] = {}
        self._free: dict[Any, list[str]] = {}

    def add(self, values: list[Any]) -> str:
        """Give a name to one value per turn."""
        name = f"x{len(self.columns)}"
        self.columns[name] = values
        return name

    def add_matrix(self, X: Array) -> str:
        """Give a name to the parts of a matrix."""
        return self.add([X[part] for part in self.parts])

    def add_temporary(self, row: list[int], dtype: Any) -> str:
        """Give a name to an array for a part, whose rows have a given shape. It may be one that was free."""
        if self._free.get(dtype):
            return self._free[dtype].pop()
        X = np.empty((self.parts[0].stop, *row), dtype)
        return self.add([X[: part.stop - part.start] for part in self.parts])

    def free(self, name: str, dtype: Any) -> None:
        """Let the array of a temporary part be used again."""
        self._free.setdefault(dtype, []).append(name)

    def turns(self) -> list[tuple[Any, ...]]:
        """The values of all names in each turn."""
        return list(zip(*self.columns.values(), strict=True))


def _reciprocal(x: float) -> float:
    return 1 / x if x else math.copysign(math.inf, x)


def _norm(X: Array) -> float:
    return float(np.linalg.norm(X))


def _view(X: Array, node: Traced) -> Array:
    if node.function == "transpose":
        return X.T
    if node.function == "broadcast":
        return np.broadcast_to(X, node.shape)
    if node.function == "element":
        return X[node.detail : node.detail + 1].reshape(())
    if not X.flags.c_contiguous:
        raise NotCompilableError
    return X.reshape(node.shape)
