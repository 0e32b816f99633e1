"""Reports: what is in them, that nothing in a record becomes markup, and that they open from disk in a browser."""

import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report import curves, html
from nerva.experiment.report.html import report_html
from nerva.experiment.report.loading import DamagedRun
from nerva.experiment.report.predictions import Analyst
from nerva.experiment.report.ranking import Comparison, load
from tests.experiment.report.examples import edit_json, update_checksums
from tests.helpers import configured, trained

CHROMIUM = shutil.which("chromium")
COMMANDS = ["snakemake --cores 4"]


def without_library(text: str) -> str:
    """A report without the text of the plotting library."""
    script = text.index("<script>")
    return text[:script] + text[text.index("</script>", script) :]


def report_of(folders: list[RunFolder], data_dir: Path, **changes: Any) -> str:
    comparison = dataclasses.replace(load(folders, "digits-test"), **changes)
    return without_library(report_html(comparison, Analyst(data_dir), COMMANDS, "Which?"))


@pytest.fixture(scope="session")
def whole_report(comparison, sweep_results) -> str:
    """The report of the sweep."""
    return report_html(comparison, Analyst(sweep_results / "data"), COMMANDS, "Which?")


@pytest.fixture(scope="session")
def report(whole_report) -> str:
    """The report of the sweep without the text of the plotting library."""
    return without_library(whole_report)


@pytest.mark.parametrize(
    "words",
    [
        '<p class="question">Which?</p>',
        "Constant(lr=0.1) is best, with a validation accuracy of ",
        "All others that finished are worse by more than noise explains.",
        "7 runs of 3 configurations on scikit-learn digits",
        "worse (p ",
        "The validation accuracy by learning_rate.lr",
        "1 failed run took no part",
        "seeds and interactions",
        "The validation accuracy by seed",
        "Parallel coordinates",
        "<h3>Classes</h3>",
        "The largest errors",
        "the loss is nan after epoch 1: training diverged",
        "seconds per epoch",
        "How to reproduce it",
        "snakemake --cores 4\nnerva replay ",
        "nerva train learning_rate.lr=0.1 seed=2    # ",
    ],
)
def test_a_report_has(report, words) -> None:
    assert words in report


def test_all_plots_have_descriptions(report) -> None:
    assert report.count("<img ") == report.count('alt="') == 2
    assert report.count('role="img"') == report.count("aria-label=") - 1 == 6


def test_a_report_needs_no_network(report) -> None:
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "https://" not in report


def test_a_report_on_one_run(sweep, sweep_results) -> None:
    text = report_of(sweep[:1], sweep_results / "data")
    assert "has a validation accuracy of" in text
    assert "1 run of 1 configuration on" in text
    assert "Effect of each value" not in text


def test_a_report_on_a_single_seed(sweep, sweep_results) -> None:
    text = report_of([sweep[0], sweep[3]], sweep_results / "data")
    assert "These seeds are too few, or too similar, to tell a difference from noise." in text


def test_a_report_where_all_failed(sweep, sweep_results) -> None:
    text = report_of(sweep[6:], sweep_results / "data")
    assert "All runs failed. The reasons are listed below." in text
    assert 'id="champion"' not in text
    assert "training diverged" in text


def test_a_report_without_the_data(sweep, tmp_path) -> None:
    text = report_of(sweep[:1], tmp_path)
    assert (
        "Predictions are left out. The dataset is no longer here; nerva prepare data=digits prepares it again." in text
    )
    assert "The weights of the first neurons" in text


def test_a_report_on_damaged_weights(copied_run, sweep_results) -> None:
    copied_run.best.write_bytes(b"hello")
    update_checksums(copied_run)
    text = report_of([copied_run], sweep_results / "data")
    assert "Predictions are left out. " in text
    assert "best.npz is not a readable .npz file" in text


def test_a_report_on_many_runs_says_what_it_leaves_out(sweep, sweep_results, monkeypatch) -> None:
    """The limits are lowered, because a test can't train as many runs."""
    for name, limit in {"CONFIGURATIONS": 2, "RUNS": 4, "LOWEST": 1, "FAILED": 0}.items():
        monkeypatch.setattr(html, name, limit)
    monkeypatch.setattr(curves, "MOST_CURVES", 2)
    monkeypatch.setattr(html, "MOST_CURVES", 2)
    text = report_of(sweep, sweep_results / "data")
    assert "These are the best 2 of 3 configurations." in text
    assert "The best 1 configurations have a line each. One line stands for the other 2:" in text
    assert "These are the 3 runs with the best validation accuracy, and the 1 with the worst, of 7." in text
    accuracies = load(sweep, "digits-test").finished["validation_accuracy"]
    ranked = [sweep[index].run_id for index in accuracies.sort_values(ascending=False, kind="stable").index]
    listed = re.findall(r"nerva train .*    # ([0-9a-f]+)", text)
    assert set(listed) == {*ranked[:3], ranked[-1]}
    assert text.count('<tr><td class="n">') >= 4


def test_damaged_runs_are_listed(sweep, sweep_results) -> None:
    text = report_of(sweep[:1], sweep_results / "data", damaged=[DamagedRun("0123456789ab", "run.json is damaged")])
    assert '1 damaged run left out: see <a href="#damaged">' in text
    assert '<td class="id">0123456789ab</td><td class="code">run.json is damaged</td>' in text


