"""How far runs are: read from their folders, so that what other processes train counts, too."""

import io
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from tqdm import tqdm

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config

_OFTEN = 0.5  # seconds between two looks


class Progress:
    """The progress of runs: a bar at the bottom of a terminal, plain lines where there is none."""

    def __init__(self, runs: "Sequence[tuple[RunFolder, Config]]", say: Callable[[str], None], alone: bool) -> None:
        """
        Args:
            runs: the runs' folders, with their configurations.
            say: what prints a plain line.
            alone: whether to say plain lines as the runs end; otherwise when `tell` is called.
        """
        self._terminal = sys.stderr.isatty()
        self._say = say
        self._alone = alone
        self._epochs = {folder: config.train.epochs for folder, config in runs}
        self._started = self._changed = time.time()
        # What is to be made again isn't done by what is there.
        self._again = {folder for folder, config in runs if config.force}
        self._failed: dict[RunFolder, bool] = {}  # of the runs that have ended
        self._running = self._done = 0
        self._look()
        self._before, self._told = self._done, len(self._failed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._drawing = threading.Lock()
        self._shown = False
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> Self:
        if self._terminal or self._alone:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self.tell(self._terminal)

    @contextmanager
    def shown(self, *loggers: logging.Logger) -> Iterator[None]:
        """Shows the bar; what these log to the terminal appears above it."""
        screens = [
            (handler, handler.stream)
            for logger in loggers
            for handler in logger.handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream.isatty()
        ]
        for handler, stream in screens:
            handler.setStream(_Above(stream))
        self._shown = True
        try:
            yield
        finally:
            with self._drawing:
                self._shown = False
                if self._bar is not None:
                    self._bar.clear()
            for handler, stream in screens:
                handler.setStream(stream)

    def tell(self, terminal: bool = False) -> None:
        """Says a plain line if a run has ended since the last one; in a terminal, where a bar tells it, if asked to."""
        self._look()
        if len(self._failed) > self._told and self._terminal == terminal and len(self._epochs) > 1:
            self._told = len(self._failed)
            self._say(self.text())

    def text(self) -> str:
        """How far the runs were at the last look, such as `5 of 12 runs done, 2 running, about 9 s left`."""
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

    def _look(self) -> None:
        self._running, done = 0, 0
        for folder, epochs in self._epochs.items():
            # What can't be read is just being written anew, or damaged; whoever needs it says so.
            with suppress(OSError, NervaError):
                if folder not in self._failed and self._counts(folder, folder.summary):
                    self._failed[folder] = folder.read_summary()["status"] == "failed"
                if folder in self._failed:
                    done += epochs
                    continue
                self._running += folder.is_being_made()
                if self._counts(folder, folder.metrics):
                    # A line has the names, and one is of epoch 0.
                    done += max(0, folder.metrics.read_bytes().count(b"\n") - 2)
        if done != self._done:
            self._done, self._changed = done, time.time()

    def _counts(self, folder: RunFolder, file: Path) -> bool:
        return file.exists() and (folder not in self._again or file.stat().st_mtime >= self._started)

    def _follow(self) -> None:
        while len(self._failed) < len(self._epochs) and not self._over.wait(_OFTEN):
            self.tell()
            with self._drawing:
                # Before something runs, whatever prepares it may show a bar of its own.
                if self._terminal and self._shown and (self._bar or self._running):
                    self._draw()
        if self._bar is not None:
            self._bar.close()

    def _draw(self) -> None:
        text, columns = self.text(), os.get_terminal_size(sys.stderr.fileno()).columns
        if columns and len(text) >= columns:
            text = re.sub(r" runs done| left|about ", "", text).replace(" of ", "/")
        # The bar takes what room there is, as "100%|" and "| " do.
        room = min(20, columns - len(text) - 8) if columns else 20
        bar = f"{{percentage:3.0f}}%|{{bar:{room}}}| {{desc}}" if room > 3 else "{desc}"
        if self._bar is None:
            total = sum(self._epochs.values())
            self._bar = tqdm(total=total, leave=False, file=sys.stderr, bar_format=bar, initial=self._done)
        self._bar.bar_format = bar
        self._bar.n = self._done
        self._bar.set_description_str(text)


class _Above(io.TextIOBase):
    """A stream whose lines appear above the bar."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            tqdm.write(line, file=self._stream)
        return len(text)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def flush(self) -> None:
        self._stream.flush()


def _duration(seconds: float) -> str:
    """A duration with as many digits as an estimate has."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, seconds):.0f} s"
