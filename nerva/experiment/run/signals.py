"""SIGINT and SIGTERM: they end a run in order, and then the process, by the same signal."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(BaseException):
    """A signal that asks the process to end. Not an error: nothing that handles errors should keep it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum
        self.folder: Path | None = None  # of the run that was being trained


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Lets SIGINT and SIGTERM raise `Interrupted`, once: a second signal ends the process as it would without this."""

    came: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        came.append(signum)
        raise Interrupted(signum)

    # Python lets only the main thread see to signals. What the parent ignores (nohup) stays ignored.
    wanted = [s for s in _SIGNALS if signal.getsignal(s) != signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        wanted = []
    before = {signum: signal.signal(signum, interrupt) for signum in wanted}
    try:
        yield
        # What is raised while Python cleans up an object is lost.
        if came:
            raise Interrupted(came[0])
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def end_by(signum: int) -> None:
    """Ends this process by a signal, so that whoever started it sees why."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
