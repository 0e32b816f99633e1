"""Wording of messages."""


def plural(count: int, noun: str) -> str:
    """A count with its noun, such as `1 run` or `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
