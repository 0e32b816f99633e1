"""MLflow's UI in a real browser, on the runs of a real sweep."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlparse

import pytest

from tests.helpers import QUICK, SCRIPTS, free_port, kill, served, started, until

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def ui(quick) -> Iterator[tuple[str, Path]]:
    """The address of `nerva ui` on the runs of `quick`, and the folder with the results."""
    folder, _ = quick
    address = f"http://127.0.0.1:{free_port()}"
    log = (folder / "ui.log").open("w")
    server = started(folder, SCRIPTS / "nerva", "ui", "--port", address.rpartition(":")[2], stdout=log)
    try:
        until(lambda: served(f"{address}/health"), server)
        yield address, folder
    finally:
        kill(server)
        log.close()


@pytest.mark.long
@QUICK
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_ui_lists_and_compares_the_runs(ui) -> None:
    from mlflow import MlflowClient
    from playwright.sync_api import sync_playwright

    address, folder = ui
    client = MlflowClient(f"sqlite:///{folder}/results/mlflow.db")
    experiment = client.get_experiment_by_name("digits-quick").experiment_id
    everything = client.search_runs([experiment])
    runs = [run for run in everything if "nerva.run_id" in run.data.tags]
    (sweep,) = (run for run in everything if "nerva.run_id" not in run.data.tags)
    assert len(runs) == 12
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        page = browser.new_page(viewport={"width": 1700, "height": 1200})
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.set_default_timeout(60_000)

        # The table groups runs by sweep. Opening a sweep shows its runs.
        page.goto(f"{address}/#/experiments/{experiment}/runs?compareRunsMode=CHART")
        page.get_by_text("13 matching runs").wait_for()
        page.get_by_text("Which optimizer, and which learning rate?").wait_for()
        names = {run.info.run_name for run in runs}
        assert len(names) == 12
        row = page.get_by_role("row").filter(has_text=sweep.info.run_name).first
        row.get_by_role("button").last.click()
        for name in names:
            page.get_by_text(name, exact=True).first.wait_for()

        # All runs in one chart for each metric; the UI shows ten at first.
        page.get_by_test_id("experiment-view-runs-visibility-column-header").click()
        page.get_by_text("Show all runs").click()
        page.get_by_placeholder("Search metric charts").fill("validation/accuracy")
        chart = page.locator(".js-plotly-plot").first
        chart.wait_for()
        chart.locator(".scatterlayer .trace").nth(11).wait_for(state="attached")

        # The registry has the champion, and why it is the champion.
        page.goto(f"{address}/#/models/digits-quick/versions/1")
        page.get_by_text("there was no champion").first.wait_for()
        page.goto(f"{address}/#/models/digits-quick")
        page.get_by_text(re.compile(r"^@\s*champion$")).first.wait_for()

        compared = {"runs": json.dumps([run.info.run_id for run in runs]), "experiments": json.dumps([experiment])}
        page.goto(f"{address}/#/compare-runs?{urlencode(compared)}")
        page.get_by_text("Comparing 12 Runs from 1 Experiment").wait_for()
        text = page.locator("body").inner_text()
        for word in ("learning_rate.lr", "optimizer.name", "best/validation_accuracy", "test/accuracy"):
            assert word in text
        browser.close()
    outside = [url for url in requests if urlparse(url).hostname not in ("127.0.0.1", None)]
    assert not outside
