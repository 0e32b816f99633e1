"""The command line: `nerva VERB`. Each verb is a module of this package, which is imported when the verb is called."""

import errno
import importlib
import sys
from typing import Any

import click

from nerva.errors import NervaError, RunFailedError
from nerva.experiment.report.text import printable
from nerva.experiment.run.signals import Interrupted, end_by, interruptible

DISK_FULL = 28  # exit code; the pipeline stops at the first one

# The verbs, with the first line of their help, which is shown without importing them.
VERBS = {
    "train": "Train one run, or a sweep of runs (-m): a Hydra application.",
    "replay": "Train recorded runs again, and compare every metric and every weight.",
    "search": "Search for good values with Optuna, and prune runs that are not promising.",
    "id": "Show the ids of runs without training them.",
    "data": "List the datasets, or add one from a file.",
    "prepare": "Prepare a dataset.",
    "track": "Log runs that are missing in MLflow, each once.",
    "compare": "Compare the runs of a sweep: leaderboard, plots and report.",
    "ui": "Open the MLflow UI on the results, for this machine only.",
    "mlp": "Train a network with the flags and the table of nerva-numpy's mlp.py.",
    "inspect": "Show what is in .npz files: datasets, weights, whole networks.",
    "prove": "Prove the engine's equations on symbols.",
    "completion": "Print the script that lets a shell complete nerva's commands.",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = importlib.import_module(f"nerva.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            ctx.fail(f"There is no command '{args[0]}'. There are: {', '.join(VERBS)}.")
        return super().resolve_command(ctx, args)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nerva")
def nerva() -> None:
    """Reproducible experiments with multilayer perceptrons."""


def main() -> None:
    """Run the command line.

    The exit code is 0; 1 for a user's mistake, 2 for a wrong option, 3 if a run ended as failed, and 28 if the disk is
    full. A process that is interrupted ends by the signal that interrupted it.
    """
    try:
        with interruptible():
            nerva.main(standalone_mode=True)
    except Interrupted as interruption:
        print(f"nerva: {interruption}", file=sys.stderr)
        end_by(interruption.signum)
    except RunFailedError as error:
        print(f"nerva: {error}", file=sys.stderr)
        sys.exit(3)
    except (NervaError, MemoryError) as error:
        print(f"nerva: {printable(str(error)) or 'there is not enough memory'}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.strerror is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"nerva: {where}{error.strerror}", file=sys.stderr)
        sys.exit(DISK_FULL if error.errno == errno.ENOSPC else 1)
