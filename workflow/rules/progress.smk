# What the terminal shows: the plan, a progress bar, what fails, and the result. Snakemake's log file has the rest.
import threading
from contextlib import ExitStack
from functools import partial

from snakemake.logging import logger

from nerva.experiment.sweep.progress import Progress
from nerva.experiment.sweep.terminal import SHOWN, describe, terse

say = partial(logger.info, extra=SHOWN)
TERMINAL = ExitStack()
if EXECUTING and not workflow.output_settings.verbose:
    TERMINAL.enter_context(terse(logger))
if workflow.is_main_process:
    say(describe(CONFIG.title, len(SWEEP.points), KEPT.values()))


onstart:
    SWEEP.record()
    TERMINAL.enter_context(Progress([(point.folder, point.config) for point in SWEEP.points], say))


def end():
    """End the progress bar, and what Snakemake would wait for: the timer of its limit of jobs per second."""
    TERMINAL.close()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


onsuccess:
    end()
    if REPLAYING:
        print(VERDICTS.read_text(), end="")
    elif COMPARED["marker"].exists():
        print(COMPARED["summary"].read_text(), end="")


onerror:
    end()
