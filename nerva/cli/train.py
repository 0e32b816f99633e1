"""`nerva train`: Hydra's application."""

import logging

import click

from nerva.cli.arguments import Override
from nerva.experiment import numerics
from nerva.experiment.interruption import Interrupted


@click.command(
    add_help_option=False,
    context_settings={
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "allow_interspersed_args": False,
    },
)
@click.argument("arguments", nargs=-1, type=Override())
def command(arguments: tuple[str, ...]) -> None:
    """Train one run, or a sweep of runs (-m): a Hydra application."""
    numerics.pin_for(arguments)
    import sys
    from collections.abc import Iterator
    from contextlib import contextmanager, nullcontext

    from tqdm import tqdm

    from nerva.cli import RunFailedError
    from nerva.errors import NervaError
    from nerva.experiment.compose import Point, application
    from nerva.experiment.config import Config
    from nerva.experiment.folder import RunFolder
    from nerva.experiment.identity import run_id
    from nerva.experiment.live import followed
    from nerva.experiment.progress import Progress
    from nerva.experiment.run import run

    unlogged: list[str] = []
    sweeps: list[Progress] = []
    log = logging.getLogger("nerva.train")

    @contextmanager
    def around(points: list[Point]) -> Iterator[None]:
        """Shows how far a sweep is."""
        if not points:
            yield
            return
        folders = [(RunFolder.of(point.config.results_dir, point.run_id), point.config) for point in points]
        with Progress(folders, log.info, alone=False) as progress:
            sweeps.append(progress)
            yield

    def task(config: Config, overrides: list[str]) -> None:
        logging.getLogger("nerva").setLevel(logging.INFO)
        folder = RunFolder.of(config.results_dir, run_id(config))
        with nullcontext(sweeps[0]) if sweeps else Progress([(folder, config)], log.info, alone=False) as progress:
            with progress.shown(logging.getLogger()):
                train(config, overrides, folder)
            progress.tell()
        summary = folder.read_summary()
        if summary["status"] == "failed":
            raise RunFailedError(f"run {folder.run_id} failed: {summary['reason']} (see {folder.path})")

    def train(config: Config, overrides: list[str], folder: RunFolder) -> None:
        """Trains a run and logs it."""
        if not config.tracking.enabled:
            run(config, overrides)
        else:
            try:
                with followed(config, folder):
                    run(config, overrides)
            except Interrupted as interruption:
                if interruption.folder:
                    record(config, folder)
                raise
            if not config.tracking.deferred:
                record(config, folder)

    def record(config: Config, folder: RunFolder) -> None:
        """Logs a run to MLflow; what goes wrong is said once."""
        if unlogged:
            return
        from nerva.experiment import tracking

        try:
            tracking.track(
                [folder], config.title, config.tracking.uri, config.results_dir, config.sweep, config.question
            )
        except (NervaError, OSError) as error:
            unlogged.append(folder.run_id)
            message = f"nerva: {error}; runs are trained all the same, and `nerva track` logs them later"
            tqdm.write(message, file=sys.stderr)

    application(task, arguments, around)
