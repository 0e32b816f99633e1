"""`nerva train`: Hydra's application."""

import logging

import click

from nerva.cli.arguments import Override
from nerva.experiment.config import numerics
from nerva.experiment.run.signals import Interrupted


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
    from nerva.experiment.config.composition import Point, application
    from nerva.experiment.config.schema import Config, Sweep
    from nerva.experiment.identity.identify import run_id
    from nerva.experiment.records.run_folder import RunFolder
    from nerva.experiment.records.sweep_record import remember
    from nerva.experiment.run.train import run
    from nerva.experiment.sweep.progress import Progress
    from nerva.experiment.tracking.follower import followed, unlogged

    pending: list[tuple[Config, RunFolder]] = []  # runs that the store did not take
    sweeps: list[Progress] = []
    log = logging.getLogger("nerva.train")

    @contextmanager
    def around(points: list[Point], sweep: Sweep) -> Iterator[None]:
        """Notes what a sweep is, and shows how far it is."""
        if not points:
            yield
            return
        # A sweep may be one over datasets, each of which has an experiment of its own.
        runs: dict[tuple[str, str, str], list[str]] = {}
        for point in points:
            config = point.config
            runs.setdefault((config.results_dir, config.title, config.question), []).append(point.run_id)
        for (results_dir, title, question), run_ids in runs.items():
            remember(results_dir, title, sweep, question, run_ids)
        folders = [(RunFolder.of(point.config.results_dir, point.run_id), point.config) for point in points]
        with Progress(folders, log.info, alone=False) as progress:
            sweeps.append(progress)
            yield

    def task(config: Config, overrides: list[str]) -> None:
        logging.getLogger("nerva").setLevel(logging.INFO)
        folder = RunFolder.of(config.results_dir, run_id(config))
        remember(config.results_dir, config.title, config.sweep, config.question, [folder.run_id])
        with nullcontext(sweeps[0]) if sweeps else Progress([(folder, config)], log.info, alone=False) as progress:
            with progress.shown(logging.getLogger()):
                train(config, overrides, folder)
            progress.tell()
        summary = folder.read_summary()
        if summary["status"] == "failed":
            raise RunFailedError(f"run {folder.run_id} failed: {summary['reason']} (see {folder.path})")

    def train(config: Config, overrides: list[str], folder: RunFolder) -> None:
        """Trains a run and logs it. A store that has refused is not asked again before the end."""
        if not config.tracking.enabled or pending:
            run(config, overrides)
            if config.tracking.enabled and not config.tracking.deferred:
                pending.append((config, folder))
            return
        try:
            with followed(config, folder) as follower:
                run(config, overrides)
        except Interrupted as interruption:
            if interruption.folder and not follower.refused:
                record(config, folder)
            raise
        if not config.tracking.deferred:
            if follower.refused:
                pending.append((config, folder))
            else:
                record(config, folder)

    def record(config: Config, folder: RunFolder) -> None:
        """Logs a run to MLflow, or says once that it can't be."""
        from nerva.experiment.tracking import track

        try:
            track([folder], config.title, config.tracking.uri, config.results_dir, config.sweep, config.question)
        except (NervaError, OSError) as error:
            pending.append((config, folder))
            tqdm.write(unlogged(str(error)), file=sys.stderr)

    def make_up() -> None:
        """Logs what could not be before, if the store is back."""
        from nerva.experiment.tracking import track

        try:
            for config, folder in pending:
                track([folder], config.title, config.tracking.uri, config.results_dir, config.sweep, config.question)
        except (NervaError, OSError):
            return  # as was said
        print("nerva: the store is back, and has taken all of these runs now", file=sys.stderr)

    try:
        application(task, arguments, around)
    finally:
        if pending and not isinstance(sys.exception(), Interrupted):
            make_up()
