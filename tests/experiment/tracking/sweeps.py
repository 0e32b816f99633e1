"""What the tests of tracking share: short runs, sweeps of them, and what a store has."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import record_sweep
from nerva.experiment.tracking import track
from tests.helpers import client_of, configured, trained

FIRST, SECOND, THIRD = (
    Sweep("aaaaaaaa", "quick"),
    Sweep("bbbbbbbb", "quick seed=1,2"),
    Sweep("cccccccc", "quick seed=2"),
)


def trained_runs(*seeds: int) -> list[RunFolder]:
    """Runs of one epoch with these seeds."""
    return [trained(configured("experiment_name=test", f"seed={seed}", "train.epochs=1")) for seed in seeds]


def track_sweep(results: Path, uri: str, sweep: Sweep, folders: Sequence[RunFolder], title: str = "digits-test") -> int:
    """Record that runs belong to a sweep, and log them."""
    record_sweep(results, title, sweep, "Which?", [folder.run_id for folder in folders])
    return track(folders, title, uri, results, sweep, "Which?")


def parents_in(client, title: str = "digits-test") -> dict:
    """The parents of an experiment's sweeps, by the ids of the sweeps."""
    experiment = client.get_experiment_by_name(title).experiment_id
    found = client.search_runs([experiment], "tags.`nerva.sweep.id` != ''")
    return {parent.data.tags["nerva.sweep.id"]: parent for parent in found}


def epochs_in(client, run) -> list[int]:
    """The epochs of which MLflow has the training loss of a run."""
    return [metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss")]


def leave_running(client, *runs) -> None:
    """Change runs as if the process that logged them had been killed."""
    for run in runs:
        if "nerva.ended" in run.data.tags:
            client.delete_tag(run.info.run_id, "nerva.ended")
        client.update_run(run.info.run_id, "RUNNING")


def nerva_track(*arguments: str) -> tuple[int, str]:
    """Run `nerva track` in this process; returns the exit code, and all that a user sees."""
    from nerva.cli.track import command

    result = CliRunner().invoke(command, list(arguments))
    if isinstance(result.exception, NervaError):
        return 1, f"{result.output}nerva: {result.exception}"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def runs_so_far(uri: str, title: str) -> dict:
    """The runs of an experiment; none if the database is not ready, which a client would spoil."""
    path = uri.removeprefix("sqlite:///")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            ready = connection.execute("select 1 from experiments where name = ?", [title]).fetchall()
    except sqlite3.OperationalError:
        return {}
    client = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name(title).experiment_id]) if ready else []
    return {run.data.tags.get("nerva.run_id", "sweep"): run for run in runs}
