"""Reports: what is in them, and that they open from disk in a browser."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from nerva.errors import NervaError
from nerva.experiment.compare import load
from nerva.experiment.report import chance, interval, table, write_report
from nerva.experiment.run import run
from tests.conftest import Command, command_in, failed_plainly
from tests.experiment.conftest import configured

CHROMIUM = shutil.which("chromium")


def report(results: Path, *varied: str) -> str:
    """The text of a report on runs, without the plotting library."""
    folders = [run(configured(*overrides.split(), "question=Which?"), []) for overrides in varied]
    comparison = load(folders, "digits-test")
    path = results / "digits-test" / "report.html"
    write_report(comparison, folders, path, results / "data", ["snakemake --cores 4"])
    text = path.read_text()
    script = text.index("<script>")
    return text[:script] + text[text.index("</script>", script) :]


def test_intervals() -> None:
    low, high = interval([0.90, 0.92, 0.94])
    # Student's t with 2 degrees of freedom: 4.303 standard errors.
    assert (low, high) == (pytest.approx(0.92 - 4.3027 * 0.02 / 3**0.5, abs=1e-5), pytest.approx(0.96968, abs=1e-4))
    assert interval([0.5, 0.99])[1] == 1.0
    assert interval([0.9])[0] != interval([0.9])[0]
    assert chance([0.9, 0.91, 0.92], [0.1, 0.11, 0.12]) < 0.001
    assert chance([0.9, 0.91, 0.92], [0.9, 0.91, 0.93]) > 0.5
    assert chance([0.9, 0.9], [0.9, 0.9]) == 1
    assert chance([0.9, 0.9], [0.8, 0.8]) == 0
    assert chance([0.9], [0.1, 0.2]) != chance([0.9], [0.1, 0.2])


def test_a_report(results) -> None:
    seeds = range(1, 4)
    text = report(
        results,
        *(f"learning_rate.lr=0.1 seed={seed}" for seed in seeds),
        *(f"learning_rate.lr=0.0001 seed={seed}" for seed in seeds),
        "learning_rate.lr=1e30 seed=1",
    )
    for words in (
        '<p class="question">Which?</p>',
        "Constant(lr=0.1) is best, with a validation accuracy of ",
        "All others are worse by more than noise explains.",
        "7 runs of 3 configurations on scikit-learn digits",
        "worse (p = ",
        "Validation accuracy by learning_rate.lr",
        "Validation accuracy by seed",
        "Parallel coordinates",
        "Class by class",
        "Wrong by most",
        "the loss is nan after epoch 1: training diverged",
        "peak memory",
        "snakemake --cores 4\nnerva replay ",
    ):
        assert words in text, words
    assert text.count("<img ") == text.count('alt="') == 2
    assert text.count("<figure role=") == text.count("aria-label=") - 1
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_a_report_on_one_run_and_on_a_single_seed(results) -> None:
    text = report(results, "seed=1")
    assert "is best, with a validation accuracy of" in text
    assert "The effect of each value" not in text
    text = report(results, "learning_rate.lr=0.1", "learning_rate.lr=0.2")
    assert "With so few seeds, it can&#39;t be told what is a difference and what is noise." in text


def test_a_report_where_all_failed(results) -> None:
    text = report(results, "learning_rate.lr=1e30", "learning_rate.lr=1e31")
    assert "All runs failed; the reasons are below." in text
    assert 'id="champion"' not in text
    assert text.count("training diverged") >= 2


def test_a_report_without_the_data(results) -> None:
    report(results, "seed=1")
    shutil.rmtree(results / "data")
    folders = [run(configured("seed=1", "question=Which?"), [])]
    shutil.rmtree(results / "data", ignore_errors=True)
    path = results / "report.html"
    write_report(load(folders, "digits-test"), folders, path, results / "data", [])
    assert "The data are not there any more" in path.read_text()


def test_what_a_user_writes_does_not_become_markup(results) -> None:
    folders = [run(configured("question='<b>x</b>'"), [])]
    path = results / "report.html"
    write_report(load(folders, "digits-test"), folders, path, results / "data", [])
    assert "&lt;b&gt;x&lt;/b&gt;" in path.read_text()


def test_tables(results) -> None:
    folders = [
        run(configured(f"optimizer={name}", f"seed={seed}"), []) for name in ("momentum", "nesterov") for seed in (1, 2)
    ]
    comparison = load(folders, "digits-test")
    assert list(table(comparison, folders)["rank"]) == [1, 2]
    assert {"low", "high", "difference"} <= set(table(comparison, folders).columns)
    by = table(comparison, folders, "seed")
    assert sorted(by["seed"]) == ["1", "2"]
    assert list(by["runs"]) == [2, 2]
    assert sorted(table(comparison, folders, "optimizer")["optimizer"]) == ["Momentum(mu=0.9)", "Nesterov(mu=0.9)"]
    with pytest.raises(NervaError, match='"loss" was not swept; what was is: '):
        table(comparison, folders, "loss")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> tuple[Command, Path]:
    folder = tmp_path_factory.mktemp("report")
    command = command_in(folder)
    result = command("nerva", "train", "-m", "+experiment=quick", "data=digits", "train.epochs=2", "tracking=off")
    assert result.returncode == 0, result.stderr
    return command, folder


COMPARE = ("nerva", "compare", "quick", "data=digits", "train.epochs=2", "tracking=off")


def test_compare(sweep) -> None:
    command, folder = sweep
    result = command(*COMPARE, "--top", "2", "--output", "top.json")
    assert result.returncode == 0, result.stderr
    assert len(json.loads((folder / "top.json").read_text())) == 2
    assert result.stdout.splitlines()[1].strip().startswith("1 ")
    assert command(*COMPARE, "--by", "optimizer", "--output", "by.csv").returncode == 0
    assert set(pd.read_csv(folder / "by.csv")["optimizer"]) == {
        "GradientDescent",
        "Momentum(mu=0.9)",
        "Nesterov(mu=0.9)",
    }
    failed_plainly(command(*COMPARE, "--output", "x.txt"), "--output should end in .csv or .json, not x.txt")
    failed_plainly(command(*COMPARE, "--by", "loss"), '"loss" was not swept')


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_report_opens_from_disk(sweep) -> None:
    from playwright.sync_api import sync_playwright

    command, folder = sweep
    assert command(*COMPARE).returncode == 0
    path = folder / "results" / "digits-quick" / "report.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for width, scheme in ((1280, "light"), (400, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            problems: list[str] = []
            requests: list[str] = []
            page.on("console", lambda m, seen=problems: seen.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error, seen=problems: seen.append(str(error)))
            page.on("request", lambda request, seen=requests: seen.append(request.url))
            page.goto(path.as_uri())
            plots = page.locator(".js-plotly-plot")
            plots.nth(6).wait_for()  # two of curves, three effects, parallel coordinates, the confusion matrix
            assert plots.count() == 7
            assert page.get_by_role("heading", name="Leaderboard").is_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (colour == "rgb(255, 255, 255)") == (scheme == "light")
            assert problems == []
            assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
            page.close()
        browser.close()
