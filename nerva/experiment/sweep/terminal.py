"""What the pipeline shows in the terminal. Snakemake's own messages are in its log file."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tqdm.contrib import DummyTqdmFile

from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.report.text import cut, plural, printable

ON_TERMINAL = {"nerva": True}  # the `extra` of a record that is to be shown
_LINES = 5  # of the log of a job that failed


def describe(title: str, count: int, existing: Collection[RunRecord]) -> str:
    """How many runs a sweep has, and how many of them are to be trained.

    Args:
        title: the title of the experiment.
        count: the number of runs.
        existing: the results of those that are not trained again.
    """
    failed = sum(record.failed for record in existing)
    return (
        f"{title}: {plural(count, 'run')}: {count - len(existing)} to train, {len(existing)} already exist"
        f"{f' ({failed} failed)' if failed else ''}"
    )


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
    """Lets errors pass, and what nerva says. A job that failed is reported by its reason and its log file."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def filter(self, record: logging.LogRecord) -> bool:
        if getattr(record, "event", None) in ("job_error", "group_error"):
            tqdm.write(failure(vars(record)), file=self._stream)
            return False
        if str(record.msg).startswith("RuleException:\nCalledProcessError"):
            return False  # the command of a job that failed; the next record is about the job
        nothing_to_do = str(record.msg).startswith("Nothing to be done")
        return record.levelno >= logging.WARNING or "nerva" in vars(record) or nothing_to_do


def failure(job: dict[str, Any]) -> str:
    """A message about a job that failed: what it did, where its log is, and the end of the log.

    Args:
        job: what Snakemake's record of the error has: `rule_name`, `rule_msg` and `log`.
    """
    # The plugin for Slurm adds its whole call of sbatch, and advice.
    what = str(job.get("rule_msg") or job.get("rule_name")).partition("\n    sbatch call")[0]
    lines = [f"failed: {what}"]
    for name in job.get("log") or []:
        path = Path(str(name).partition(" ")[0])
        lines[0] += f" (see {path})"
        content = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        reasons = [line for line in content if line.startswith("nerva: ")] or [line for line in content if line.strip()]
        lines += [f"  {cut(line.removeprefix('nerva: '), 300)}" for line in reasons[-_LINES:]]
    return printable("\n".join(lines))
