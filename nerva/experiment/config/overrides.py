"""The texts of Hydra's overrides, before Hydra reads them."""

import re
from collections.abc import Iterator, Sequence

from nerva.errors import NervaError
from nerva.experiment.config.nesting import DEEPEST, nesting

_LONGEST = 10_000
_QUOTES = ("'", '"')
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def split_overrides(text: str) -> list[str]:
    """The overrides in a text, which are separated by spaces. Spaces inside quotes and brackets do not separate.

    Raises:
        NervaError: if a quote or a bracket is not closed.
    """
    parts = [""]
    closing: list[str] = []  # the brackets that are still to come
    quote = ""
    for character, quote in _with_quotes(text):
        if character.isspace() and not quote and not closing:
            parts.append("")
            continue
        parts[-1] += character
        if quote or character in _QUOTES:
            continue
        if character in _BRACKETS:
            closing.append(_BRACKETS[character])
        elif character in _BRACKETS.values() and (not closing or closing.pop() != character):
            raise NervaError(f"overrides: there is no bracket to close by {character} in {_shortened(text)}")
    if quote or closing:
        raise NervaError(f"overrides: {(quote or closing[-1])} is missing in {_shortened(text)}")
    return [part for part in parts if part]


def restore_quote(text: str) -> str:
    """Overrides in one text, with the quotes at their end that Snakemake removes from the value of a `--config` key."""
    quotes = [quote for _, quote in _with_quotes(text)]
    if not quotes or not quotes[-1]:
        return text
    outer = quotes[-1]
    # `where="name == 'x'"` has lost two. An apostrophe, as in "Adam's", opens nothing.
    quoted = text[len(quotes) - quotes[::-1].index("") :] if "" in quotes else text
    inner = "'" if outer == '"' else '"'
    closed = re.sub(rf"(?<!\w){inner}[^{inner}]*{inner}", "", quoted)
    return text + (inner if re.search(rf"(?<!\w){inner}", closed) else "") + outer


def _with_quotes(text: str) -> Iterator[tuple[str, str]]:
    """Each character of a text, with the quote that is open after it, which is empty if there is none."""
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        yield character, quote


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse overrides that Hydra's parser can't read in reasonable time and memory.

    Raises:
        NervaError: if an override is too long, or its brackets are nested too deeply.
    """
    for override in overrides:
        if len(override) > _LONGEST:
            raise NervaError(f"{_shortened(override)} has {len(override):,} characters; {_LONGEST:,} is the most")
        if (deepest := nesting(override)) > DEEPEST:
            raise NervaError(f"{_shortened(override)} has brackets nested {deepest} deep; {DEEPEST} is the most")


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:40]}…"
