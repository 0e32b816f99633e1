"""Matrices of symbols, and the test whether an expression is 0."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import sympy as sp

from nerva.matrix_operations import Matrix


def symbols(name: str, *shape: int) -> Matrix:
    """A matrix or vector of real symbols: x11, x12, …"""
    matrix = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        matrix[index] = sp.Symbol(name + "".join(str(i + 1) for i in index), real=True)
    return matrix


def without_maxima(Y: Matrix) -> Matrix:
    """The expressions with every maximum replaced by 0, which turns a stable softmax into the plain one.

    `rows_max` returns symbols that are not related to the elements of the row. An expression whose derivative with
    respect to a maximum is 0 is the same function for every value of the maximum, so 0 can replace it.

    Raises:
        AssertionError: if an expression depends on a maximum.
    """
    plain = np.empty(Y.shape, dtype=object)
    for index in np.ndindex(*Y.shape):
        y = sp.sympify(Y[index])
        maxima = [s for s in y.free_symbols if isinstance(s, sp.Dummy) and s.name == "maximum"]
        for maximum in maxima:
            # The derivative does not show a dependence through a condition.
            if any(condition.has(maximum) for p in y.atoms(sp.Piecewise) for _, condition in p.args):
                raise AssertionError(f"{y} depends on the maximum that is subtracted")
            if not is_zero(sp.diff(y, maximum)):
                raise AssertionError(f"{y} depends on the maximum that is subtracted")
        plain[index] = y.subs(dict.fromkeys(maxima, 0))
    return plain


def is_zero(expression: Any) -> bool:
    """Whether an expression is 0 for all values of its symbols.

    Exact, but not complete: True is a proof, and False means that none was found.
    """
    e = sp.sympify(expression)
    if e == 0:
        return True
    if e.has(sp.Piecewise):
        conditions = {c for piecewise in e.atoms(sp.Piecewise) for _, c in piecewise.args if c is not sp.true}
        if not all(isinstance(c, sp.Gt | sp.Ge | sp.Lt | sp.Le) for c in conditions):
            return False  # other conditions are not supported
        return all(is_zero(branch) for branch in _branches(e, conditions))
    # Exponentials of sums become products, and exponentials become variables. The result is a quotient of polynomials.
    e = sp.expand(e.rewrite(sp.exp), power_exp=True, log=False)
    e = _exponentials_as_variables(e)
    numerator, _ = sp.fraction(sp.together(e))
    if sp.expand(numerator) == 0:
        return True
    return bool(sp.simplify(e) == 0)


def _branches(e: Any, conditions: set[Any]) -> Iterator[Any]:
    """The expression e on each side of its conditions.

    Each condition compares two expressions, whose difference is positive or negative. Where it is 0, there is a kink,
    and no derivative to compare. Combinations of sides that cannot occur are included, which is harmless.
    """
    sides: dict[Any, list[tuple[Any, bool]]] = {}
    for condition in conditions:
        difference = sp.expand(condition.lhs - condition.rhs)
        above = isinstance(condition, sp.Gt | sp.Ge)  # whether the condition holds where the difference is positive
        if difference.could_extract_minus_sign():
            difference, above = -difference, not above
        sides.setdefault(difference, []).append((condition, above))
    for signs in itertools.product((True, False), repeat=len(sides)):
        decided = {
            condition: sp.true if positive == above else sp.false
            for positive, same in zip(signs, sides.values(), strict=True)
            for condition, above in same
        }
        yield _decide(e, decided)


def _decide(e: Any, decided: dict[Any, Any]) -> Any:
    """The expression e with each Piecewise replaced by the piece that holds."""
    if isinstance(e, sp.Piecewise):
        for value, condition in e.args:
            if decided.get(condition, condition) == True:  # noqa: E712
                return _decide(value, decided)
        raise AssertionError(f"no piece of {e} holds")
    return e.func(*(_decide(argument, decided) for argument in e.args)) if e.args else e


def coefficients(e: Any, linear: Matrix) -> list[Any]:
    """The coefficients of an expression with respect to symbols in which it should be linear, and the rest.

    The expression is 0 if all of them are.
    """
    return list(sp.collect(sp.expand(e), list(linear.flat), evaluate=False).values())


def _exponentials_as_variables(e: Any) -> Any:
    """The expression e with exp(n a) replaced by vⁿ for whole numbers n, with one positive symbol v for each a."""
    variables: dict[Any, Any] = {}

    def replaced(argument: Any) -> Any:
        factor, rest = argument.as_coeff_Mul()
        if not factor.is_integer:
            factor, rest = sp.Integer(1), argument
        return variables.setdefault(rest, sp.Dummy("v", positive=True)) ** factor

    return e.replace(lambda x: isinstance(x, sp.exp), lambda x: replaced(x.args[0]))
