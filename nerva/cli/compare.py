"""`nerva compare`."""

from pathlib import Path

import click

from nerva.cli import arguments


@click.command()
@arguments.experiment
@arguments.overrides
@click.option("--by", metavar="KEY", help="Compare the values of one key, such as optimizer.")
@click.option("--top", type=click.IntRange(1), help="Show only the best N.", metavar="N")
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write the table to this .csv, .json, .md or .tex file."
)
@arguments.plan_file
@click.option("--sweep", metavar="ID", help="Compare a recorded sweep, whose runs other code may have trained.")
def command(
    experiment: str,
    overrides: tuple[str, ...],
    by: str | None,
    top: int | None,
    output: Path | None,
    plan: Path | None,
    sweep: str | None,
) -> None:
    """Compare the runs of EXPERIMENT, a file of conf/experiment: leaderboard, plots, summary and report.

    With --by, --top or --output, only the table is shown or written.

    OVERRIDES are those of Hydra with which the runs were trained.
    """
    from nerva.experiment.report import commands, tables
    from nerva.experiment.report.ranking import load
    from nerva.experiment.sweep.recorded import compared_runs

    if output:
        tables.check_format(output)
    asked = arguments.plan(experiment, overrides, plan)
    config = asked.config
    runs = compared_runs(asked, sweep, commands.train_command(experiment, overrides))
    comparison = load(runs.folders, config.title, config.data.note)
    table = tables.comparison_table(comparison, by)[:top]
    shown = table if top else table.head(tables.MOST_LINES)
    click.echo(tables.format_table(shown))
    if len(shown) < len(table):
        click.echo(f"… and {len(table) - len(shown):,} more: see leaderboard.csv, or use --top N or --output FILE")
    if output:
        tables.write_table(table, output)
    if not (by or top or output):
        # These import matplotlib and plotly, which a table does not need.
        from nerva.experiment.report.files import write_comparison

        searched = [runs.search.command] if runs.search else []
        summary = write_comparison(
            comparison, runs.results, config.data_dir, sweep_id=runs.sweep_id, question=config.question,
            ui=commands.ui_command(config), commands=searched or commands.sweep_commands(experiment, overrides, config),
            trusted_imports=frozenset(config.imports), search=runs.search,
        )  # fmt: skip
        click.echo(f"\n{summary}", nl=False)
    comparison.require_whole()
