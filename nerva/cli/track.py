"""`nerva track`."""

from pathlib import Path

import click

from nerva.cli import arguments


@click.command()
@click.argument("experiment_and_overrides", metavar="[EXPERIMENT] [OVERRIDES]...", nargs=-1, type=arguments.Override())
@arguments.plan_file
@click.option("--create", is_flag=True, help="Only create the database, which takes some seconds.")
def command(experiment_and_overrides: tuple[str, ...], plan: Path | None, create: bool) -> None:
    """Log runs that are missing in MLflow, each once.

    With EXPERIMENT, a file of conf/experiment, these are its runs; OVERRIDES are those with which they were trained.
    Without it they are all runs in the results.
    """
    from nerva.experiment.sweep.logged_sweeps import create_store, log_all, log_plan

    names, overrides = arguments.split_names(experiment_and_overrides)
    if names:
        planned = arguments.plan(names[0], (*names[1:], *overrides), plan)
        create_store(planned.config) if create else log_plan(planned, click.echo)
    else:
        from nerva.experiment.config.composition import compose

        # Every run has recorded its own dataset; `data=auto` would search for one.
        config = compose(["data=digits", *overrides])
        create_store(config) if create else log_all(config, click.echo)
