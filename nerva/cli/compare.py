"""`nerva compare`."""

from pathlib import Path
from typing import Any

import click

from nerva.cli import arguments
from nerva.experiment.records.privacy import private


@click.command()
@arguments.experiment
@arguments.overrides
@click.option("--by", metavar="KEY", help="Compare the values of one key, such as optimizer.")
@click.option("--top", type=click.IntRange(1), help="Only so many.")
@click.option("--output", type=click.Path(path_type=Path), help="A file for it, .csv or .json.")
def command(experiment: str, overrides: tuple[str, ...], by: str | None, top: int | None, output: Path | None) -> None:
    """Compare the runs of EXPERIMENT, a file of conf/experiment: leaderboard, plots, summary and report.

    With an option, only the leaderboard that it asks for is shown, or written.

    OVERRIDES are Hydra's, the same as those with which the runs were made.
    """
    import json
    import shlex

    from filelock import FileLock

    from nerva.errors import NervaError
    from nerva.experiment.report.html import table, write_report
    from nerva.experiment.report.ranking import load, summary, write
    from nerva.utilities import whole_or_absent

    if output and output.suffix.lower() not in (".csv", ".json"):
        raise NervaError(f"--output should end in .csv or .json, not {output}")
    config, folders = arguments.sweep(experiment, overrides)
    if missing := [folder.run_id for folder in folders if not folder.is_whole()]:
        command = shlex.join(["nerva", "train", "-m", f"+experiment={experiment}", *overrides])
        raise NervaError(f"{len(missing)} of {len(folders)} runs of {config.title} are not made yet; try: {command}")
    comparison = load(folders, config.title, config.data.note)
    board = table(comparison, folders, by)
    shown = board.head(top) if top else board
    click.echo(_printed(shown))
    if output:
        with whole_or_absent(output) as temporary:
            if output.suffix.lower() == ".csv":
                shown.to_csv(temporary, index=False)
            else:
                rows = shown.astype(object).where(shown.notna(), None).to_dict("records")
                temporary.write_text(json.dumps(rows, indent=2) + "\n")
    if by or top or output:
        return
    folder = Path(config.results_dir) / config.title
    ui = _ui(config)
    commands = [
        shlex.join(
            ["snakemake", "--cores", "4", "--config", f"experiment={experiment}", *_pipeline(config, overrides)]
        ),
        shlex.join(["nerva", "train", "-m", f"+experiment={experiment}", *overrides]),
    ]
    # A report is handed on: nothing in it says who made it.
    shareable = [private(command) for command in commands]
    # Snakemake sees by it whether the files are those of its sweep.
    compared = folder / f"compared-{config.sweep.id}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".compared.lock"):
        for other in folder.glob("compared-*.txt"):
            other.unlink()
        write(comparison, folder, ui)
        write_report(comparison, folders, folder / "report.html", config.data_dir, shareable, config.question)
        compared.write_text("".join(f"{run_folder.run_id}\n" for run_folder in folders))
    click.echo()
    click.echo(summary(comparison, folder, ui), nl=False)


def _printed(board: Any) -> str:
    """The leaderboard as text, as narrow as it can be: files have all figures with all digits."""
    import pandas as pd

    def percent(x: float) -> str:
        return "–" if x != x else f"{x:.2%}"

    columns = dict(board.items())
    if "configuration" in board:
        columns = {name: board[name] for name in ("rank", "configuration")}
        for part in ("validation", "test"):
            means, deviations = board[f"{part}_accuracy"], board[f"{part}_accuracy_std"]
            columns[part] = [
                percent(mean) + (f" ± {std:.2%}" if std == std else "")
                for mean, std in zip(means, deviations, strict=True)
            ]
        columns["seeds"] = [
            f"{failed} of {seeds} failed" if failed else str(seeds)
            for seeds, failed in zip(board["seeds"], board["failed"], strict=True)
        ]
        columns["against the best"] = board["difference"]
    formats = {name: percent for name in columns if "accuracy" in str(name) or str(name).startswith("std")}
    return str(pd.DataFrame(columns).to_string(index=False, na_rep="–", formatters=formats))


def _pipeline(config: Any, overrides: tuple[str, ...]) -> list[str]:
    """The configuration of Snakemake that means the same as overrides."""
    others = " ".join(override for override in overrides if not override.startswith("data="))
    return [f"data={config.data.name}", *([f"overrides={others}"] if others else [])]


def _ui(config: Any) -> str:
    """How to see the runs in MLflow's UI, if they are there."""
    if not config.tracking.enabled:
        return ""
    if config.tracking.uri != f"sqlite:///{config.results_dir}/mlflow.db":
        return private(str(config.tracking.uri))
    elsewhere = f"nerva ui results_dir={config.results_dir}"
    command = "make ui (or: nerva ui)" if config.results_dir == "results" else elsewhere
    return f"{command}, then http://127.0.0.1:5000, «Model training»"
