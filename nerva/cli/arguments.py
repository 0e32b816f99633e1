"""Arguments that verbs share, and how a shell completes them."""

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from nerva.experiment import CONF

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config
    from nerva.experiment.records.run_folder import RunFolder


def _options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


class Option(click.ParamType[str]):
    """The name of a file in a folder of conf/."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.name = group

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in _options(self.group) if name.startswith(incomplete)]


class Override(click.ParamType[str]):
    """An override of Hydra; choices between the files of conf/ are completed."""

    name = "override"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        groups = sorted(path.name for path in CONF.iterdir() if path.is_dir())
        # An experiment is added to the choices that a configuration makes, the others replace one of them.
        keys = {group: f"+{group}" if group == "experiment" else group for group in groups}
        choices = [f"{key}={option}" for group, key in keys.items() for option in _options(group)]
        return [CompletionItem(choice) for choice in choices if choice.startswith(incomplete)]


def sweep(experiment: str, overrides: tuple[str, ...]) -> "tuple[Config, list[RunFolder]]":
    """The configuration of a sweep's first run, and the folders of all of its runs."""
    from nerva.experiment.config.composition import expand, sweep_of
    from nerva.experiment.records.run_folder import RunFolder

    names, _ = apart(overrides)
    if names:
        raise click.UsageError(f"One experiment at a time, not {' and '.join([experiment, *names])}.")
    points = expand(experiment, overrides)
    config = points[0].config
    config.sweep = sweep_of(points, overrides)
    return config, [RunFolder.of(config.results_dir, point.run_id) for point in points]


def apart(texts: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """The names among texts, and the overrides."""
    names = [text for text in texts if "=" not in text and not text.startswith("~")]
    return names, tuple(text for text in texts if text not in names)


experiment = click.argument("experiment", type=Option("experiment"))
overrides = click.argument("overrides", nargs=-1, type=Override())
