"""Checks that a number is in a range. They return the number, so that what they compute is part of a run's identity."""

import math

from nerva.errors import NervaError
from nerva.utilities import shown


def _is_finite(value: float) -> bool:
    """Whether a number is finite; an integer that is too large for a float is not."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def positive(name: str, value: float) -> float:
    """Return the value. Raise a NervaError unless it is finite and greater than 0."""
    if not (value > 0 and _is_finite(value)):
        raise NervaError(f"{name} should be greater than 0 and finite, not {shown(str(value))}")
    return value


def not_negative(name: str, value: float) -> float:
    """Return the value. Raise a NervaError unless it is finite and 0 or more."""
    if not (value >= 0 and _is_finite(value)):
        raise NervaError(f"{name} should be 0 or more and finite, not {shown(str(value))}")
    return value
