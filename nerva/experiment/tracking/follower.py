"""Runs in MLflow while they train: a child process follows the folder of a run.

Training must not wait for a store, and must not fail because of it. Importing mlflow takes longer than a short run, so
that the child process starts only when a run has been training for a few seconds.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nerva.errors import NervaError
from nerva.experiment.paths import python_path
from nerva.experiment.run.processes import Child, Parent
from nerva.experiment.tracking import track

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config
    from nerva.experiment.records.run_folder import RunFolder

START_AFTER = 5.0  # seconds; a run that ends earlier is logged when it has ended
_INTERVAL = 1.0  # seconds between two looks at the folder


def not_logged(problem: str) -> str:
    """The message that tells the user, once, that the store refuses runs."""
    return f"nerva: {problem}; training continues, and `nerva track` logs the runs later"


@dataclass
class Follower:
    """The result of following a run."""

    refused: bool = False  # whether the store refused the run; the user has then been told


@contextmanager
def followed(config: "Config", folder: "RunFolder") -> Iterator[Follower]:
    """Let the run that is trained inside be followed, once it has been training for a few seconds.

    The follower finds the end of the run in its folder, and logs it. It does so even if this process is killed.

    Args:
        config: the configuration of the run. Its user-defined modules are trusted: they have just been imported.
        folder: the folder of the run.
    """
    order = {
        "folder": str(folder.path),
        "title": config.title,
        "uri": config.tracking.uri,
        "results_dir": config.results_dir,
        "sweep": asdict(config.sweep),
        "question": config.question,
        "trusted_imports": list(config.imports),
        "models": config.tracking.models,
        "path": sys.path,
    }
    children: list[Child] = []

    def start() -> None:
        environment = os.environ | {"PYTHONPATH": python_path(os.environ.get("PYTHONPATH"))}
        children.append(Child(__name__, order, environment))

    timer = threading.Timer(START_AFTER, start)
    timer.daemon = True
    timer.start()
    follower = Follower()
    try:
        yield follower
    finally:
        timer.cancel()
        timer.join()
        for child in children:
            child.release()
            follower.refused = bool(child.answer())
            child.wait()


def main() -> None:
    """In the child process: follow a run until the parent releases this process or ends."""
    parent = Parent()
    order = parent.order
    ended = threading.Event()
    parent.when_released(ended.set)
    sys.path[:] = order["path"]

    from nerva.experiment.config.schema import Sweep
    from nerva.experiment.records.run_folder import RunFolder

    folder, sweep = RunFolder(Path(order["folder"])), Sweep(**order["sweep"])
    trusted = frozenset(order["trusted_imports"])
    title, uri, results_dir, question = (order[key] for key in ("title", "uri", "results_dir", "question"))

    def log(live: bool) -> None:
        track([folder], title, uri, results_dir, sweep, question, live, trusted, order["models"])

    seen = -1
    try:
        while not ended.wait(_INTERVAL):
            if folder.metrics.exists() and (now := folder.metrics.stat().st_mtime_ns) != seen:
                seen = now
                log(live=True)
        log(live=False)
    except (NervaError, OSError) as error:
        # The process that trains the run makes sure that the run is logged later.
        print(not_logged(str(error)), file=sys.stderr)
        parent.answer(str(error))


if __name__ == "__main__":
    main()
