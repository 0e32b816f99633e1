"""`nerva id`."""

import click

from nerva.cli.arguments import Override
from nerva.experiment.config import numerics


@click.command()
@click.argument("overrides", metavar="[RUN] [OVERRIDES]...", nargs=-1, type=Override())
@click.option("--explain", is_flag=True, help="List what the id is made of: configuration, data and code.")
def command(overrides: tuple[str, ...], explain: bool) -> None:
    """Show the ids of runs without training them.

    OVERRIDES are those of `nerva train`, and may be sweeps. Each line has the id of a run and the overrides that give
    its configuration. Neither results nor data have to exist.

    With --explain, RUN may be the id of an existing run.
    """
    # Before NumPy is imported: another process would have to find out whether this machine supports portable numerics.
    numerics.pin_for(overrides)
    from nerva.experiment.report.text import plural, printable_line
    from nerva.experiment.sweep.explanation import explain_point, explain_record, recorded_run
    from nerva.experiment.sweep.planning import plan_sweep

    if explain and (folder := recorded_run(overrides)):
        click.echo("\n".join(explain_record(folder)))
        return
    plan = plan_sweep(overrides)
    if plan.rules:
        click.echo(f"{plural(len(plan.points), 'point')}: {printable_line('; '.join(plan.rules))}", err=True)
    for point in plan.points:
        click.echo(f"{point.run_id}  {' '.join(point.overrides)}")
        if explain:
            click.echo("\n".join(explain_point(point)))
