"""The pipeline: Snakemake as a subprocess, in a temporary folder."""

import csv
import json
import math
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from nerva.cli import DISK_FULL
from tests.helpers import (
    QUICK,
    ROOT,
    Command,
    can_mount,
    command_in,
    failed_plainly,
    in_terminal,
    kill,
    started,
    until,
)

CHROMIUM = shutil.which("chromium")
NOTHING = "Nothing to be done"
SNAKEMAKE = ("snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2")


def pipeline(
    run: Command, *config: str, options: Sequence[str] = (), **changes: str
) -> subprocess.CompletedProcess[str]:
    """Snakemake as a user calls it."""
    return run(*SNAKEMAKE, *(["--config", *config] if config else []), *options, **changes)


def runs(folder: Path) -> dict[str, dict]:
    """The result of each run that has ended."""
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob("results/runs/*/run.json")}


def trained(result: subprocess.CompletedProcess[str]) -> int:
    """How many runs a call of Snakemake found to be trained."""
    (count,) = re.findall(r"runs?: (\d+) to train, \d+ already exist", result.stderr)
    return int(count)


@QUICK
def test_the_default_uses_digits_and_says_so(quick) -> None:
    _, result = quick
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert trained(result) == 12
    lines = [line for text in (result.stdout, result.stderr) for line in text.splitlines()]
    assert sum(max(1, math.ceil(len(line) / 100)) for line in lines) <= 30, output
    assert "\n12 of 12 runs done\n" in result.stderr
    reason = "MNIST is not in results/data/raw/mnist, and downloading it from the mirrors failed"
    assert f"data=auto takes digits: {reason}" in output
    summary = output[output.index("digits-quick: 12 runs of 6 configurations on scikit-learn digits") :]
    assert f"chosen by data=auto: {reason}" in summary
    assert re.search(r"validation +9\d\.\d\d% ± \d\.\d\d% \(standard deviation over 2 seeds\)", summary)


@QUICK
def test_all_results_of_digits_are_named_digits(quick) -> None:
    folder, _ = quick
    results = folder / "results"
    assert {path.name for path in results.iterdir()} >= {"data", "runs", "digits-quick", "mlflow.db", "mlartifacts"}
    paths = [path.relative_to(folder) for path in results.rglob("*")]
    assert not [path for path in paths if "mnist" in str(path).lower() and "raw" not in str(path)]
    for text in [
        *results.glob("runs/*/config.yaml"),
        *results.glob("digits-quick/*.svg"),
        *results.glob("data/*.json"),
    ]:
        if text.name != "auto.json":
            without_note = "".join(re.split(r"(?s)note:.*?\n(?=  \w|\w)", text.read_text()))
            assert "mnist" not in without_note.lower(), text


@QUICK
def test_a_runs_folder(quick) -> None:
    folder, _ = quick
    for run_id in runs(folder):
        names = {path.name for path in (folder / "results" / "runs" / run_id).iterdir()}
        evidence = {"config.yaml", "provenance.json", "code.json", "metrics.csv", "weights.npz", "best.npz"}
        assert names - {"uncommitted.patch"} == {*evidence, "run.log", "run.json"}


