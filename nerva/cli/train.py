"""`nerva train`: Hydra's application."""

import logging
import sys
from contextlib import suppress
from pathlib import Path

import click

from nerva.cli.arguments import Override
from nerva.experiment.config import numerics

_PASS_TO_HYDRA = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


@click.command(add_help_option=False, context_settings=_PASS_TO_HYDRA)
@click.option("--plan", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=Override())
def command(plan: Path | None, arguments: tuple[str, ...]) -> None:
    """Train one run, or a sweep of runs (-m): a Hydra application.

    With --plan, a file that the pipeline has written, train the runs of a plan, one after another.
    """
    if plan:
        numerics.pin("native" if _is_native(plan) else "portable")  # before NumPy is imported
        from nerva.experiment.sweep.launcher import Launcher
        from nerva.experiment.sweep.plan import read_plan

        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        logging.getLogger("nerva").setLevel(logging.INFO)
        # The pipeline logs the runs to MLflow, too.
        Launcher(deferred=True).launch_all(read_plan(plan).points)
        return
    numerics.pin_for(arguments)  # before NumPy is imported
    from nerva.experiment.sweep.application import run_application

    run_application(arguments)


def _is_native(plan: Path) -> bool:
    """Whether the first run of a plan has native numerics. A plan is read by modules that import NumPy."""
    with suppress(OSError), plan.open("rb") as file:
        return b'"numerics": "native"' in file.readline() + file.readline()
    return False
