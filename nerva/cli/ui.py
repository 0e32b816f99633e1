"""`nerva ui`."""

import click

from nerva.cli import arguments


@click.command()
@click.option("--port", default=5000, show_default=True, help="Where to listen, on this machine only.")
@arguments.overrides
def command(port: int, overrides: tuple[str, ...]) -> None:
    """Open the MLflow UI on the results, for this machine only.

    OVERRIDES are Hydra's, such as results_dir=elsewhere.
    """
    import os
    import sys

    from nerva.experiment.compose import compose

    # The data does not matter, and to choose it could take a while.
    uri = compose(["data=digits", *overrides]).tracking.uri
    click.echo(f"http://127.0.0.1:{port} shows {uri}. Runs are under «Model training». Ctrl-C ends it.", err=True)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    arguments = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
