"""Child processes: one that trains a run, and one that follows a run for MLflow.

The parent writes an order, one line of JSON, to the child's standard input, and keeps that open for as long as it
lives. The child answers through a pipe of its own: an empty answer means success, and any other is an error message for
the user.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from nerva.experiment.config.numerics import python


class Child:
    """A child process that carries out one order. It has a session of its own: Ctrl-C reaches only the parent."""

    def __init__(self, module: str, order: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        """Start a module of this package.

        Args:
            module: its name. It calls `receive_order` first.
            order: what to do, as far as JSON can express it.
            environment: the environment variables.
        """
        self._answer, answering = os.pipe()
        self._process = subprocess.Popen(
            python("-m", module, str(answering)),
            stdin=subprocess.PIPE,
            text=True,
            env=dict(environment),
            pass_fds=[answering],
            start_new_session=True,
        )
        os.close(answering)
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        with suppress(BrokenPipeError):  # it has died; its exit code says so
            self._stdin.write(json.dumps(order) + "\n")
            self._stdin.flush()

    def answer(self) -> str:
        """Wait until the child answers or ends, and return the answer."""
        with os.fdopen(self._answer, encoding="utf-8") as pipe:
            return pipe.read()

    def interrupt(self) -> None:
        """Ask the child to end in an orderly way."""
        self._process.send_signal(signal.SIGTERM)

    def release(self) -> None:
        """Tell the child that this process is done with it."""
        with suppress(BrokenPipeError):  # of what it did not read
            self._stdin.close()

    def wait(self) -> int:
        """Wait for the end of the child, and return its exit code."""
        code = self._process.wait()
        self.release()
        return code


def receive_order() -> tuple[dict[str, Any], Callable[[str], None]]:
    """In a child: the order, and a function that sends the answer."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    answering = int(sys.argv[1])

    def answer(text: str) -> None:
        with suppress(BrokenPipeError):  # the parent has ended
            os.write(answering, text.encode())

    return order, answer


def when_released(action: Callable[[], object]) -> None:
    """In a child: call a function, in a thread, when the parent releases this process or ends."""

    def wait() -> None:
        sys.stdin.read()
        action()

    threading.Thread(target=wait, daemon=True).start()
