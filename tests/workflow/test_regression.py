"""A regression, from the data to the champion and the replay, by its own metric."""

import csv
import json
import shlex

import pytest

from tests.helpers import Command
from tests.workflow.test_pipeline import SNAKEMAKE, runs

OVERRIDES = "optimizer=momentum learning_rate.lr=0.02,0.005,0.001 train.epochs=30 seed=1,2"


@pytest.mark.long
def test_a_regression_by_both_entry_points(run: Command, prepared) -> None:
    config = ("--config", "experiment=quick", "data=diabetes", f"overrides={OVERRIDES}")
    result = run(*SNAKEMAKE, *config)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = result.stdout
    assert "diabetes-quick: 6 runs of 3 configurations on scikit-learn diabetes" in summary
    (folder,) = (path for path in prepared.glob("results/diabetes-quick-*") if path.is_dir())

    # The leaderboard, the summary and the report are by R².
    rows = list(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    board = [row for row in rows if row["row"] == "configuration"]
    r2 = [float(row["validation_r2"]) for row in board]
    assert r2 == sorted(r2, reverse=True)
    assert 0.2 < r2[0] < 1
    assert "validation_accuracy" not in rows[0]
    assert f"validation   R² {r2[0]:.4f} ± " in summary
    report = (folder / "report.html").read_text()
    for said in (
        "ranked by validation R²",
        "test R²",
        "root mean squared error",
        "Configurations with failed runs are",
    ):
        assert said in report
    assert "accuracy" not in report.partition("</script>")[2]

    # The same runs by Hydra, which has nothing to train.
    before = runs(prepared)
    assert {record["best"]["validation_r2"] > 0 for record in before.values()} == {True}
    ids = run("nerva", "id", "+experiment=quick", "data=diabetes", *shlex.split(OVERRIDES))
    assert {line.split()[0] for line in ids.stdout.splitlines()} == {*before}
    again = run("nerva", "train", "-m", "+experiment=quick", "data=diabetes", *shlex.split(OVERRIDES))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("already exists") == 6
    assert runs(prepared) == before

    # The champion is the run with the highest R².
    best = max(before, key=lambda run_id: before[run_id]["best"]["validation_r2"])
    assert f"The best single run by validation R² is <code>{best}</code>" in report
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{prepared}/results/mlflow.db")
    champion = client.get_model_version_by_alias("diabetes-quick", "champion")
    assert champion.tags["nerva.run_id"] == best
    assert champion.tags["validation_r2"] == repr(before[best]["best"]["validation_r2"])
    logged = client.get_run(champion.run_id)
    assert logged.data.metrics["best/test_r2"] == before[best]["best"]["test_r2"]
    assert "validation/r2" in logged.data.metrics
    assert "validation/accuracy" not in logged.data.metrics
    pictures = [artifact.path for artifact in client.list_artifacts(champion.run_id, "pictures")]
    assert "pictures/predictions.png" in pictures

    # A replay, also of the copy in MLflow.
    replay = run("nerva", "replay", best)
    assert replay.stdout.startswith(f"{best}  identical (7 metrics of 31 epochs"), replay.stdout
    (prepared / "results" / "runs" / best).rename(prepared / "gone")
    replay = run("nerva", "replay", best)
    assert replay.stdout.startswith(f"{best}  identical"), replay.stdout
    metrics = (prepared / "gone" / "metrics.csv").read_text().splitlines()[0]
    assert "validation_r2" in metrics
    assert "accuracy" not in metrics
    assert "validation_accuracy" not in json.loads((prepared / "gone" / "run.json").read_text())["best"]
