"""`nerva search`: carries out a search, shows its progress, and writes its report."""

import sys
from collections.abc import Callable

from tqdm import tqdm

from nerva.data import prepare
from nerva.errors import RunFailedError
from nerva.experiment.config.composition import initialized
from nerva.experiment.records.search_record import Trial
from nerva.experiment.report.text import printable_line
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.search.outcome import trial_line, write_report
from nerva.experiment.search.search import Request, Search


def run_search(request: Request, say: Callable[[str], object]) -> None:
    """Carry out a search up to its number of trials, and write its report.

    Args:
        request: what the user asks for.
        say: prints a line.

    Raises:
        NervaError: if the request is not valid, or a trial could not be trained.
        RunFailedError: if all trials failed.
        Interrupted: if a signal ends the search. The same command continues.
    """
    with initialized():
        search = Search(request)
        if search.space.seed_left_out:
            seed = search.config.seed
            say(f"{search.space.seed_left_out} of the experiment is left out: all trials have the seed {seed}")
        with search.opened() as record:
            prepare(search.config.data, search.config.data_dir)
            done = sum(trial.has_ended for trial in record.trials)
            if record.trials:
                say(f"search {record.sweep.id} continues after {done} trials")
            # In a terminal (None), a bar below the lines.
            with tqdm(total=search.trials, initial=done, unit="trial", leave=False, disable=None) as bar:

                def report(trial: Trial) -> None:
                    tqdm.write(printable_line(trial_line(trial, record)), file=sys.stdout)
                    sys.stdout.flush()  # a log file should have the line now, and not when the search ends
                    bar.update()

                try:
                    record = search.run(record, report)
                except Interrupted:
                    tqdm.write("the same command continues this search", file=sys.stdout)
                    raise
            summary = write_report(search, record)
    say(f"\n{summary}".rstrip("\n"))
    if record.best is None:
        raise RunFailedError("no trial is complete")
