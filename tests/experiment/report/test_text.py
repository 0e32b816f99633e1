"""Texts of messages and reports."""

from nerva.experiment.report.text import cut, plural, printable, printable_line


def test_plural() -> None:
    assert (plural(1, "run"), plural(2, "run")) == ("1 run", "2 runs")


def test_cut() -> None:
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "ab…")


def test_control_characters_are_not_printed() -> None:
    assert printable("é\x1b]0;x\x07\n") == "é\\x1b]0;x\\x07\n"


def test_a_printed_line_has_a_limit() -> None:
    assert len(printable_line("x" * 10**6)) == 2000
