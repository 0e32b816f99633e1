"""`nerva train`: Hydra's application."""

import click

from nerva.cli.arguments import Override
from nerva.experiment.config import numerics

_PASS_TO_HYDRA = {"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False}


@click.command(add_help_option=False, context_settings=_PASS_TO_HYDRA)
@click.argument("arguments", nargs=-1, type=Override())
def command(arguments: tuple[str, ...]) -> None:
    """Train one run, or a sweep of runs (-m): a Hydra application."""
    numerics.pin_for(arguments)  # before NumPy is imported
    from nerva.experiment.sweep.application import run_application

    run_application(arguments)
