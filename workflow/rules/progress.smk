# The progress of the sweep in the terminal, and the result at its end.
from contextlib import ExitStack

from snakemake.logging import logger

from nerva.experiment.sweep.progress import Progress, above_bar

TERMINAL = ExitStack()


onstart:
    SWEEP.record()
    TERMINAL.enter_context(Progress([(point.folder, point.config) for point in SWEEP.points], logger.info))
    TERMINAL.enter_context(above_bar(logger))


onsuccess:
    TERMINAL.close()
    if REPLAYING:
        print(VERDICTS.read_text(), end="")
    elif COMPARED["marker"].exists():
        print(COMPARED["summary"].read_text(), end="")


onerror:
    TERMINAL.close()
