"""SIGINT and SIGTERM end a run in an orderly way, and then end the process by the same signal."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Interrupted(BaseException):
    """A signal asks the process to end. It is not an Exception, so that no handler of errors catches it."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted`, once. A second signal ends the process immediately."""

    received: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        received.append(signum)
        raise Interrupted(signum)

    # Python handles signals in the main thread only. Signals that the parent ignores (nohup) stay ignored.
    wanted = [s for s in _SIGNALS if signal.getsignal(s) != signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread():
        wanted = []
    before = {signum: signal.signal(signum, interrupt) for signum in wanted}
    try:
        yield
        # Python discards an exception that is raised while an object is finalized.
        if received:
            raise Interrupted(received[0])
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def end_by(signum: int) -> None:
    """End this process by a signal, so that its parent sees why it ended. What was printed is written first."""
    with suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
