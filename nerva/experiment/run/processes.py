"""Child processes: one that trains a run, and one that follows a run for MLflow.

The parent writes an order, one line of JSON, to the child's standard input, and keeps that open for as long as it
lives. The child answers through a pipe of its own, in lines of JSON. It may report what it has done so far, and waits
for the parent's reply to each report. Its answer is the last line: an empty text, or none, means success, and any other
is an error message for the user.
"""

import json
import os
import queue
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
            module: its name. It creates a `Parent` first.
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
        self._write(order)

    def answer(self, reply: Callable[[Any], Any] | None = None) -> str:
        """Wait until the child answers or ends, and return the answer.

        Args:
            reply: the reply to a report, as far as JSON can express it.
        """
        with os.fdopen(self._answer, encoding="utf-8") as pipe:
            for line in pipe:
                if not line.endswith("\n"):
                    break  # the child was killed while it wrote
                message = json.loads(line)
                if "answer" in message:
                    return str(message["answer"])
                assert reply is not None
                self._write(reply(message["report"]))
        return ""

    def _write(self, content: Any) -> None:
        with suppress(BrokenPipeError):  # it has died; its exit code says so
            self._stdin.write(json.dumps(content) + "\n")
            self._stdin.flush()

    def interrupt(self) -> None:
        """Ask the child to end cleanly."""
        self._process.send_signal(signal.SIGTERM)

    def release(self) -> None:
        """Tell the child that this process is done with it."""
        with suppress(BrokenPipeError):  # the child ended without reading everything
            self._stdin.close()

    def wait(self) -> int:
        """Wait for the end of the child, and return its exit code."""
        code = self._process.wait()
        self.release()
        return code


class Parent:
    """In a child: the process that has started it."""

    def __init__(self) -> None:
        self.order: dict[str, Any] = json.loads(sys.stdin.readline())
        self._answering = int(sys.argv[1])
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def answer(self, text: str) -> None:
        """Send the answer."""
        self._write({"answer": text})

    def report(self, content: Any) -> Any:
        """Report something, as far as JSON can express it, and wait for the reply. `when_released` has to be called."""
        self._write({"report": content})
        return self._replies.get()

    def when_released(self, action: Callable[[], object]) -> None:
        """Call a function, in a thread, when the parent releases this process or ends."""

        def wait() -> None:
            for line in sys.stdin:
                self._replies.put(json.loads(line))
            action()

        threading.Thread(target=wait, daemon=True).start()

    def _write(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the parent has ended
            os.write(self._answering, json.dumps(message).encode() + b"\n")
