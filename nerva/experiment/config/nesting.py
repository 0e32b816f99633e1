"""How deeply brackets are nested in a text. Parsers of nested texts may call themselves for each bracket."""

DEEPEST = 50


def nesting(text: str) -> int:
    """The greatest number of brackets that are open at once."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest
