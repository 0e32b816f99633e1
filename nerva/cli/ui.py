"""`nerva ui`."""

import click

from nerva.cli import arguments


@click.command()
@click.option("--port", default=5000, type=click.IntRange(1, 65535), show_default=True, help="Where to listen.")
@arguments.overrides
def command(port: int, overrides: tuple[str, ...]) -> None:
    """Open the MLflow UI on the results, for this machine only.

    OVERRIDES are Hydra's, such as results_dir=elsewhere.
    """
    import os
    import sys
    from pathlib import Path

    from nerva.errors import NervaError
    from nerva.experiment.config.composition import compose
    from nerva.experiment.records.privacy import private

    # The data does not matter, and to choose it could take a while.
    config = compose(["data=digits", *overrides])
    tracking = config.tracking
    uri = tracking.uri
    if not tracking.enabled:
        raise NervaError("tracking is off; say tracking=mlflow")
    if uri.startswith(("http://", "https://")):
        raise NervaError(f"{private(uri)} is a server, which shows its runs itself: open it in a browser")
    from nerva.experiment.tracking.store import errors, exists, locked, opened

    if not exists(uri):
        raise NervaError(f"there is nothing at {private(uri)} yet; make some runs first, with make run or nerva train")
    # A fresh database that two processes make at once is spoilt.
    with locked(uri, Path(config.results_dir)), errors(uri):
        opened(uri)
    click.echo(
        f"http://127.0.0.1:{port} shows {private(uri)}. Runs are under «Model training». Ctrl-C ends it.", err=True
    )
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    arguments = ["-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
