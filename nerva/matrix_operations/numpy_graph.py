"""The graph of the operations of a traced step: which of them are needed, and which become one operation."""

from typing import Any

import numpy as np

from nerva.matrix_operations.numpy_trace import Trace, Traced, is_matrix

# Matrices of at least _LARGE elements do not stay in the cache from one operation to the next. This number was measured
# on a CPU with 2 MB of second-level cache.
_LARGE = 1 << 18
# Operations whose results share the memory of their operand.
VIEWS = ("transpose", "reshape", "broadcast", "element")
_ELEMENTWISE = ("where", "ufunc where", "cast")


def is_large(node: Traced) -> bool:
    """Whether the operations on a matrix should be computed in parts that stay in the cache."""
    return node.size >= _LARGE


def is_elementwise(node: Traced) -> bool:
    """Whether each element of the result depends only on the elements in the same place."""
    return isinstance(node.function, np.ufunc) or node.function in _ELEMENTWISE


class Graph:
    """The operations that the new values of the variables need, in their order, and the users of each result."""

    def __init__(self, trace: Trace, inputs: set[Traced], outputs: set[Traced]) -> None:
        users = _users(_needed(trace, inputs, outputs))
        for node in trace.nodes:
            _fold(node, users, outputs)
        self.nodes = _needed(trace, inputs, outputs)
        self.position = {node: i for i, node in enumerate(self.nodes)}
        self.users = _users(self.nodes)
        # The position after which the memory of a result may be used again. Inputs start before all operations, and
        # outputs are needed after all of them.
        self.last_use = dict.fromkeys(inputs, -1) | self.position | dict.fromkeys(outputs, len(self.nodes))
        for node in reversed([*inputs, *self.nodes]):
            for user in self.users.get(node, ()):
                # The memory of a view is that of its operand.
                used = self.last_use[user] if user.function in VIEWS else self.position[user]
                self.last_use[node] = max(self.last_use[node], used)


def _needed(trace: Trace, inputs: set[Traced], outputs: set[Traced]) -> list[Traced]:
    needed = set(outputs)
    for node in reversed(trace.nodes):
        if node in needed:
            needed.update(node.operands)
    return [node for node in trace.nodes if node in needed and node not in inputs]


def _users(nodes: list[Traced]) -> dict[Traced, list[Traced]]:
    users: dict[Traced, list[Traced]] = {}
    for node in nodes:
        for operand in node.operands:
            users.setdefault(operand, []).append(node)
    return users


def _fold(node: Traced, users: dict[Traced, list[Traced]], outputs: set[Traced]) -> None:
    """Turn aX + bPQ into one operation, if no other operation uses the product."""

    def is_only_for(x: Traced, user: Traced) -> bool:
        return x not in outputs and len(users.get(x, ())) == 1 and users[x][0] is user

    def factors(x: Any) -> tuple[Any, Any]:
        """x as a number times a matrix."""
        if isinstance(x, Traced) and x.function is np.multiply and is_only_for(x, node):
            a, X = x.arguments
            if not is_matrix(a):
                return a, X
        return 1, x

    if node.function is not np.add:
        return
    for x, y in (node.arguments, node.arguments[::-1]):
        (a, X), (b, Y) = factors(x), factors(y)
        if not isinstance(X, Traced) or not isinstance(Y, Traced) or (X.shape, X.dtype) != (Y.shape, Y.dtype):
            continue
        if X.function == "broadcast" and is_large(X):
            continue  # the sum is computed in parts, together with the operations that use it
        if Y.function == "product" and is_only_for(Y, node if Y is y else y):
            node.function, node.arguments = "accumulate", (X, *Y.arguments, a, b)
            return
