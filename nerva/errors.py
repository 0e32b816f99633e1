"""Errors that are reported without a traceback. This module can be imported without NumPy."""


class NervaError(RuntimeError, ValueError):
    """A user's mistake: the message says what is wrong, where, and what would be right."""


class RunFailedError(Exception):
    """A run ended as failed. Its folder says why."""


class PrunedError(Exception):
    """A search gave up a run after an epoch. The run can be completed: it resumes as one that was interrupted."""


class DamagedRunsError(NervaError):
    """The folders of some runs are damaged. All other runs have been logged."""
