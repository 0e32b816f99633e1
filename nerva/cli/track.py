"""`nerva track`."""

from typing import Any

import click

from nerva.cli import arguments


@click.command()
@click.argument("experiment_and_overrides", metavar="[EXPERIMENT] [OVERRIDES]...", nargs=-1, type=arguments.Override())
def command(experiment_and_overrides: tuple[str, ...]) -> None:
    """Log runs to MLflow that it does not have, each once.

    The runs of EXPERIMENT, a file of conf/experiment; or without it all that there are, each where it was made.
    OVERRIDES are Hydra's, the same as those with which the runs were made.
    """
    from nerva.errors import NervaError
    from nerva.experiment.compose import compose
    from nerva.experiment.privacy import private

    names, overrides = arguments.apart(experiment_and_overrides)
    if len(names) > 1:
        raise click.UsageError(f"One experiment at a time, not {' and '.join(names)}.")
    if names:
        config, folders = arguments.sweep(names[0], overrides)
        groups = [(config.title, config.sweep, config.question, folders)]
    else:
        # The data does not matter: what was made with which is recorded.
        config = compose(["data=digits", *overrides])
        groups = _made(config.results_dir)
    if not config.tracking.enabled:
        raise NervaError("tracking is off; say tracking=mlflow")
    if not any(folder.is_whole() for *_, folders in groups for folder in folders):
        what = f"none of the {len(groups[0][-1])} runs of {groups[0][0]} is made yet" if groups else "there are no runs"
        raise NervaError(f"{what}; train them first")
    from nerva.experiment.tracking import track

    for title, sweep, question, folders in groups:
        ended = [folder for folder in folders if folder.is_whole()]
        logged = track(ended, title, config.tracking.uri, config.results_dir, sweep, question)
        there = len(ended) - logged
        click.echo(f"{title}: {logged} runs logged to {private(config.tracking.uri)}, {there} were there already")
        if len(ended) < len(folders):
            click.echo(f"{len(folders) - len(ended)} of {len(folders)} runs are not made yet")


def _made(results_dir: str) -> list[Any]:
    """All runs that there are, by the sweeps that they were made for."""
    from pathlib import Path

    from nerva.experiment.config import Sweep
    from nerva.experiment.folder import RunFolder

    groups: dict[tuple[str, str], Any] = {}
    for path in sorted(Path(results_dir).glob("runs/*/run.json"), key=lambda path: path.stat().st_mtime_ns):
        folder = RunFolder(path.parent)
        origin = folder.read_provenance().get("part_of")
        if origin is None:
            continue  # made before runs said what they were part of
        key = (origin["title"], origin["sweep"]["id"])
        groups.setdefault(key, (origin["title"], Sweep(**origin["sweep"]), origin["question"], []))[-1].append(folder)
    return list(groups.values())