@QUICK
def test_the_leaderboard(quick) -> None:
    folder, _ = quick
    sweep = folder / "results" / "digits-quick"
    with (sweep / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows].count("configuration") == 6
    assert [row["row"] for row in rows].count("run") == 12
    for plot in ("learning_curves", "leaderboard"):
        assert (sweep / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (sweep / f"{plot}.svg").read_text()


@QUICK
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_snakemakes_own_report(quick) -> None:
    from playwright.sync_api import sync_playwright

    folder, _ = quick
    result = pipeline(command_in(folder), "data=digits", options=["--report", "snakemake.html"])
    assert result.returncode == 0, result.stderr
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((folder / "snakemake.html").as_uri())
        page.get_by_text("Which optimizer, and which learning rate?").wait_for()
        page.get_by_role("link", name="The data").click()
        page.get_by_text("provenance").wait_for()
        page.get_by_text("Results", exact=True).click()
        page.get_by_role("link", name="The sweep").click()
        for name in ("summary", "leaderboard", "table", "learning curves"):
            page.get_by_text(name, exact=True).wait_for()
        browser.close()
    assert problems == []


@QUICK
def test_mlflow_has_each_run_once(quick) -> None:
    from mlflow import MlflowClient

    folder, _ = quick
    client = MlflowClient(f"sqlite:///{folder}/results/mlflow.db")
    names = {experiment.name: experiment.experiment_id for experiment in client.search_experiments()}
    assert set(names) == {"Default", "digits-quick"}
    logged = client.search_runs([names["digits-quick"]])
    # The parent run of the sweep has no id of nerva's.
    assert sorted(run.data.tags.get("nerva.run_id", "") for run in logged) == ["", *sorted(runs(folder))]


@QUICK
@pytest.mark.long
def test_a_second_call_does_nothing_and_a_new_value_trains_only_the_new_points(quick) -> None:
    folder, _ = quick
    run = command_in(folder)
    before = runs(folder)
    leaderboard = (folder / "results" / "digits-quick" / "leaderboard.csv").read_text()
    assert NOTHING in pipeline(run).stderr
    assert NOTHING in pipeline(run, "data=digits").stderr
    # Two learning rates, three optimizers and two seeds. One rate is new.
    result = pipeline(run, "overrides=learning_rate.lr=0.1,0.05 tracking=off")
    assert trained(result) == 6, result.stderr
    assert len(runs(folder)) == 18
    # The comparison has a folder of its own. The runs and the comparison of the experiment as filed stay as they were.
    assert "digits-quick: 12 runs of 6 configurations" in result.stdout
    (changed,) = (folder / "results").glob("digits-quick-*")
    assert "0.05" in (changed / "leaderboard.csv").read_text()
    assert (folder / "results" / "digits-quick" / "leaderboard.csv").read_text() == leaderboard
    assert {run_id: record for run_id, record in runs(folder).items() if run_id in before} == before
    assert NOTHING in pipeline(run).stderr


@pytest.mark.long
def test_a_run_that_diverges_is_reported_and_the_others_continue(run: Command, tmp_path) -> None:
    overrides = "overrides=learning_rate.lr=1e30,0.1 optimizer=momentum train.epochs=1 seed=1 tracking=off"
    result = pipeline(run, "data=digits", overrides)
    assert result.returncode == 0, result.stderr
    assert "failed       Constant(lr=1e+30), seed 1: the loss is nan after epoch 1: training diverged" in result.stdout
    assert sorted(record["status"] for record in runs(tmp_path).values()) == ["failed", "finished"]
    assert NOTHING in pipeline(run, "data=digits", overrides).stderr
    assert not (tmp_path / "results" / "mlflow.db").exists()


@pytest.mark.long
def test_a_damaged_run_is_named_and_the_others_are_compared(run: Command, tmp_path) -> None:
    overrides = "overrides=optimizer=momentum,nesterov learning_rate.lr=0.1 train.epochs=1 seed=1 tracking=off"
    assert pipeline(run, "data=digits", overrides).returncode == 0
    damaged, other = tmp_path.glob("results/runs/*/provenance.json")
    damaged.write_text('{"run_id": 3}')
    next(tmp_path.glob("results/digits-quick-*/compared-*.txt")).unlink()
    result = pipeline(run, "data=digits", overrides)
    assert result.returncode == 0, result.stderr
    assert f"left out     {damaged.parent.name}: {damaged.relative_to(tmp_path)} is damaged" in result.stdout
    assert "digits-quick: 1 run of 1 configuration" in result.stdout
    shutil.rmtree(damaged.parent)  # as the message says
    result = pipeline(run, "data=digits", overrides)
    assert trained(result) == 1
    assert "digits-quick: 2 runs of 2 configurations" in result.stdout
    assert other.exists()


SMALL = "optimizer=momentum learning_rate.lr=0.1 seed=1 train.epochs=1"


@pytest.mark.long
def test_a_person_in_a_terminal(tmp_path, empty_store) -> None:
    """The results folder has a space in its name, and the layers have arguments."""
    results = tmp_path / "my results"
    results.mkdir()
    shutil.copy(empty_store, results)
    layers = "model.layers=['LeakyReLU(0.1)',Linear]"
    overrides = f"overrides={layers} results_dir='{results}' optimizer=momentum learning_rate.lr=0.1 train.epochs=400"
    result = in_terminal(tmp_path, *SNAKEMAKE, "--config", "data=digits", overrides)
    assert result.returncode == 0, result.stdout
    assert re.search(r"\d+%\|.{20}\| \d of 2 runs done, \d running, about \d+ (s|min) left", result.stdout)
    (provenance, _) = results.glob("runs/*/provenance.json")
    assert json.loads(provenance.read_text())["determined_by"]["layers"] == ["LeakyReLU(alpha=0.1)", "Linear"]
    assert next(results.glob("digits-quick-*/leaderboard.csv")).exists()
    assert f"nerva ui results_dir={results}" in result.stdout


@pytest.mark.long
def test_a_missing_store_is_filled_again(prepared, run: Command, tmp_path) -> None:
    assert pipeline(run, "data=digits", f"overrides={SMALL}").returncode == 0
    (tmp_path / "results" / "mlflow.db").unlink()
    markers = list(tmp_path.glob("results/*/tracked-*.txt"))
    result = pipeline(run, "data=digits", f"overrides={SMALL}", options=["--dry-run"])
    assert "track" in result.stdout
    assert list(tmp_path.glob("results/*/tracked-*.txt")) == markers  # a dry run deletes nothing
    result = pipeline(run, "data=digits", f"overrides={SMALL}")
    assert trained(result) == 0
    assert (tmp_path / "results" / "mlflow.db").exists()
    assert "1 run logged" in markers[0].read_text()


@pytest.mark.long
def test_a_part_of_the_pipeline(run: Command, tmp_path) -> None:
    result = run(*SNAKEMAKE, "results/data/digits.npz", "--config", "data=digits")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "results" / "data" / "digits.json").exists()


