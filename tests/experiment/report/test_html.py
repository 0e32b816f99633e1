"""Reports: what is in them, and that they open from disk in a browser."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.html import _log_ticks, table, write_report
from nerva.experiment.report.ranking import Comparison, leaderboard, load
from nerva.experiment.report.statistics import CHANCE, chances, interval, judged, verdict
from nerva.experiment.run.train import run
from tests.helpers import Command, command_in, configured, failed_plainly

CHROMIUM = shutil.which("chromium")


def report(results: Path, *varied: str) -> str:
    """The text of a report on runs, without the plotting library."""
    folders = [run(configured(*overrides.split()), []) for overrides in varied]
    comparison = load(folders, "digits-test")
    path = results / "digits-test" / "report.html"
    write_report(comparison, folders, path, results / "data", ["snakemake --cores 4"], "Which?")
    text = path.read_text()
    script = text.index("<script>")
    return text[:script] + text[text.index("</script>", script) :]


def test_intervals() -> None:
    low, high = interval([0.90, 0.92, 0.94])
    # Student's t with 2 degrees of freedom: 4.303 standard errors.
    assert (low, high) == (pytest.approx(0.92 - 4.3027 * 0.02 / 3**0.5, abs=1e-5), pytest.approx(0.96968, abs=1e-4))
    assert interval([0.5, 0.99])[1] == 1.0
    assert math.isnan(interval([0.9])[0])
    assert math.isnan(interval([0.9, 0.9])[0])


def test_chances() -> None:
    generator = np.random.default_rng(1)
    best, *others = ([*generator.normal(0.9, 0.01 * i, 2 + i)] for i in range(1, 6))
    assert chances(best, others) == pytest.approx(list(stats.tukey_hsd(best, *others, equal_var=False).pvalue[0, 1:]))
    # For two, it is Welch's t-test.
    assert chances(best, others[:1])[0] == pytest.approx(stats.ttest_ind(best, others[0], equal_var=False).pvalue)
    for none in ([], [0.9], [0.9, 0.9]):
        assert np.isnan(chances([0.8, 0.8], [none])).all()
    # What tells nothing takes no part.
    assert chances(best, [[], *others, [0.9]])[1:-1] == chances(best, others)
    assert math.isnan(chances([0.9], others)[0])
    assert not math.isnan(chances([0.9, 0.91], [[0.8, 0.8]])[0])
    assert chances(best, []) == []


def test_the_best_of_equals_is_not_found_better() -> None:
    generator = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        runs = sorted(generator.normal(0.9, 0.01, (8, 5)).tolist(), key=np.mean)
        wrong += min(chances(runs[-1], runs[:-1])) < CHANCE
    # A t-test of each finds one in 42 of these.
    assert wrong <= 8


def comparison(**accuracies: list[float]) -> Comparison:
    """A comparison of configurations with these validation accuracies; nan is a failed run."""
    runs = pd.DataFrame(
        [
            {
                "configuration": name,
                "configuration_id": name,
                "seed": seed,
                "training_seconds": 1.0,
                "status": "failed" if math.isnan(accuracy) else "finished",
                **{f"{part}_accuracy": accuracy for part in ("validation", "test")},
            }
            for name, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]
    )
    return Comparison("digits-test", "digits", runs, "", pd.DataFrame(), leaderboard(runs))


NAN = math.nan


@pytest.mark.parametrize(
    ("accuracies", "differences", "said"),
    [
        (
            {"a": [0.9], "b": [0.8]},
            ["the best", "can't be told: too few seeds"],
            "it can't be told what is a difference",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.1, 0.11, 0.12]},
            ["the best", "worse (p < 0.0001)"],
            "All others are worse by more than noise explains.",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.1, 0.11, 0.12], "c": [NAN, NAN, NAN]},
            ["the best", "worse (p ", "failed"],
            "All others that finished are worse by more than noise explains. 1 configuration failed with every seed.",
        ),
        (
            {"a": [0.9, 0.91], "b": [0.9, 0.905]},
            ["the best", "may be noise"],
            "The difference to the other may be noise.",
        ),
        ({"a": [0.9, 0.9], "b": [0.8, 0.8]}, ["the best", "can't be told: no spread over seeds"], "With these seeds"),
        # 280 of 300 images, three times: their mean is not quite 280/300.
        (
            {"a": [280 / 300] * 3, "b": [279 / 300] * 3},
            ["the best", "can't be told: no spread over seeds"],
            "it can't be told what is a difference",
        ),
        (
            {"a": [0.9, 0.91, 0.92], "b": [0.9, 0.91, 0.915], "c": [0.9], "d": [0.1, 0.11, 0.12]},
            ["the best", "may be noise", "can't be told: too few seeds", "worse"],
            "With so few seeds, or none that differ, 1 of the 3 others can't be judged. "
            "The rest are worse by more than noise explains.",
        ),
        # A failed run counts as 0: 0.62 is well above chance, but behind 0.8.
        (
            {"a": [0.79, 0.8, 0.81], "b": [0.92, 0.93, NAN], "c": [0.1, 0.11, 0.12]},
            ["the best", "higher, but 1 of 3 runs failed", "worse"],
            "The rest are worse by more than noise explains. 1 configuration would be higher, if runs had not failed",
        ),
        ({"a": [NAN, NAN]}, ["failed"], "All runs failed"),
    ],
)
def test_what_is_a_difference(accuracies: dict[str, list[float]], differences: list[str], said: str) -> None:
    found = judged(comparison(**accuracies))
    assert [row["configuration"] for row in found] == list(accuracies)
    for row, difference in zip(found, differences, strict=True):
        assert row["difference"].startswith(difference)
    assert said in verdict(found)


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
        "All others that finished are worse by more than noise explains.",
        "7 runs of 3 configurations on scikit-learn digits",
        "worse (p ",
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
    assert text.count('role="img"') == text.count("aria-label=") - 1 == 6
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_a_report_on_one_run_and_on_a_single_seed(results) -> None:
    text = report(results, "seed=1")
    assert "has a validation accuracy of" in text
    assert "1 run of 1 configuration on" in text
    assert "The effect of each value" not in text
    text = report(results, "learning_rate.lr=0.1", "learning_rate.lr=0.2")
    assert "With these seeds, it can&#39;t be told what is a difference and what is noise." in text


def test_classes_have_their_names(results) -> None:
    plain = report(results, "train.epochs=1")
    assert "<td>0</td>" in plain
    text = report(results, "train.epochs=1", "data.class_names=[zero,one,two,three,four,five,six,seven,eight,nine]")
    assert "<td>zero</td>" in text
    assert '"x":["zero","one",' in text
    # Beside the images that are wrong, too.
    assert text.partition('alt="The test images')[0][-2000:] != plain.partition('alt="The test images')[0][-2000:]


def test_names_that_are_long(results) -> None:
    sizes = ",".join(["8"] * 60)
    layers = ",".join(["ReLU"] * 60)
    text = report(
        results,
        *(f"model.hidden=[{size},{sizes}] model.layers=[ReLU,{layers},Linear] train.epochs=1" for size in (8, 9)),
    )
    (height,) = set(re.findall(r'"maxheight":(\d+)', text))
    assert int(height) >= 70 + 2 * 2 * 18  # two lines for each of two entries
    names = [json.loads(name) for name in re.findall(r'"name":("\d\. [^"]+")', text)]
    assert len(names) == 2 * 2
    assert all(len(line) <= 38 for name in names for line in name.split("<br>"))


def test_a_loss_of_any_size() -> None:
    for largest in (2.5, 1e3, 1e9, 1e30, 1e300):
        ticks = _log_ticks(pd.Series([2.0, largest]))["tickvals"]
        assert 2 < len(ticks) <= 16
        assert ticks[0] <= 2.0


def test_a_report_where_all_failed(results) -> None:
    text = report(results, "learning_rate.lr=1e30", "learning_rate.lr=1e31")
    assert "All runs failed; the reasons are below." in text
    assert 'id="champion"' not in text
    assert text.count("training diverged") >= 2


def test_a_report_without_the_data(results) -> None:
    report(results, "seed=1")
    shutil.rmtree(results / "data")
    folders = [run(configured("seed=1"), [])]
    shutil.rmtree(results / "data", ignore_errors=True)
    path = results / "report.html"
    write_report(load(folders, "digits-test"), folders, path, results / "data", [])
    assert "The data are not there any more" in path.read_text()
    assert "<code>nerva prepare data=digits</code>" in path.read_text()


def test_what_a_user_writes_does_not_become_markup(results) -> None:
    folders = [run(configured(), [])]
    path = results / "report.html"
    write_report(load(folders, "digits-test"), folders, path, results / "data", [], "<b>x</b>")
    assert "&lt;b&gt;x&lt;/b&gt;" in path.read_text()


def test_tables(results) -> None:
    folders = [
        run(configured(f"optimizer={name}", f"seed={seed}"), []) for name in ("momentum", "nesterov") for seed in (1, 2)
    ]
    comparison = load(folders, "digits-test")
    assert list(table(comparison, folders)["rank"]) == [1, 2]
    assert {"low", "high", "difference"} <= set(table(comparison, folders).columns)
    by = table(comparison, folders, "seed")
    assert sorted(by["seed"]) == [1, 2]
    assert list(by["runs"]) == [2, 2]
    assert list(by["failed"]) == [0, 0]
    accuracies = comparison.runs.groupby("seed")["validation_accuracy"]
    assert dict(zip(by["seed"], by["mean_validation_accuracy"], strict=True)) == accuracies.mean().to_dict()
    assert dict(zip(by["seed"], by["best_validation_accuracy"], strict=True)) == accuracies.max().to_dict()
    assert sorted(table(comparison, folders, "optimizer")["optimizer"]) == ["Momentum(mu=0.9)", "Nesterov(mu=0.9)"]
    with pytest.raises(NervaError, match='"loss" was not swept; what was swept is: '):
        table(comparison, folders, "loss")


def test_a_part_of_a_name_that_can_mean_two(results) -> None:
    folders = [
        run(configured(f"model.hidden=[{n}]", f"model.layers=[{layer},Linear]"), [])
        for n, layer in ((8, "ReLU"), (9, "SReLU"))
    ]
    comparison = load(folders, "digits-test")
    assert list(table(comparison, folders, "layers")["model.layers"]) in (
        ["ReLU-Linear", "SReLU-Linear"],
        ["SReLU-Linear", "ReLU-Linear"],
    )
    with pytest.raises(NervaError, match=r'"model" can mean model\.hidden or model\.layers'):
        table(comparison, folders, "model")


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
    top = json.loads((folder / "top.json").read_text())
    assert len(top) == 2
    best = top[0]["configuration"]
    runs = [path.parent.name for path in folder.glob("results/runs/*/run.json")]
    comparison = load([RunFolder.of(folder / "results", run_id) for run_id in runs], "digits-quick")
    of_best = comparison.runs[comparison.runs["configuration"] == best]
    assert top[0]["validation_accuracy"] == of_best["validation_accuracy"].mean()  # with all digits
    assert result.stdout.splitlines()[1].strip().startswith("1 ")
    assert command(*COMPARE, "--by", "optimizer", "--output", "by.csv").returncode == 0
    assert set(pd.read_csv(folder / "by.csv")["optimizer"]) == {
        "GradientDescent",
        "Momentum(mu=0.9)",
        "Nesterov(mu=0.9)",
    }
    failed_plainly(command(*COMPARE, "flagship"), "One experiment at a time, not quick and flagship.", code=2)
    failed_plainly(command(*COMPARE, "--output", "x.txt"), "--output should end in .csv or .json, not x.txt")
    failed_plainly(command(*COMPARE, "--by", "loss"), '"loss" was not swept')


def test_a_report_says_nothing_of_who_made_it(sweep) -> None:
    command, folder = sweep
    result = command(*COMPARE, "seed=1", "tracking.uri=http://jane:geheim@127.0.0.1:9", HOME=str(folder))
    assert result.returncode == 0, result.stderr
    (report,) = folder.glob("results/digits-quick/report.html")
    assert "tracking.uri=http://127.0.0.1:9" in report.read_text()
    assert "geheim" not in report.read_text() + result.stdout


def test_a_part_of_a_sweep_is_compared(sweep) -> None:
    """What Snakemake compared is seen to be another's then."""
    command, folder = sweep
    named = []
    for overrides in ((), ("seed=1",), ()):
        assert command(*COMPARE, *overrides).returncode == 0
        (compared,) = folder.glob("results/digits-quick/compared-*.txt")
        assert len(compared.read_text().split()) == (6 if overrides else 12)
        named.append(compared.name)
    assert named[0] == named[2] != named[1]


def test_runs_of_no_experiment_are_compared(sweep) -> None:
    command, folder = sweep
    asked = ("data=digits", "train.epochs=1", "seed=1,2", "tracking=off")
    failed_plainly(command("nerva", "compare", "single", *asked), "try: nerva train -m +experiment=single data=digits")
    assert command("nerva", "train", "-m", *asked).returncode == 0
    result = command("nerva", "compare", "single", *asked)
    assert result.returncode == 0, result.stderr
    assert "digits-single: 2 runs of 1 configuration" in result.stdout
    assert (folder / "results" / "digits-single" / "report.html").exists()


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
