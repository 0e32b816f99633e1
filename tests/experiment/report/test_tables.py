"""The tables of a comparison."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from nerva.errors import NervaError
from nerva.experiment.report.tables import (
    check_format,
    comparison_table,
    format_table,
    latex,
    leaderboard_table,
    leaderboard_with_runs,
    markdown,
    write_table,
)
from tests.experiment.report.examples import NAN, example_comparison


def test_the_leaderboard(comparison) -> None:
    table = comparison_table(comparison, None)
    assert list(table["rank"]) == [1, 2, 3]
    assert list(table["difference"])[::2] == ["the best", "failed"]
    assert table["difference"][1].startswith("worse (p ")
    assert table["low"][0] < table["validation_accuracy"][0] < table["high"][0]


def test_the_leaderboard_with_its_runs(comparison) -> None:
    table = leaderboard_with_runs(comparison)
    assert list(table["row"]) == ["configuration", *["run"] * 3, "configuration", *["run"] * 3, "configuration", "run"]
    best, runs = table.iloc[0], table.iloc[1:4]
    assert best["validation_accuracy"] == pytest.approx(runs["validation_accuracy"].mean())
    assert best["test_accuracy_std"] == pytest.approx(runs["test_accuracy"].std())
    assert list(runs["seed"]) == [1, 2, 3]
    assert table.iloc[9]["reason"] == "the loss is nan after epoch 1: training diverged"


def test_the_values_of_a_key(comparison) -> None:
    table = comparison_table(comparison, "seed")
    assert sorted(table["seed"]) == [1, 2, 3]
    assert dict(zip(table["seed"], table["runs"], strict=True)) == {1: 3, 2: 2, 3: 2}
    assert dict(zip(table["seed"], table["failed"], strict=True)) == {1: 1, 2: 0, 3: 0}
    accuracies = comparison.finished.groupby("seed")["validation_accuracy"]
    assert dict(zip(table["seed"], table["mean_validation_accuracy"], strict=True)) == accuracies.mean().to_dict()
    assert dict(zip(table["seed"], table["best_validation_accuracy"], strict=True)) == accuracies.max().to_dict()
    assert list(table["best_validation_accuracy"]) == sorted(accuracies.max(), reverse=True)
    assert list(comparison_table(comparison, "lr")["learning_rate.lr"]) == [0.1, 0.0001, 1e30]
    with pytest.raises(NervaError, match='"loss" was not swept'):
        comparison_table(comparison, "loss")


def test_files_have_all_digits(comparison, tmp_path) -> None:
    table = leaderboard_table(comparison)
    write_table(table, tmp_path / "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table, check_dtype=False, check_exact=True)
    write_table(table, tmp_path / "table.json")
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["validation_accuracy"] for row in rows[:2]] == list(table["validation_accuracy"])[:2]
    assert rows[2]["validation_accuracy"] is None


def test_other_formats_are_refused() -> None:
    check_format(Path("x.JSON"))
    with pytest.raises(NervaError, match=r"--output should end in \.csv, \.json, \.md or \.tex, not x\.txt"):
        check_format(Path("x.txt"))


def test_markdown() -> None:
    table = leaderboard_table(example_comparison(a=[0.9, 0.92], b=[0.8, NAN], c=[NAN]))
    assert markdown(table) == (
        "| rank | configuration | validation | test | seeds | compared to the best |\n"
        "| ---: | :--- | ---: | ---: | :--- | :--- |\n"
        "| 1 | a | 91.00% ± 1.41% | 91.00% ± 1.41% | 2 | the best |\n"
        "| 2 | b | 80.00% | 80.00% | 1 of 2 failed | unknown: too few seeds |\n"
        "| 3 | c | – | – | 1 of 1 failed | failed |\n"
    )


EVIL = r"a|b_c*d*`e`[f](g)<b>$x$ \input{h} 5% & #1 ~^" + "\n| i \x1b"


def test_nothing_in_a_value_is_markdown() -> None:
    text = markdown(leaderboard_table(example_comparison(**{EVIL: [0.9]})))
    assert len(text.splitlines()) == 3
    cell = re.split(r"(?<!\\) \| ", text.splitlines()[2])[1]
    # Each of these has a backslash, and a backslash itself has one.
    assert not re.search(r"[|_*`\[\]<>$~&]", re.sub(r"\\[^a-z]", "", cell))
    assert re.sub(r"\\([^a-z])", r"\1", cell) == EVIL.replace("\n", " ").replace("\x1b", r"\x1b")


def test_latex() -> None:
    table = leaderboard_table(example_comparison(a=[0.9, 0.92], b=[0.1, 0.11]))
    lines = latex(table).splitlines()
    assert lines[:3] == ["% The document needs booktabs.", r"\begin{tabular}{rlrrrl}", r"\toprule"]
    assert r"1 & a & 91.00\% \ensuremath{\pm} 1.41\% & 91.00\% \ensuremath{\pm} 1.41\% & 2 & the best \\" in lines
    assert latex(pd.concat([table] * 21)).count(r"\begin{longtable}") == 1
    assert r"{rp{0.4\linewidth}" in latex(leaderboard_table(example_comparison(**{"long " * 20: [0.9]})))


def test_nothing_in_a_value_is_latex() -> None:
    (line,) = [x for x in latex(leaderboard_table(example_comparison(**{EVIL: [0.9]}))).splitlines() if "90.00" in x]
    cell = line.removeprefix("1 & ").partition(r" & 90.00\%")[0]
    escapes = {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
               r"\textgreater{}": ">", r"\textbar{}": "|"}  # fmt: skip
    special = "|".join(map(re.escape, [*escapes, *(f"\\{c}" for c in "&%$#_{}")]))
    assert not set(re.sub(special, "", cell)) & set("\\&%$#_{}~^<>|")
    plain = re.sub(special, lambda match: escapes.get(match[0], match[0][-1]), cell)
    assert plain == EVIL.replace("\n", " ").replace("\x1b", r"\x1b")


def test_tables_in_the_terminal(comparison) -> None:
    table = leaderboard_table(example_comparison(a=[0.9, 0.92], b=[0.8, NAN], c=[NAN]))
    lines = [" ".join(line.split()) for line in format_table(table).split("\n")]
    assert lines == [
        "rank configuration validation test seeds compared to the best",
        "1 a 91.00% ± 1.41% 91.00% ± 1.41% 2 the best",
        "2 b 80.00% 80.00% 1 of 2 failed unknown: too few seeds",
        "3 c – – 1 of 1 failed failed",
    ]
    assert "–" in format_table(comparison_table(comparison, "lr"))
