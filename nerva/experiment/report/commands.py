"""Commands that a report shows. A report is shared, so that nothing in them identifies a person."""

import shlex
from collections.abc import Sequence

from nerva.data.sources import READERS
from nerva.experiment.config.schema import Config
from nerva.experiment.paths import options
from nerva.experiment.records.privacy import private


def sweep_commands(experiment: str, overrides: Sequence[str], config: Config) -> list[str]:
    """The commands that train and compare a sweep: with Snakemake, and with Hydra.

    Args:
        experiment: the name of the experiment.
        overrides: the overrides of the sweep.
        config: the configuration of one of its runs.
    """
    return [snakemake_command(experiment, overrides, config), train_command(experiment, overrides)]


def snakemake_command(experiment: str, overrides: Sequence[str], config: Config) -> str:
    """The command that runs the pipeline for a sweep."""
    others = " ".join(override for override in overrides if not override.startswith("data="))
    # A file of the user has a name of its own, but no file in conf/data.
    described = config.data.source in READERS and config.data.name not in options("data")
    data = config.data.source if described else config.data.name
    settings = [f"experiment={experiment}", f"data={data}", *([f"overrides={others}"] if others else [])]
    return private(shlex.join(["snakemake", "--cores", "4", "--config", *settings]))


def train_command(experiment: str, overrides: Sequence[str]) -> str:
    """The command that trains a sweep."""
    return private(shlex.join(["nerva", "train", "-m", f"+experiment={experiment}", *overrides]))


def ui_command(config: Config) -> str:
    """How to open the MLflow UI; empty if runs are not logged."""
    if not config.tracking.enabled:
        return ""
    if config.tracking.uri != f"sqlite:///{config.results_dir}/mlflow.db":
        return private(config.tracking.uri)
    elsewhere = f"nerva ui results_dir={config.results_dir}"
    command = "make ui (or: nerva ui)" if config.results_dir == "results" else elsewhere
    return f'{command}, then http://127.0.0.1:5000, "Model training"'
