"""Runs in MLflow while they train: a follower of a run's folder, in a process of its own.

Training must not wait for a store, nor fail with it, and importing mlflow takes longer than a short run. So a run is
followed only when it has been training for a few seconds.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nerva.errors import NervaError
from nerva.experiment import PACKAGE
from nerva.experiment.config import numerics
from nerva.experiment.run.processes import close, give

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config
    from nerva.experiment.records.run_folder import RunFolder

SOON = 5.0  # seconds: what ends within them is logged when it has ended
_OFTEN = 1.0  # seconds between two looks at the folder
_REFUSED = 3  # the exit code of a follower whose store did not take the run


def unlogged(problem: str) -> str:
    """What is said, once, when a store does not take runs."""
    return f"nerva: {problem}; runs are trained all the same, and `nerva track` logs them later"


@dataclass
class Follower:
    """What became of following a run."""

    refused: bool = False  # whether the store did not take it, which has been said


@contextmanager
def followed(config: "Config", folder: "RunFolder") -> Iterator[Follower]:
    """Lets a run that is trained within be followed, once it has taken a while.

    When this process ends, however it ends, the follower sees that the run has ended, too, and says so to MLflow.
    """
    order = {
        "folder": str(folder.path),
        "title": config.title,
        "uri": config.tracking.uri,
        "results_dir": config.results_dir,
        "sweep": asdict(config.sweep),
        "question": config.question,
    }
    started: list[subprocess.Popen[str]] = []

    def start() -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path[1:]])}
        command = numerics.python("-m", __name__)
        # A session of its own: Ctrl-C is for the run, and the follower tells MLflow of it.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment, start_new_session=True)
        started.append(process)
        give(process, order)

    timer = threading.Timer(SOON, start)
    timer.daemon = True
    timer.start()
    follower = Follower()
    try:
        yield follower
    finally:
        timer.cancel()
        timer.join()
        for process in started:
            close(process)
            follower.refused = process.wait() == _REFUSED


def main() -> None:
    """Follows the run that an order on standard input names, until that is closed."""
    from nerva.experiment.config.schema import Sweep
    from nerva.experiment.records.run_folder import RunFolder
    from nerva.experiment.tracking import track

    order = json.loads(sys.stdin.readline())
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    folder = RunFolder(Path(order["folder"]))

    def log(live: bool) -> str:
        """Brings MLflow up to date; returns what went wrong."""
        sweep = Sweep(**order["sweep"])
        try:
            track([folder], order["title"], order["uri"], order["results_dir"], sweep, order["question"], live)
        except (NervaError, OSError) as error:
            return str(error)
        return ""

    problem, seen = "", -1
    while not problem and not ended.wait(_OFTEN):
        if folder.metrics.exists() and (now := folder.metrics.stat().st_mtime_ns) != seen:
            seen, problem = now, log(live=True)
    if problem := problem or log(live=False):
        # Whoever trains the run sees to it that it is logged later.
        print(unlogged(problem), file=sys.stderr)
        sys.exit(_REFUSED)


if __name__ == "__main__":
    main()