def test_classes_have_their_names(report, results) -> None:
    assert "<td>0</td>" in report
    names = "zero,one,two,three,four,five,six,seven,eight,nine"
    text = report_of([trained(configured("train.epochs=1", f"data.class_names=[{names}]"))], results / "data")
    assert "<td>zero</td>" in text
    assert '"x":["zero","one",' in text


def test_long_names_are_wrapped_in_legends(results) -> None:
    sizes, layers = ",".join(["8"] * 60), ",".join(["ReLU"] * 60)
    points = (f"model.hidden=[{size},{sizes}] model.layers=[ReLU,{layers},Linear] train.epochs=1" for size in (8, 9))
    text = report_of([trained(configured(*point.split())) for point in points], results / "data")
    (height,) = set(re.findall(r'"maxheight":(\d+)', text))
    assert int(height) >= 70 + 2 * 2 * 18  # two lines for each of two entries
    names = [json.loads(name) for name in re.findall(r'"name":("\d\. [^"]+")', text)]
    assert len(names) == 2 * 2
    assert all(len(line) <= 38 for name in names for line in name.split("<br>"))


def test_commands_to_paste_contain_nothing_else(copied_run, sweep_results) -> None:
    """A reader pastes them into a shell, and a stranger may have written the records."""

    def forge(provenance: dict) -> None:
        provenance["code"]["git_commit"] = "0123abc; touch stolen"
        provenance["overrides"] = ["seed=1; touch stolen"]

    edit_json(copied_run.provenance, forge)
    update_checksums(copied_run)
    text = report_of([copied_run], sweep_results / "data")
    assert "git checkout" not in text
    assert "nerva train &#39;seed=1; touch stolen&#39;    # " in text


EVIL = '<script>alert(1)</script><a href="javascript:alert(1)">x</a><b onclick="alert(1)">"\'$x$&amp;</b>'


class Tags(HTMLParser):
    """Collects the tags of a page, and the attributes that can run a script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        links = ("href", "src", "xlink:href", "action", "formaction", "srcdoc")
        self.scripts += [(k, v) for k, v in attrs if k.startswith("on") or (k in links and not is_harmless(v or ""))]


def is_harmless(address: str) -> bool:
    return address.startswith(("#", "data:image/png;base64,")) or address == "data:,"


@pytest.fixture
def hostile_comparison(copied_sweep) -> Comparison:
    """A sweep with markup wherever a user or a record can have text."""

    def forge(provenance: dict) -> None:
        provenance["data"] |= {"title": EVIL, "sha256": EVIL, "source": EVIL, "note": EVIL}
        provenance["environment"] |= {EVIL: EVIL}
        provenance["overrides"] += [EVIL]
        provenance["code"]["fingerprint"] = EVIL
        provenance["determined_by"]["learning_rate"] += EVIL
        provenance["configuration_id"] += EVIL

    for folder in copied_sweep:
        edit_json(folder.provenance, forge)
        config = folder.config.read_text().replace("  mu: 0.9", f"  mu: 0.9\n  {json.dumps(EVIL)}: {folder.run_id}")
        names = json.dumps([f"{EVIL}{k}" for k in range(10)])
        folder.config.write_text(config.replace("class_names: []", f"class_names: {names}"))
        update_checksums(folder)
    edit_json(copied_sweep[-1].record, lambda record: record.update(reason=EVIL))
    damaged = [DamagedRun(EVIL, EVIL)]
    comparison = load(copied_sweep, EVIL, EVIL)
    assert not comparison.damaged
    return dataclasses.replace(comparison, damaged=damaged)


def test_nothing_in_a_record_becomes_markup(hostile_comparison, sweep_results, report) -> None:
    text = without_library(report_html(hostile_comparison, Analyst(sweep_results / "data"), [EVIL], EVIL))
    found = Tags(text)
    assert found.scripts == []
    assert set(found.tags) == set(Tags(report).tags)
    # One script sets the colours, and each chart has one.
    assert found.tags.count("script") == 1 + text.count('class="plotly-graph-div"')
    assert found.tags.count("a") == 11


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser, if one is installed."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """A page of a browser with a report, which must not report errors, show dialogs, or request anything else."""
    problems: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.plotly-graph-div').length == "
                           "document.querySelectorAll('.js-plotly-plot').length")  # fmt: skip
    yield page
    page.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_a_report_opens_from_disk(browser, whole_report, tmp_path, width, scheme) -> None:
    path = tmp_path / "report.html"
    path.write_text(whole_report)
    with opened(browser, path, width, scheme) as page:
        # Two of learning curves, two effects, parallel coordinates, and the confusion matrix.
        assert page.locator(".js-plotly-plot").count() == 6
        assert page.get_by_role("heading", name="Leaderboard").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (colour == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_charts_show_markup_as_text(browser, hostile_comparison, sweep_results, tmp_path) -> None:
    """The plotting library has a markup of its own."""
    path = tmp_path / "report.html"
    path.write_text(report_html(hostile_comparison, Analyst(sweep_results / "data")))
    with opened(browser, path) as page:
        assert page.locator(".js-plotly-plot").count() >= 6
        assert page.locator(".js-plotly-plot a, .js-plotly-plot script, .js-plotly-plot [style*=bold]").count() == 0
        assert "<script>alert(1)</script>" in page.locator(".legend").first.text_content()
