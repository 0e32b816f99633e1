"""`nerva prepare`."""

import click

from nerva.cli import arguments


@click.command()
@click.argument("dataset", type=arguments.Option("data"))
@arguments.overrides
def command(dataset: str, overrides: tuple[str, ...]) -> None:
    """Prepare DATASET, a file of conf/data, such as mnist, digits or auto. `nerva data` lists them.

    The result is one .npz file in results/data, with its provenance beside it. OVERRIDES are Hydra's, such as
    data.mirrors=[http://localhost:8000], or data.path=mine.csv data.label=species for the dataset csv.
    """
    from nerva.data import prepare
    from nerva.experiment.config.composition import compose
    from nerva.experiment.config.validation import validate_data

    config = compose([f"data={dataset}", *overrides], settle=True)
    validate_data(config.data)
    prepared = prepare(config.data, config.data_dir)
    click.echo(f"{config.data.title}: {prepared.npz} (provenance: {prepared.provenance})")
