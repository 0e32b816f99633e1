"""Small things about text."""


def plural(count: int, noun: str) -> str:
    """A count with its noun, such as `1 run` or `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cut(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis if it is longer than `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
