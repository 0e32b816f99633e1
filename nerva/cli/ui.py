"""`nerva ui`."""

import click

from nerva.cli import arguments


@click.command()
@click.option("--port", default=5000, type=click.IntRange(1, 65535), show_default=True, help="The port to listen on.")
@arguments.overrides
def command(port: int, overrides: tuple[str, ...]) -> None:
    """Open the MLflow UI on the results, for this machine only.

    OVERRIDES are Hydra's, such as results_dir=elsewhere.
    """
    import os
    import sys

    from nerva.errors import NervaError
    from nerva.experiment.config.composition import compose
    from nerva.experiment.records.privacy import private
    from nerva.experiment.tracking import mlflow_environment, prepare_store

    config = compose(["data=digits", *overrides])  # the dataset does not matter
    uri = config.tracking.uri
    if not config.tracking.enabled:
        raise NervaError("tracking is off; use tracking=mlflow")
    if uri.startswith(("http://", "https://")):
        raise NervaError(f"{private(uri)} is a server with a UI of its own: open it in a browser")
    prepare_store(uri, config.results_dir)
    click.echo(
        f'http://127.0.0.1:{port} shows {private(uri)}. The runs are under "Model training". Stop it with Ctrl-C.',
        err=True,
    )
    arguments_ = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execve(sys.executable, [sys.executable, *arguments_], mlflow_environment(os.environ))  # noqa: S606
