"""Small things about text."""


def plural(count: int, noun: str) -> str:
    """A count with its noun, such as `1 run` or `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """The text for a terminal, without control characters: it may quote a record, which a stranger may have written."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def printable_line(text: str) -> str:
    """A line for a terminal, of at most 2000 characters."""
    return cut(printable(text), 2000)


def cut(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis if it is longer than `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
