"""`nerva compare`."""

from pathlib import Path

import click

from nerva.cli import arguments


@click.command()
@arguments.experiment
@arguments.overrides
def command(experiment: str, overrides: tuple[str, ...]) -> None:
    """Compare the runs of EXPERIMENT, a file of conf/experiment: leaderboard, plots and summary.

    OVERRIDES are Hydra's, the same as those with which the runs were made.
    """
    from nerva.experiment.compare import load, summary, write
    from nerva.experiment.compose import expand
    from nerva.experiment.folder import RunFolder
    from nerva.utilities import NervaError

    points = expand(experiment, overrides)
    config = points[0].config
    folders = [RunFolder.of(config.results_dir, point.run_id) for point in points]
    if missing := [folder.run_id for folder in folders if not folder.is_whole()]:
        command = " ".join(["nerva train -m", f"+experiment={experiment}", *overrides])
        raise NervaError(f"{len(missing)} of {len(folders)} runs of {config.title} are not made yet; try: {command}")
    comparison = load(folders, config.title, config.data.note)
    folder = Path(config.results_dir) / config.title
    write(comparison, folder)
    click.echo(summary(comparison, folder), nl=False)
