"""`nerva train` as a Hydra application."""

import logging.config
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.utils import get_args_parser

from nerva.errors import NervaError
from nerva.experiment.config.hydra_errors import translated
from nerva.experiment.config.overrides import check_overrides
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.sweep.jobs import RunTask, launch_jobs, run_hydra, run_sweeper
from nerva.experiment.sweep.launcher import Launcher
from nerva.experiment.sweep.plan import Plan
from nerva.experiment.sweep.planning import SweeperError, plan_command
from nerva.experiment.sweep.progress import Progress


def run_application(arguments: Sequence[str]) -> None:
    """Train what Hydra's command line asks for: one run, or a sweep.

    Raises:
        NervaError: if a key or an option is unknown, or a value is wrong.
        RunFailedError: if a run ended as failed.
        Interrupted: if a signal ends the application.
    """
    # argparse, which Hydra uses, needs all overrides in one place.
    arguments = sorted(arguments, key=lambda a: a.startswith("-") or not ("=" in a or a.startswith("~")))
    sys.argv = ["nerva train", *arguments]
    # Otherwise Hydra prints errors itself.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with translated():
        try:
            plan = _plan(arguments)
        except SweeperError as chosen:
            run_sweeper(chosen)
            return
        # A single run that needs more of Hydra than its configuration is a job of Hydra as well.
        if plan is None or not (plan.job_logging or plan.sweep.id):
            run_hydra(RunTask())
            return
        launcher = Launcher()
        plan.record()
        try:
            with Progress([(point.folder, point.config) for point in plan.points], print):
                if plan.job_logging:
                    # Hydra would compose each configuration twice more.
                    with _logging(plan.job_logging):
                        launcher.launch_all(plan.points)
                else:
                    launch_jobs(plan, get_args_parser().parse_args(arguments).overrides, launcher)
        finally:
            if not isinstance(sys.exception(), Interrupted):
                launcher.finish()


@contextmanager
def _logging(config: dict[str, Any]) -> Iterator[None]:
    """Configure logging as Hydra does for a job, and restore it at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logging.config.dictConfig(config)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def _plan(arguments: Sequence[str]) -> Plan | None:
    """What is to be trained; None if Hydra only shows something, or uses a configuration of the user's own."""
    asked = get_args_parser().parse_args(list(arguments))
    if asked.experimental_rerun:
        raise NervaError("--experimental-rerun reads a pickle, which can execute code; nerva never does that")
    check_overrides(asked.overrides)
    if any((asked.help, asked.hydra_help, asked.cfg, asked.info, asked.shell_completion)):
        return None
    if asked.resolve or (asked.run and asked.multirun):
        return None  # Hydra says that these flags do not go together
    if any((asked.config_name, asked.config_path, asked.config_dir)):
        return None  # Hydra checks it as it comes to each job
    return plan_command(asked.overrides, asked.multirun)
