"""`nerva track`."""

import click

from nerva.cli import arguments


@click.command()
@click.argument("experiment_and_overrides", metavar="[EXPERIMENT] [OVERRIDES]...", nargs=-1, type=arguments.Override())
def command(experiment_and_overrides: tuple[str, ...]) -> None:
    """Log runs that are missing in MLflow, each once.

    With EXPERIMENT, a file of conf/experiment, these are its runs; OVERRIDES are those with which they were trained.
    Without it they are all runs in the results.
    """
    from nerva.experiment.config.composition import compose
    from nerva.experiment.sweep.logged_sweeps import log_all, log_plan

    names, overrides = arguments.split_names(experiment_and_overrides)
    if names:
        log_plan(arguments.plan(names[0], (*names[1:], *overrides)), click.echo)
    else:
        # Every run has recorded its own dataset; `data=auto` would search for one.
        log_all(compose(["data=digits", *overrides]), click.echo)
