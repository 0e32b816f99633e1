"""The progress of runs, which is read from their folders, so that runs of other processes are included."""

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tqdm import tqdm

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config

_INTERVAL = 0.5  # seconds between two looks at the folders
# Looking takes at most 5 % of the time: thousands of folders on the file system of a cluster take long.
_PAUSE = 20  # times the duration of a look


class Progress:
    """Shows the progress of runs: as a bar in a terminal or a notebook, and otherwise as a few lines as runs end."""

    def __init__(self, runs: "Sequence[tuple[RunFolder, Config]]", say: Callable[[str], object]) -> None:
        """
        Args:
            runs: the folders of the runs, with their configurations.
            say: prints a plain line.
        """
        self._terminal = sys.stderr.isatty()
        self._say = say
        self._notebook: _NotebookLine | None = None
        self._epochs = {folder: config.train.epochs for folder, config in runs}
        self._started = self._changed = time.time()
        # The files of a run that is trained again do not count until they are new.
        self._forced = {folder for folder, config in runs if config.force}
        self._failed: dict[RunFolder, bool] = {}  # whether each run that has ended failed
        self._running = self._done = 0
        self._look()
        self._before, self._said = self._done, len(self._failed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        if in_notebook():
            self._notebook = _NotebookLine(self._meter())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        if self._notebook:
            self._notebook.show(self._meter())
        else:
            self._say_if_ended()

    def text(self) -> str:
        """The progress at the last look, such as `5 of 12 runs done, 2 running, about 9 s left`."""
        total = sum(self._epochs.values())
        if len(self._epochs) == 1:
            parts = [f"epoch {self._done} of {total}"]
        else:
            parts = [f"{len(self._failed)} of {len(self._epochs)} runs done"]
            failed = sum(self._failed.values())
            parts += [f"{count} {what}" for count, what in ((self._running, "running"), (failed, "failed")) if count]
        new = self._done - self._before
        if new and self._done < total:
            left = (self._changed - self._started) * (total - self._done) / new - (time.time() - self._changed)
            parts.append(f"about {_duration(left)} left")
        return ", ".join(parts)

    def _say_if_ended(self) -> None:
        total, new = len(self._epochs), len(self._failed) - self._said
        # At most ten lines, however many runs there are and however slow they are.
        if total > 1 and new and (new >= total / 10 or len(self._failed) == total):
            self._said = len(self._failed)
            self._say(self.text())

    def _look(self) -> None:
        self._running, done = 0, 0
        for folder, epochs in self._epochs.items():
            # A file that can't be read is being written just now, or is damaged. The command that needs it says so.
            with suppress(OSError, NervaError):
                if folder not in self._failed and self._counts(folder, folder.record):
                    self._failed[folder] = folder.read_record().failed
                if folder in self._failed:
                    done += epochs
                    continue
                self._running += folder.is_training()
                if self._counts(folder, folder.metrics):
                    # One line has the names of the columns, and one is that of epoch 0.
                    done += max(0, folder.metrics.read_bytes().count(b"\n") - 2)
        if done != self._done:
            self._done, self._changed = done, time.time()

    def _counts(self, folder: RunFolder, file: Path) -> bool:
        return file.exists() and (folder not in self._forced or file.stat().st_mtime >= self._started)

    def _follow(self) -> None:
        pause = _INTERVAL
        while len(self._failed) < len(self._epochs) and not self._over.wait(pause):
            start = time.perf_counter()
            self._look()
            pause = max(_INTERVAL, _PAUSE * (time.perf_counter() - start))
            if self._notebook:
                self._notebook.show(self._meter())
            elif not self._terminal:
                self._say_if_ended()
            # Before the first run, the preparation of the data may show a bar of its own.
            elif self._bar or self._running:
                self._draw()
        if self._bar is not None:
            self._bar.close()

    def _meter(self) -> str:
        """The bar of a notebook, as text."""
        bar = "{percentage:3.0f}%|{bar:20}| {desc}"
        total = sum(self._epochs.values())
        return tqdm.format_meter(self._done, total, 0, prefix=self.text(), bar_format=bar).rstrip(": ")

    def _draw(self) -> None:
        text, columns = self.text(), os.get_terminal_size(sys.stderr.fileno()).columns
        if columns and len(text) >= columns:
            text = re.sub(r" runs done| left|about ", "", text).replace(" of ", "/")
        # "100%|" and "| " take seven columns, and one stays free.
        room = min(20, columns - len(text) - 8) if columns else 20
        bar = f"{{percentage:3.0f}}%|{{bar:{room}}}| {{desc}}" if room > 3 else "{desc}"
        if self._bar is None:
            total = sum(self._epochs.values())
            self._bar = tqdm(total=total, leave=False, file=sys.stderr, bar_format=bar, initial=self._done)
        self._bar.bar_format = bar
        self._bar.n = self._done
        self._bar.set_description_str(text)


class _NotebookLine:
    """A line of output in a notebook. Each update replaces it, so that a saved notebook has only the last text."""

    def __init__(self, text: str) -> None:
        from IPython.display import display

        self._text = text
        show: Any = display  # it has no types
        self._handle = show({"text/plain": text}, raw=True, display_id=True)

    def show(self, text: str) -> None:
        if text != self._text:
            self._text = text
            self._handle.update({"text/plain": text}, raw=True)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook. IPython in a terminal is not."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class AboveBarHandler(logging.StreamHandler[Any]):
    """Prints log messages above the progress bar. `conf/config.yaml` names it for Hydra's jobs."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=self.stream)
        self.flush()


def _duration(seconds: float) -> str:
    """An estimated duration, rounded to whole hours, minutes or seconds."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"
