"""The error that tells of a user's mistake; here, where it can be had without NumPy."""


class NervaError(RuntimeError, ValueError):
    """A user's mistake: the message says what is wrong, where, and what would be right."""
