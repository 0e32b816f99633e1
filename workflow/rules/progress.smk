# What the terminal shows: the plan, a progress bar, what fails, and the result. Snakemake's log file has the rest.
import threading
from contextlib import ExitStack
from functools import partial

from snakemake.logging import logger

from nerva.experiment.sweep.progress import Progress
from nerva.experiment.sweep.terminal import ON_TERMINAL, describe, terse

say = partial(logger.info, extra=ON_TERMINAL)
TERMINAL = ExitStack()
if EXECUTING and not workflow.output_settings.verbose:
    TERMINAL.enter_context(terse(logger))
if workflow.is_main_process and not SEARCHING:
    say(describe(CONFIG.title, len(PLAN.points), KEPT.values(), PLAN.rules))


onstart:
    if workflow.is_main_process:
        check_cluster()
    if workflow.is_main_process and not SEARCHING:
        PLAN.record()
        TERMINAL.enter_context(Progress([(point.folder, point.config) for point in PLAN.points], say))


def end():
    """Close the progress bar, cancel all timers, and delete the marker of the database.

    Snakemake's limit of jobs per second leaves a timer, for which Snakemake would wait before it exits.
    """
    TERMINAL.close()
    if workflow.is_main_process:
        for marker in STORE:
            marker.unlink(missing_ok=True)
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


onsuccess:
    end()
    if SEARCHING:
        pass  # the search has printed its results
    elif REPLAYING:
        print(VERDICTS.read_text(), end="")
    elif workflow.is_main_process and COMPARED["marker"].exists():
        print(COMPARED["summary"].read_text(), end="")


onerror:
    end()
