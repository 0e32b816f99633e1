"""The section of a report about a search, and the table of its trials."""

import dataclasses
import re

import pytest
from jinja2 import Environment, PackageLoader

from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.search_record import SearchRecord, Trial
from nerva.experiment.report.search import TRIALS, search_section, trials_table, value_text

RECORD = SearchRecord(
    "digits-test", Sweep("0123abcd", "search of test"), ["lr=interval(0.1,1)", "net=<b>,c"], "best.validation_accuracy",
    True, "validation_accuracy", True, "tpe", "median", 1, "nerva search",
    [
        Trial(0, {"lr": 0.5, "net": "<b>"}, "aaaaaaaaaaaa", "complete", 0.9, [0.8, 0.9]),
        Trial(1, {"lr": 0.123456789, "net": "c"}, "bbbbbbbbbbbb", "complete", 0.95, [0.9, 0.95]),
        Trial(2, {"lr": 0.7, "net": "c"}, "cccccccccccc", "pruned", metrics=[0.7]),
        Trial(3, {"lr": 0.9, "net": "c"}, "dddddddddddd", "failed", reason="it <i>diverged"),
        Trial(4, {"lr": 0.2, "net": "c"}, "eeeeeeeeeeee", "complete", 0.92, [0.9, 0.92]),
    ],
    {"lr": 0.75, "net": 0.25},
)  # fmt: skip


def html(record: SearchRecord) -> str:
    templates = Environment(loader=PackageLoader("nerva.experiment.report", "."), autoescape=True)
    templates.globals.update(
        plural=lambda count, noun: f"{count} {noun}", percent=lambda x, digits: f"{100 * x:.{digits}f}%"
    )
    return templates.get_template("search.html.j2").render(search=search_section(record))


def test_the_section_names_the_best_trial_and_what_was_pruned() -> None:
    text = html(RECORD)
    assert "5 trials: 3 complete, 1 pruned, 1 failed." in text
    assert "The best is trial 1 with 95.00%: <code>lr=0.123456789 net=c</code>" in text
    assert "worse than the median of the complete trials at the same epoch" in text
    assert re.search(r'<tr class="best"><td class="n">1</td><td>complete</td><td class="n">95.00%</td>', text)
    assert '<td class="n">2</td><td>pruned</td><td class="n">–</td><td class="n">1</td>' in text


def test_what_was_written_by_people_is_escaped() -> None:
    text = html(RECORD)
    assert "&lt;b&gt;" in text
    assert "it &lt;i&gt;diverged" in text
    assert "<b>" not in text
    assert "<i>" not in text


def test_the_charts() -> None:
    section = search_section(RECORD)
    assert '"best so far"' in section["history"]
    # The best value so far after trials 0, 1 and 4, up to the last trial.
    assert '"y":[0.9,0.95,0.95,0.95]' in section["history"].replace(" ", "")
    # The pruned trial is drawn at what it had reached, and the failed one at the edge.
    assert '"y":[0.7]' in section["history"].replace(" ", "")
    assert '"y":[0.9]' in section["history"].replace(" ", "")
    assert "75%" in section["importance"]


def test_a_search_that_minimizes() -> None:
    record = dataclasses.replace(RECORD, objective="last.train_loss", maximize=False)
    section = search_section(record)
    assert section["best"].number == 0
    assert "less is better" in html(record)
    assert value_text(record, 0.01234567) == "0.0123"


def test_without_complete_trials_or_importance() -> None:
    trials = [RECORD.trials[3]]
    record = dataclasses.replace(RECORD, trials=trials, importance={}, unknown_importance="There are too few.")
    text = html(record)
    assert "No trial is complete." in text
    assert "The importance is not known. There are too few." in text


def test_of_many_trials_the_best_are_shown_and_the_table_has_all() -> None:
    trials = [
        Trial(number, {"lr": 0.5, "net": "c"}, "a", "complete", number / 1000, [0.5]) for number in range(TRIALS + 40)
    ]
    record = dataclasses.replace(RECORD, trials=trials)
    section = search_section(record)
    assert [row["number"] for row in section["trials"]] == list(range(40, TRIALS + 40))
    assert f"These are the best {TRIALS} of {TRIALS + 40} trials." in html(record)
    table = trials_table(record)
    assert len(table) == TRIALS + 40
    assert list(table.columns) == ["trial", "state", "value", "epochs", "lr", "net", "run_id", "reason"]


@pytest.mark.parametrize(("value", "text"), [(0.5, "50.00%"), (1.0, "100.00%")])
def test_an_accuracy_is_in_percent(value, text) -> None:
    assert value_text(RECORD, value) == text
