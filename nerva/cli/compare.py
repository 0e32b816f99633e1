"""`nerva compare`."""

from pathlib import Path
from typing import Any

import click

from nerva.cli import arguments


@click.command()
@arguments.experiment
@arguments.overrides
def command(experiment: str, overrides: tuple[str, ...]) -> None:
    """Compare the runs of EXPERIMENT, a file of conf/experiment: leaderboard, plots and summary.

    OVERRIDES are Hydra's, the same as those with which the runs were made.
    """
    from nerva.errors import NervaError
    from nerva.experiment.compare import load, summary, write

    config, folders = arguments.sweep(experiment, overrides)
    if missing := [folder.run_id for folder in folders if not folder.is_whole()]:
        command = " ".join(["nerva train -m", f"+experiment={experiment}", *overrides])
        raise NervaError(f"{len(missing)} of {len(folders)} runs of {config.title} are not made yet; try: {command}")
    comparison = load(folders, config.title, config.data.note)
    folder = Path(config.results_dir) / config.title
    ui = _ui(config)
    write(comparison, folder, ui)
    click.echo(summary(comparison, folder, ui), nl=False)


def _ui(config: Any) -> str:
    """How to see the runs in MLflow's UI, if they are there."""
    if not config.tracking.enabled:
        return ""
    if config.tracking.uri != f"sqlite:///{config.results_dir}/mlflow.db":
        return str(config.tracking.uri)
    elsewhere = f"nerva ui results_dir={config.results_dir}"
    command = "make ui (or: nerva ui)" if config.results_dir == "results" else elsewhere
    return f"{command}, then http://127.0.0.1:5000, «Model training»"
