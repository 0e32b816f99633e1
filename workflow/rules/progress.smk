# How far the sweep is, in the terminal; and at its end, what came of it.
from contextlib import ExitStack

from snakemake.logging import logger

from nerva.experiment.sweep.progress import Progress
from nerva.experiment.records.sweep_record import remember

TERMINAL = ExitStack()


onstart:
    remember(RESULTS, CONFIG.title, THIS, CONFIG.question, list(POINTS))
    FOLDERS = [(RunFolder.of(RESULTS, run), point.config) for run, point in POINTS.items()]
    PROGRESS = TERMINAL.enter_context(Progress(FOLDERS, logger.info, alone=True))
    TERMINAL.enter_context(PROGRESS.shown(logger))


onsuccess:
    TERMINAL.close()
    if REPLAYING:
        print(VERDICTS.read_text(), end="")
    elif COMPARED["compared"].exists():
        print(COMPARED["summary"].read_text(), end="")


onerror:
    TERMINAL.close()
