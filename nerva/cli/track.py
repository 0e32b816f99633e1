"""`nerva track`."""

from typing import TYPE_CHECKING

import click

from nerva.cli import arguments

if TYPE_CHECKING:
    from nerva.experiment.records.run_folder import RunFolder
    from nerva.experiment.records.sweep_record import Asked


@click.command()
@click.argument("experiment_and_overrides", metavar="[EXPERIMENT] [OVERRIDES]...", nargs=-1, type=arguments.Override())
def command(experiment_and_overrides: tuple[str, ...]) -> None:
    """Log runs to MLflow that it does not have, each once.

    The runs of EXPERIMENT, a file of conf/experiment; or without it all that there are, each where it was made.
    OVERRIDES are Hydra's, the same as those with which the runs were made.
    """
    from nerva.errors import NervaError
    from nerva.experiment.config.composition import compose
    from nerva.experiment.records.privacy import private
    from nerva.experiment.records.sweep_record import Asked, remember, remembered
    from nerva.experiment.report.ranking import plural

    names, overrides = arguments.apart(experiment_and_overrides)
    if names:
        config, folders = arguments.sweep(names[0], (*names[1:], *overrides))
        asked = Asked(config.title, config.question, config.sweep, [folder.run_id for folder in folders])
        groups = [asked]
    else:
        # The data does not matter: what was made with which is recorded.
        config = compose(["data=digits", *overrides])
        groups = remembered(config.results_dir)
    if not config.tracking.enabled:
        raise NervaError("tracking is off; say tracking=mlflow")
    ended = [(asked, _ended(asked, config.results_dir)) for asked in groups]
    if not any(folders for _, folders in ended):
        what = (
            f"none of the {len(groups[0].runs)} runs of {groups[0].title} is made yet" if names else "there are no runs"
        )
        raise NervaError(f"{what}; train them first")
    if names:
        remember(config.results_dir, asked.title, asked.sweep, asked.question, asked.runs)
    from nerva.experiment.tracking import track

    problems = []
    for asked, folders in ended:
        if not folders:
            continue
        try:
            logged = track(folders, asked.title, config.tracking.uri, config.results_dir, asked.sweep, asked.question)
        except NervaError as error:
            problems.append(str(error))
            continue
        there = len(folders) - logged
        done = f"{plural(logged, 'run')} logged to {private(config.tracking.uri)}"
        click.echo(f"{asked.title}: {done}, {there} were there already")
        if len(folders) < len(asked.runs):
            click.echo(f"{len(asked.runs) - len(folders)} of {len(asked.runs)} runs are not made yet")
    if problems:
        raise NervaError("\n".join(dict.fromkeys(problems)))


def _ended(asked: "Asked", results_dir: str) -> "list[RunFolder]":
    """The runs that nobody is making: those that are done, and those that were killed."""
    from nerva.experiment.records.run_folder import RunFolder

    folders = [RunFolder.of(results_dir, run_id) for run_id in asked.runs]
    return [
        f for f in folders if f.is_whole() or (f.metrics.exists() and f.provenance.exists() and not f.is_being_made())
    ]
