"""Arguments that verbs share, and their completion in a shell."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from nerva.experiment.paths import conf_dir, options

if TYPE_CHECKING:
    from nerva.experiment.sweep.plan import Plan


class Option(click.ParamType[str]):
    """The name of a file in a folder of conf/."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.name = group

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in options(self.group) if name.startswith(incomplete)]


class Override(click.ParamType[str]):
    """An override of Hydra. The options in conf/ are completed."""

    name = "override"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        groups = sorted(path.name for path in conf_dir().iterdir() if path.is_dir())
        # An experiment is added to the configuration; an option of any other group replaces the one that is there.
        keys = {group: f"+{group}" if group == "experiment" else group for group in groups}
        choices = [f"{key}={option}" for group, key in keys.items() for option in options(group)]
        return [CompletionItem(choice) for choice in choices if choice.startswith(incomplete)]


def plan(experiment: str, overrides: tuple[str, ...], file: Path | None = None) -> "Plan":
    """The plan of an experiment, for a command that only looks at its runs.

    Args:
        experiment: the experiment.
        overrides: the overrides with which it was trained.
        file: the file of the plan, if the pipeline has written it.
    """
    if file:
        from nerva.experiment.sweep.plan import read_plan

        return read_plan(file)
    from nerva.experiment.sweep.planning import plan_experiment

    names, _ = split_names(overrides)
    if names:
        raise click.UsageError(f"One experiment at a time, not {' and '.join([experiment, *names])}.")
    return plan_experiment(experiment, overrides)


def split_names(texts: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """The names among arguments, and the overrides."""
    names = [text for text in texts if "=" not in text and not text.startswith("~")]
    return names, tuple(text for text in texts if text not in names)


experiment = click.argument("experiment", type=Option("experiment"))
plan_file = click.option("--plan", type=click.Path(path_type=Path), hidden=True)  # the pipeline has written it
overrides = click.argument("overrides", nargs=-1, type=Override())
