"""`nerva track`."""

import click

from nerva.cli import arguments


@click.command()
@arguments.experiment
@arguments.overrides
def command(experiment: str, overrides: tuple[str, ...]) -> None:
    """Log the runs of EXPERIMENT, a file of conf/experiment, to MLflow, each once.

    OVERRIDES are Hydra's, the same as those with which the runs were made.
    """
    from nerva.errors import NervaError
    from nerva.experiment.tracking import track

    config, folders = arguments.sweep(experiment, overrides)
    ended = [folder for folder in folders if folder.is_whole()]
    if not config.tracking.enabled:
        raise NervaError("tracking is off; say tracking=mlflow")
    if not ended:
        raise NervaError(f"none of the {len(folders)} runs of {config.title} is made yet; train them first")
    logged = track(ended, config.title, config.tracking.uri, config.results_dir)
    there = len(ended) - logged
    click.echo(f"{config.title}: {logged} runs logged to {config.tracking.uri}, {there} were there already")
    if len(ended) < len(folders):
        click.echo(f"{len(folders) - len(ended)} of {len(folders)} runs are not made yet")
