"""`nerva id`."""

import click

from nerva.cli.arguments import Override


@click.command()
@click.argument("overrides", nargs=-1, type=Override())
def command(overrides: tuple[str, ...]) -> None:
    """Show which runs a configuration is, without training: the id of each, and the overrides that make it.

    OVERRIDES are those of `nerva train`, sweeps among them. Neither results nor data have to be there.
    """
    from nerva.experiment.config.composition import points

    for point in points(overrides):
        click.echo(f"{point.run_id}  {' '.join(point.overrides)}")
