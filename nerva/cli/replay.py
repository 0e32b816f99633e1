"""`nerva replay`."""

from typing import TYPE_CHECKING

import click

from nerva.cli import arguments
from nerva.experiment.config import numerics

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config
    from nerva.experiment.records.run_folder import RunFolder


@click.command()
@click.argument("run_and_overrides", metavar="[RUN] [OVERRIDES]...", nargs=-1, type=arguments.Override())
@click.option("--experiment", type=arguments.Option("experiment"), help="Replay the runs of this sweep instead.")
@click.option("--sample", type=click.IntRange(1), help="Only so many of them, chosen at random.")
def command(run_and_overrides: tuple[str, ...], experiment: str | None, sample: int | None) -> None:
    """Train recorded runs again, and compare every figure and every weight.

    RUN is a run's id, its folder, or its id in MLflow. Everything is built from what was recorded: from the folder or,
    if that is gone, from MLflow. Says "identical", or what differs; the exit code is 0 or 1.

    OVERRIDES are Hydra's: where things are, such as results_dir=elsewhere; for a sweep, those with which it was made.
    """
    numerics.pin_for(())
    import os
    import random
    import sys

    from nerva.errors import NervaError
    from nerva.experiment.config.composition import compose
    from nerva.experiment.identity.identify import run_id

    # A folder may be called as it likes. (Path's is_dir raises an error for a long text.)
    folders_given = [text for text in run_and_overrides if os.path.isdir(text)]  # noqa: PTH112
    runs, overrides = arguments.apart(tuple(text for text in run_and_overrides if text not in folders_given))
    runs += folders_given
    if bool(runs) == bool(experiment):
        raise click.UsageError("Say which run, or which --experiment.")
    if sample and not experiment:
        raise click.UsageError("--sample is of an --experiment.")
    if experiment:
        config, folders = arguments.sweep(experiment, overrides)
        runs = _made(config, folders)
        if not runs:
            raise NervaError(
                f"none of the {len(folders)} runs of {config.title} is made yet, by the code that is here"
                " (of one that other code made, nerva replay RUN says which functions differ)"
            )
        if len(runs) < len(folders):
            click.echo(f"{len(folders) - len(runs)} of {len(folders)} runs are not made yet")
        runs = random.sample(runs, min(sample or len(runs), len(runs)))
    else:
        # What a run is was recorded; overrides say where things are. (data=auto would look for them.)
        config, recorded = compose(["data=digits", *overrides]), compose(["data=digits"])
        if run_id(config) != run_id(recorded):
            raise NervaError(
                f"a run is replayed as it was recorded, and {' '.join(overrides)} would be another;"
                " overrides say where things are, such as results_dir=elsewhere"
            )
    identical = 0
    for run in runs:
        try:
            identical += _replay(run, config, anywhere=not any(o.startswith("results_dir=") for o in overrides))
        except (NervaError, OSError) as error:
            if not experiment:
                raise
            click.echo(f"{run}  can't be replayed: {error}")
    if experiment:
        click.echo(f"{identical} of {len(runs)} runs are identical")
    sys.exit(1 if identical < len(runs) else 0)


def _made(config: "Config", folders: "list[RunFolder]") -> list[str]:
    """The ids of the runs of a sweep that are recorded, be it well or not; and not those that are still to be made."""
    from nerva.errors import NervaError

    # What is written at a run's end.
    ended = [folder for folder in folders if any(x.exists() for x in (folder.weights, folder.best, folder.summary))]
    made = [folder.run_id for folder in ended]
    if len(made) < len(folders) and config.tracking.enabled:
        from nerva.experiment.tracking import tracked

        try:
            known = tracked(config.tracking.uri)
        except NervaError as error:
            if not made:
                raise
            click.echo(error, err=True)
            known = set()
        made += [folder.run_id for folder in folders if not folder.path.is_dir() and folder.run_id in known]
    return made


def _replay(run: str, config: "Config", anywhere: bool) -> bool:
    """Replays a run, and says what came of it; returns whether it is identical.

    Args:
        run: its id, nerva's or MLflow's, or its folder.
        config: where things are.
        anywhere: whether a folder's data may be beside it, and not where the configuration has them.
    """
    import re
    import shutil
    import tempfile
    from pathlib import Path

    from nerva.errors import NervaError
    from nerva.experiment.records.run_folder import RunFolder
    from nerva.experiment.run.replay import replay

    results_dir = config.results_dir
    logged: dict[str, list[tuple[int, float]]] = {}
    downloaded = Path(tempfile.mkdtemp(prefix="nerva-recorded-"))
    needed = False
    try:
        if run and Path(run).is_dir():
            recorded = RunFolder(Path(run).resolve())
            if not any(file.exists() for file in recorded.evidence):
                raise NervaError(f"{run} is no run's folder")
            beside = recorded.path.parent.parent
            if anywhere and (beside / "data").is_dir():
                results_dir = str(beside)
        elif re.fullmatch("[0-9a-f]{12}|[0-9a-f]{32}", run):
            recorded = RunFolder.of(config.results_dir, run)
            if not recorded.path.is_dir():
                if not config.tracking.enabled:
                    raise NervaError(f"there is no run {run} in {recorded.path.parent}, and tracking is off")
                from nerva.experiment import tracking

                recorded, logged = tracking.recorded(run, config.tracking.uri, downloaded)
        else:
            raise NervaError(f'"{run}" is no folder, and no id: a run has 12 hexadecimal digits, and in MLflow 32')
        verdict = replay(recorded, results_dir, logged)
        outcome = f"identical ({verdict.compared})" if verdict.identical else "different"
        click.echo(f"{verdict.run_id}  {outcome}")
        for line in (*verdict.differences, *verdict.context):
            click.echo(f"  {line}")
        if verdict.advice:
            click.echo("  the code that made it:")
        for line in verdict.advice:
            click.echo(f"    {line}")
        needed = any(str(downloaded) in line for line in verdict.advice)
        return verdict.identical
    finally:
        if not needed:
            shutil.rmtree(downloaded)
