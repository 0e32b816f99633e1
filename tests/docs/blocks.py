"""The parts of the documentation that tests run or compare."""

import re

from tests.helpers import ROOT

PAGES = ["README.md", "docs/experiments.md", "docs/python.md", "docs/engine.md"]


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page that are written in a language."""
    return re.findall(rf"```{language}\n(.*?)```", read(page), re.DOTALL)


def commands(page: str) -> list[str]:
    """The commands of a page: the lines of its `sh` blocks."""
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line]