@pytest.mark.slow
def test_a_thousand_runs_that_are_killed_three_times(run: Command, tmp_path) -> None:
    sweep = ("--config", "data=digits", "overrides=seed=range(1,168)")

    def ended() -> dict[str, int]:
        """When each run that exists was recorded."""
        return {path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("results/runs/*/run.json")}

    before: dict[str, int] = {}
    for count in (200, 450, 700):
        with (tmp_path / "output").open("w") as output:
            process = started(tmp_path, *SNAKEMAKE, *sweep, stdout=output)
        until(lambda count=count: len(ended()) >= count, process)
        kill(process)
        now = ended()
        assert before.items() <= now.items()
        before = now
    result = pipeline(run, *sweep[1:])
    assert result.returncode == 0, result.stderr
    assert trained(result) == 1002 - len(before)
    assert before.items() <= ended().items()
    assert len(ended()) == 1002
    (leaderboard,) = tmp_path.glob("results/digits-quick-*/leaderboard.csv")
    assert len(leaderboard.read_text().splitlines()) >= 6
    with sqlite3.connect(tmp_path / "results" / "mlflow.db") as database:
        logged = database.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
    assert logged == [("FINISHED", 1002 + 1)]  # the sweep is a run, too


@pytest.mark.slow
def test_flagship(run: Command, tmp_path, mnist_dir) -> None:
    """The network of nerva-numpy's README on all of MNIST. It takes minutes."""
    for config, least in ((["overrides=train.epochs=3"], 0.96), ([], 0.975)):
        result = run(
            *SNAKEMAKE, "--config", "experiment=flagship", "data=mnist", *config,
            NERVA_DATA_DIR=str(mnist_dir),
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        folder = max((tmp_path / "results").glob("mnist-flagship*"), key=lambda path: path.stat().st_mtime)
        with (folder / "leaderboard.csv").open() as file:
            best = next(csv.DictReader(file))
        assert (best["row"], best["seeds"]) == ("configuration", "3")
        assert float(best["test_accuracy"]) >= least
        again = run(*SNAKEMAKE, "--config", "experiment=flagship", "data=mnist", *config)
        assert NOTHING in again.stderr


def test_flagship_by_a_dry_run(run: Command) -> None:
    result = run(*SNAKEMAKE, "--dry-run", "--config", "experiment=flagship", "data=mnist")
    assert re.search(r"train +3\n", result.stdout), result.stdout + result.stderr


@pytest.mark.long
def test_mnist(run: Command, tmp_path, mnist_dir) -> None:
    overrides = "overrides=train.epochs=1 optimizer=momentum learning_rate.lr=0.1 seed=1 tracking=off"
    result = pipeline(run, "data=mnist", overrides, NERVA_DATA_DIR=str(mnist_dir))
    assert result.returncode == 0, result.stderr
    (record,) = runs(tmp_path).values()
    assert record["best"]["test_accuracy"] > 0.9
    assert "mnist-quick: 1 run of 1 configuration on MNIST" in result.stdout
    # The raw files are needed only once.
    assert NOTHING in pipeline(run, "data=mnist", overrides).stderr


@pytest.mark.long
@pytest.mark.parametrize("damage", ["flip", "truncate"])
def test_damaged_raw_data(run: Command, tmp_path, mnist_dir, damage: str) -> None:
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for path in (mnist_dir / "mnist").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    labels = folder / "train-labels-idx1-ubyte.gz"
    content = bytearray(labels.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    labels.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    for data in ("mnist", "auto"):
        result = pipeline(run, f"data={data}", NERVA_DATA_DIR=str(tmp_path / "data"))
        failed_plainly(result, f"nerva: {labels} is " if data == "mnist" else f"{labels} is ")
        assert not list(tmp_path.glob("results/data/*.npz"))


MISTAKES = {
    "experiment=quik": 'there is no experiment "quik" in conf/experiment; did you mean "quick"?',
    "data=mnits": 'there is no "mnits" in conf/data; did you mean "mnist"?',
    "overrides=train.epochs=0": "train.epochs should be 1 to 1000000, not 0",
    "overrides=trian.epochs=1": 'there is no "trian" in the configuration; did you mean "train"?',
    "batch=0": "0 is less than the minimum of 1",
    "batch=-1": "-1 is less than the minimum of 1",
    "batch=x": "'x' does not match '^auto$'",
    "experimnt=quick": "'experimnt' was unexpected)\n  File",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(run: Command, tmp_path, mistake: str) -> None:
    data = [] if mistake.startswith("data=") else ["data=digits"]
    failed_plainly(pipeline(run, *data, mistake), MISTAKES[mistake])
    assert not list(tmp_path.glob("results/*"))


@pytest.mark.long
def test_a_complete_run_is_kept_even_if_its_job_is_killed(run: Command, tmp_path) -> None:
    """The process may still be logging the run, or it may have waited for another process that trained it."""
    (tmp_path / "site").mkdir()
    kill = 'import os, signal, sys\nif "train" in sys.orig_argv:\n    import atexit\n'
    kill += "    atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(kill)
    result = pipeline(run, "data=digits", f"overrides={SMALL} tracking=off", PYTHONPATH=str(tmp_path / "site"))
    assert result.returncode == 1, result.stderr
    assert len(runs(tmp_path)) == 1
    again = pipeline(run, "data=digits", f"overrides={SMALL} tracking=off")
    assert (again.returncode, trained(again)) == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("jobs", ["killed", "left alive"])
def test_a_pipeline_that_is_killed_is_finished_by_the_next_call(tmp_path, jobs: str) -> None:
    overrides = "overrides=optimizer=momentum seed=1,2 learning_rate.lr=0.1 train.epochs=150 tracking=off"
    with started(tmp_path, *SNAKEMAKE, "--config", "data=digits", overrides) as killed:
        until(lambda: list(tmp_path.glob("results/runs/*/metrics.csv")), killed)
        if jobs == "killed":
            kill(killed)
        else:
            killed.kill()
    assert list((tmp_path / ".snakemake" / "locks").iterdir())
    result = pipeline(command_in(tmp_path), "data=digits", overrides)
    assert result.returncode == 0, result.stderr
    assert [record["status"] for record in runs(tmp_path).values()] == ["finished"] * 2
    logs = [path.read_text() for path in tmp_path.glob("results/runs/*/run.log")]
    # Either the runs were resumed from their checkpoints, or the jobs that stayed alive have completed them.
    assert any("resuming after epoch" in log for log in logs) == (jobs == "killed")


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """The size and time of each file, except for Snakemake's own."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if not {".snakemake", "home"} & {*path.relative_to(folder).parts} and path.is_file()
    }


@pytest.mark.long
def test_looking_changes_nothing(run: Command, tmp_path) -> None:
    """Offline, without and with results: nothing is downloaded, written or deleted."""
    for name in ("Snakefile", "conf", "workflow", "profiles"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path], check=True)

    def look(*command: str) -> None:
        result = run(*command, **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"))
        assert "Traceback" not in result.stderr, result.stderr

    before = snapshot(tmp_path)
    look("snakemake", "--dry-run")
    look("snakemake", "--lint")
    look("nerva", "id", "+experiment=quick")
    look("nerva", "ui", "--help")
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "results").exists()
    config = ("--config", "data=digits", f"overrides={SMALL} tracking=off")
    assert run("snakemake", "--cores", "2", "replay", *config).returncode == 0
    before = snapshot(tmp_path)
    look("snakemake", "--dry-run", "replay", *config)
    look("snakemake", "--dag", *config)
    look("snakemake", "--summary", *config)
    assert snapshot(tmp_path) == before


@pytest.mark.long
def test_a_quote_at_the_end_of_the_overrides(run: Command, tmp_path) -> None:
    """Snakemake removes a quote at the end of a value."""
    overrides = f'overrides={SMALL} tracking=off question="What is x?"'
    result = pipeline(run, "data=digits", overrides)
    assert result.returncode == 0, result.stderr
    (report,) = tmp_path.glob("results/*/report.html")
    assert "What is x?" in report.read_text()


@pytest.mark.parametrize("host", ["this", "another"])
@pytest.mark.long
def test_the_lock_of_a_dead_process(run: Command, tmp_path, host: str) -> None:
    """It is removed if the process ran on this host, and kept if nothing can be said about it."""
    locks, processes = tmp_path / ".snakemake" / "locks", tmp_path / ".snakemake" / "nerva"
    locks.mkdir(parents=True)
    processes.mkdir()
    (locks / "0.output.lock").write_text("results/data/digits.npz\n")
    process = {"host": socket.gethostname(), "boot": "another boot", "pid": 1, "started": 0.0}
    if host == "another":
        process["host"] = "another.example.org"
    (processes / "process.json").write_text(json.dumps(process))
    target = (*SNAKEMAKE, "results/data/digits.npz", "--config", "data=digits")
    assert run(*target, "--dry-run").returncode == 0
    assert list(locks.iterdir())  # a dry run removes nothing
    result = run(*target)
    if host == "this":
        assert result.returncode == 0, result.stderr
        assert not list(locks.glob("*"))
    else:
        failed_plainly(result, "cannot be locked")
        assert list(locks.iterdir())


@pytest.mark.long
@pytest.mark.skipif(not can_mount(), reason="this system does not let users mount file systems")
def test_a_full_disk_stops_the_pipeline(run: Command, tmp_path) -> None:
    """It stops at the first job that finds the disk full. The same command completes the sweep when there is room."""
    (tmp_path / "results").mkdir()
    snakemake = shlex.join(
        [*map(str, SNAKEMAKE), "--config", "data=digits", "overrides=tracking=off optimizer=momentum"]
    )
    script = f"""
        mount -t tmpfs -o size=700k none results
        {snakemake} > first.txt 2>&1; echo $?
        mount -o remount,size=50m none results
        {snakemake} > second.txt 2>&1; echo $?
    """
    result = run("unshare", "-rm", "sh", "-c", script)
    first, second = ((tmp_path / f"{name}.txt").read_text() for name in ("first", "second"))
    assert result.stdout.split() == ["1", "0"], first + second
    assert "No space left on device" in first
    assert first.count("failed: Training") <= 2, first  # one for each core
    assert "digits-quick: 4 runs" in second


@pytest.mark.skipif(not can_mount(), reason="this system does not let users mount file systems")
def test_a_full_disk_in_a_runs_own_process(run: Command, tmp_path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "mine.py").write_text("")  # a run with user-defined modules has its own process
    train = "nerva train data=digits imports=[mine] model.hidden=[2000] tracking=off"
    result = run("unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=700k none results; {train}")
    assert result.returncode == DISK_FULL, result.stderr
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.long
def test_a_password_in_an_override_is_in_no_file(run: Command, tmp_path) -> None:
    secret = "-".join(("the", "secret"))  # in two parts, because a run records this file if it is not committed
    overrides = f"overrides={SMALL} tracking.uri=http://ada:{secret}@127.0.0.1:9"
    result = pipeline(run, "data=digits", overrides)
    assert result.returncode == 1, result.stderr
    assert "MLflow's store at http://127.0.0.1:9" in result.stderr
    assert secret not in result.stdout + result.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]
