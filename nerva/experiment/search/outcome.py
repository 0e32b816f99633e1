"""What a search shows: a line for each trial, a summary at the end, and the report."""

import dataclasses
import shlex

from nerva.experiment.records.privacy import private
from nerva.experiment.records.search_record import SearchRecord, Trial
from nerva.experiment.report.commands import ui_command
from nerva.experiment.report.files import write_comparison
from nerva.experiment.report.ranking import load
from nerva.experiment.report.search import value_text
from nerva.experiment.search.search import Search
from nerva.experiment.sweep.recorded import ended_runs


def trial_line(trial: Trial, record: SearchRecord) -> str:
    """A line about a trial that has ended: its number, its result, the best trial so far, and its values."""
    if trial.value is not None:
        result = value_text(record, trial.value)
    else:
        result = trial.state + (f" after epoch {len(trial.metrics)}" if trial.state == "pruned" else "")
    # The trials of a round end together.
    best = dataclasses.replace(record, trials=record.trials[: trial.number + 1]).best
    so_far = f"best {value_text(record, best.value or 0.0)}, trial {best.number}" if best else "none complete yet"
    line = f"trial {trial.number:>3}  {result:<22} ({so_far})  {' '.join(trial.overrides)}"
    return f"{line}: {trial.reason}" if trial.reason else line


def write_report(search: Search, record: SearchRecord) -> str:
    """Write the comparison of the runs that have ended, with a section about the search.

    Returns:
        A summary of the search.

    Raises:
        NervaError: if no run has ended, or all are damaged.
    """
    config = search.config
    folders = ended_runs(record, config.results_dir)
    comparison = load(folders, config.title, config.data.note)
    write_comparison(
        comparison, search.results, config.data_dir, sweep_id=record.sweep.id, question=config.question,
        ui=ui_command(config), commands=[record.command], trusted_imports=frozenset(config.imports), search=record,
    )  # fmt: skip
    return summary(search, record)


def summary(search: Search, record: SearchRecord) -> str:
    """What was searched, the best trial, and how to go on."""
    config = search.config
    lines = [f"{record.title}, search {record.sweep.id}: {record.counts}"]
    best = record.best
    if best is None:
        lines.append(f"  best         none: {record.failures}")
    else:
        overrides = search.space.overrides(best.values)
        without_seed = [override for override in overrides if not override.startswith("seed=")]
        lines += [
            f"  best         trial {best.number}, {record.objective} {value_text(record, best.value or 0.0)}",
            f"               {' '.join(best.overrides)}",
        ]
        if record.importance:
            shares = ", ".join(f"{key} {share:.0%}" for key, share in record.importance.items())
            lines.append(f"  importance   {shares}")
        where = [f"results_dir={config.results_dir}"] if _is_elsewhere(search) else []
        lines += [
            f"  train it     {private(shlex.join(['nerva', 'train', *overrides]))}",
            f"  more seeds   {private(shlex.join(['nerva', 'train', '-m', *without_seed, 'seed=range(1,6)']))}",
            f"  replay it    {private(shlex.join(['nerva', 'replay', best.run_id, *where]))}",
        ]
    lines.append(f"  results      {search.results}/: report.html, trials.csv, leaderboard.csv")
    if ui := ui_command(config):
        lines.append(f"  MLflow UI    {ui}")
    return "\n".join(lines) + "\n"


def _is_elsewhere(search: Search) -> bool:
    return any(override.startswith("results_dir=") for override in search.space.fixed)
