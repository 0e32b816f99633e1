"""What the pipeline shows in the terminal. Snakemake's own messages are in its log file."""

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.report.text import cut, plural, printable, printable_line

ON_TERMINAL = {"nerva": True}  # the `extra` of a record that is to be shown
_LOG_LINES = 5  # how many lines of the log of a failed job are shown


def describe(title: str, count: int, existing: Collection[RunRecord], rules: Sequence[str] = ()) -> str:
    """How many runs a sweep has, and how many of them are to be trained.

    Args:
        title: the title of the experiment.
        count: the number of runs.
        existing: the results of those that are not trained again.
        rules: how the sweep differs from a grid.
    """
    failed = sum(record.failed for record in existing)
    line = (
        f"{title}: {plural(count, 'run')}: {count - len(existing)} to train, {len(existing)} already exist"
        f"{f' ({failed} failed)' if failed else ''}"
    )
    return "\n  ".join([line, printable_line("; ".join(rules))] if rules else [line])


@contextmanager
def terse(logger: logging.Logger) -> Iterator[None]:
    """Let a logger of Snakemake print to the terminal only what failed, and what nerva says.

    Messages appear above a progress bar. The log file is not affected.
    """
    handlers = [h for h in logger.handlers if isinstance(h, logging.StreamHandler) and h.name == "DefaultStreamHandler"]
    streams = [handler.stream for handler in handlers]
    filters = [_Terse(stream) for stream in streams]
    for handler, terse_filter in zip(handlers, filters, strict=True):
        handler.addFilter(terse_filter)
        if handler.stream.isatty():
            handler.setStream(DummyTqdmFile(handler.stream))
    try:
        yield
    finally:
        for handler, stream, terse_filter in zip(handlers, streams, filters, strict=True):
            handler.setStream(stream)
            handler.removeFilter(terse_filter)


class _Terse(logging.Filter):
    """Passes warnings, errors, the messages of nerva, and that there is nothing to do.

    A failed job is reported by its reason and its log file.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "event", None) in ("job_error", "group_error"):
            tqdm.write(failure(vars(record)), file=self._stream)
            return False
        if str(record.msg).startswith("RuleException:\nCalledProcessError"):
            return False  # the command of a job that failed; the next record is about the job
        if str(record.msg).startswith("Trying to restart job"):
            tqdm.write("  The job is submitted again.", file=self._stream)
            return False
        if "SLURM account" in str(record.msg) or str(record.msg).startswith("No account was given"):
            return False  # many clusters have no accounts
        nothing_to_do = str(record.msg).startswith("Nothing to be done")
        return record.levelno >= logging.WARNING or "nerva" in vars(record) or nothing_to_do


# What Snakemake writes at the end of the log of every job that failed on a cluster.
_BOILERPLATE = (
    *("Shutting down,", "Exiting because", "Storing output", "Elapsed time", "WorkflowError:", "At least one job"),
    *("Complete log", "Will exit after"),
)


def failure(job: dict[str, Any]) -> str:
    """A message about a job that failed: what it did, where its log is, and the end of the log.

    Args:
        job: what Snakemake's record of the error has: `rule_name`, `rule_msg` and `log`.
    """
    # The plugin for Slurm appends the full sbatch command, and advice.
    said = str(job.get("rule_msg") or job.get("rule_name"))
    what = re.split(r"\n    sbatch call|Detailed failure reason unavailable|For further error details", said)[0]
    lines = [f"failed: {what.rstrip()}"]
    for name in job.get("log") or []:
        path = Path(str(name).removesuffix(" (check log file(s) for error details)"))
        lines[0] += f" (see {path})"
        content = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        lines += [f"  {cut(line.removeprefix('nerva: '), 300)}" for line in _reasons(content)]
    return printable("\n".join(lines))


def _reasons(log: list[str]) -> list[str]:
    """The lines of a log that say why a job failed."""
    if messages := [line for line in log if line.startswith(("nerva: ", "slurmstepd: "))]:
        return messages[-_LOG_LINES:]
    # A process that was killed leaves no message. Then its last run is named.
    runs = [line for line in log if re.match(r"run [0-9a-f]{12} of ", line)]
    if runs and not any(line.startswith("Traceback ") for line in log):
        return [f"the process ended without a message; its last run was {runs[-1].removeprefix('run ')}"]
    if any(line.startswith("Error in rule ") for line in log):
        return []  # on a node, Snakemake writes this into Slurm's log; the reason is in the log of the job
    return [line for line in log if line.strip() and not line.strip().startswith(_BOILERPLATE)][-_LOG_LINES:]
