"""`nerva train`: Hydra's application."""

import logging

import click

from nerva.cli.arguments import Override
from nerva.experiment import numerics
from nerva.experiment.interruption import Interrupted, interruptible


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
    from nerva.cli import RunFailedError
    from nerva.experiment.compose import application
    from nerva.experiment.config import Config
    from nerva.experiment.folder import RunFolder
    from nerva.experiment.run import run

    def track(config: Config, folder: RunFolder) -> None:
        if config.tracking.enabled:
            from nerva.experiment.tracking import track

            track([folder], config.title, config.tracking.uri, config.results_dir)

    def task(config: Config, overrides: list[str]) -> None:
        logging.getLogger("nerva").setLevel(logging.INFO)
        try:
            folder = run(config, overrides)
        except Interrupted as interruption:
            if interruption.folder:
                track(config, RunFolder(interruption.folder))
            raise
        track(config, folder)
        summary = folder.read_summary()
        if summary["status"] == "failed":
            raise RunFailedError(f"run {folder.run_id} failed: {summary['reason']} (see {folder.path})")

    with interruptible():
        application(task, arguments)
