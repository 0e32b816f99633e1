"""The compilation of a training step for NumPy.

The step is called once with traced matrices. What they record becomes a Python function of calls that write into arrays
which are allocated once. This saves what a step of NumPy costs beside its arithmetic:

- Results go into the same arrays in each step, in place where the old values are not needed any more.
- Matrices with one row per sample are in column order. The BLAS is faster with it for nearly all products.
- X := aX + bPQ, the update of an optimizer, is one call of the BLAS, and so is PQ + 1b.
- Element-wise operations on large matrices are computed in parts that stay in the cache.
- Results that are not used are not computed.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva.matrix_operations import numpy_denormals
from nerva.matrix_operations.numpy_graph import Graph
from nerva.matrix_operations.numpy_program import Program
from nerva.matrix_operations.numpy_trace import Trace, Traced
from nerva.matrix_operations.shared import NotCompilableError

Array = npt.NDArray[Any]


class CompiledStep:
    """A step on batches of one size, for the arrays of one network."""

    def __init__(
        self, step: Callable[..., list[Any]], variables: Sequence[Any], X: Array, T: Array, batch_size: int
    ) -> None:
        """
        Args:
            step: the step as a function of the variables, the inputs, the targets and the learning rate.
            variables: the arrays and numbers that it changes. The compiled step changes the arrays in place.
            X: all inputs.
            T: all targets.
            batch_size: the number of samples in a batch.
        """
        self.arrays = _arrays(variables)
        self.X, self.T, self.batch_size = X, T, batch_size
        if any(not (v.flags.c_contiguous and v.flags.writeable) for v in self.arrays) or _overlap([*self.arrays, X, T]):
            raise NotCompilableError
        if any(not isinstance(v, np.ndarray) and type(v) not in (int, float) for v in variables):
            raise NotCompilableError  # a number of NumPy may change the dtype of a matrix
        trace = Trace()
        # One array may be two variables. They are one node then.
        old = [
            trace.record("variable", (), v.shape, v.dtype, id(v)) if isinstance(v, np.ndarray)
            else trace.record("variable", (), (), None, i) for i, v in enumerate(variables)
        ]  # fmt: skip
        x = trace.record("inputs", (), (batch_size, *X.shape[1:]), X.dtype)
        t = trace.record("targets", (), (batch_size, *T.shape[1:]), T.dtype)
        eta = trace.record("eta", (), (), None)
        try:
            new = step(list(old), x, t, eta)
        except Exception as error:
            # If it is an error of the step, and not of a function that does not know traced matrices, then the methods
            # of the layers raise it again.
            raise NotCompilableError from error
        outputs = _outputs(old, new)
        values = {
            **{node: f"v{i}" if node.is_number else v for i, (node, v) in enumerate(zip(old, variables, strict=True))},
            x: np.empty(x.shape, x.dtype),
            t: np.empty(t.shape, t.dtype),
            eta: "eta",
        }
        program = Program(Graph(trace, set(values), set(outputs)), values, outputs)
        self._numbers = [i for i, node in enumerate(old) if node.is_number]
        value_after = {before: program.values[after] for after, before in outputs.items()}
        numbers = "".join(f"v{i}, " for i in self._numbers)
        updated = "".join(f"{value_after.get(old[i], f'v{i}')}, " for i in self._numbers)
        lines = [
            "def run(batches, eta, numbers):",
            *([f"    {numbers}= numbers"] if numbers else []),
            *(f"    {line}" for line in program.before),
            "    for rows in batches:",
            # The indices are never outside. With another mode, `take` would write through a buffer.
            "        take(X, rows, 0, x, 'clip')",
            "        take(T, rows, 0, t, 'clip')",
            *(f"        {line}" for line in program.lines),
            *([f"        numbers[:] = {numbers}= {updated}"] if numbers else []),
        ]
        self.source = "\n".join(lines)  # to look at
        # `take` would copy all of a matrix in another order in each step.
        data = {"X": np.ascontiguousarray(X), "T": np.ascontiguousarray(T), "x": values[x], "t": values[t]}
        names = program.names | {"take": np.take} | data
        exec(self.source, names)  # noqa: S102  # the text consists of names and numbers that are made above
        self._run = names["run"]

    def fits(self, variables: Sequence[Any], X: Array, T: Array, batch_size: int) -> bool:
        """Whether the step was compiled for these arrays."""
        now, compiled = [*_arrays(variables), X, T], [*self.arrays, self.X, self.T]
        same = batch_size == self.batch_size and [id(a) for a in now] == [id(a) for a in compiled]
        return same and all(v.flags.writeable for v in self.arrays)

    def run(self, variables: list[Any], batches: Iterable[npt.NDArray[np.int64]], eta: float) -> list[Any]:
        """Make the step on each batch. Change the variables in place, also if an exception ends it, and return them."""
        numbers = [variables[i] for i in self._numbers]
        try:
            with np.errstate(all="ignore"), numpy_denormals.flushed():
                self._run(batches, float(eta), numbers)
        finally:
            for i, value in zip(self._numbers, numbers, strict=True):
                variables[i] = value
        return variables


def _arrays(variables: Sequence[Any]) -> list[Array]:
    return [v for v in variables if isinstance(v, np.ndarray)]


def _overlap(arrays: list[Array]) -> bool:
    """Whether two different arrays may share memory."""
    return any(a is not b and np.may_share_memory(a, b) for a, b in itertools.combinations(arrays, 2))


def _outputs(old: list[Traced], new: list[Any]) -> dict[Traced, Traced]:
    """The new values of the variables that change, and their old values."""
    outputs: dict[Traced, Traced] = {}
    after_of: dict[Traced, Any] = {}
    for before, after in zip(old, new, strict=True):
        if not isinstance(after, Traced) or (after.shape, after.dtype) != (before.shape, before.dtype):
            raise NotCompilableError
        if after_of.setdefault(before, after) is not after:
            raise NotCompilableError  # one array is two variables, which get different values
        if after is not before and outputs.setdefault(after, before) is not before:
            raise NotCompilableError  # two arrays get one value
    if outputs.keys() & set(old):
        raise NotCompilableError
    return outputs


class CompiledEpoch:
    """A loop over the batches of an epoch. Its step is compiled at the first call, and again for other arrays."""

    def __init__(self, step: Callable[..., list[Any]]) -> None:
        self.step = step
        self.compiled: CompiledStep | None = None

    def __call__(
        self, variables: list[Any], X: Array, T: Array, batches: Sequence[npt.NDArray[np.int64]], eta: float
    ) -> list[Any]:
        """Make the step on each batch. All batches have the same size.

        The arguments are those of `Epoch` in `nerva.matrix_operations`. The variables are changed in place.
        """
        if not batches:
            return variables
        size = len(batches[0])
        if self.compiled is None or not self.compiled.fits(variables, X, T, size):
            self.compiled = CompiledStep(self.step, variables, X, T, size)
        return self.compiled.run(variables, batches, eta)
