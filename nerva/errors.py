"""The error for users' mistakes. It has its own module, so that importing it does not import NumPy."""


class NervaError(RuntimeError, ValueError):
    """A user's mistake: the message says what is wrong, where, and what would be right."""
