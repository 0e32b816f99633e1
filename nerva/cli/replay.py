"""`nerva replay`."""

import sys
from pathlib import Path

import click

from nerva.cli import arguments
from nerva.experiment.config import numerics


@click.command()
@click.argument("run_and_overrides", metavar="[RUN] [OVERRIDES]...", nargs=-1, type=arguments.Override())
@click.option("--experiment", type=arguments.Option("experiment"), help="Replay the runs of this experiment instead.")
@click.option("--sample", type=click.IntRange(1), help="Replay only so many of them, chosen at random.")
@click.option("--trust", is_flag=True, help="Execute the user-defined modules that the runs name.")
@arguments.plan_file
def command(
    run_and_overrides: tuple[str, ...], experiment: str | None, sample: int | None, trust: bool, plan: Path | None
) -> None:
    """Train recorded runs again, and compare every metric and every weight.

    RUN is a run's id, its folder, or its id in MLflow. The run is built from its records: from the folder or, if that
    is gone, from MLflow. The output is "identical", or what differs. The exit code is 0 or 1.

    OVERRIDES are Hydra's. For a run they say where things are, such as results_dir=elsewhere. For an experiment they
    are those with which it was trained.
    """
    numerics.pin_for(())  # before NumPy is imported
    import os

    from nerva.experiment.report.text import printable_line
    from nerva.experiment.sweep.replays import replay_all, replay_experiment, replay_one

    def say(line: str) -> None:
        click.echo(printable_line(line))

    if plan:
        from nerva.experiment.sweep.plan import read_plan

        sys.exit(not replay_all(read_plan(plan), trust, say))
    # A folder may have any name. (Path.is_dir raises an error for a long text.)
    folders = [text for text in run_and_overrides if os.path.isdir(text)]  # noqa: PTH112
    names, overrides = arguments.split_names(tuple(text for text in run_and_overrides if text not in folders))
    runs = [*names, *folders]
    if bool(runs) == bool(experiment):
        raise click.UsageError("Name a run, or an --experiment.")
    if sample and not experiment:
        raise click.UsageError("--sample needs --experiment.")
    if experiment:
        identical = replay_experiment(arguments.plan(experiment, overrides), sample, trust, say)
    else:
        verdicts = [replay_one(run, overrides, trust, say) for run in runs]
        identical = all(verdicts)
    sys.exit(0 if identical else 1)
