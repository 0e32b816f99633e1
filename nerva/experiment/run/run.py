"""Running a configuration: in this process if its numerics allow that, and otherwise in a child process."""

import dataclasses
import errno
import logging
import sys
import threading
from collections.abc import Sequence
from signal import SIGINT, SIGTERM
from typing import Any

from omegaconf import OmegaConf

from nerva import backends
from nerva.errors import NervaError, PrunedError
from nerva.experiment.config import numerics
from nerva.experiment.config.schema import Backend, Config
from nerva.experiment.identity.identify import Identity
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.run.processes import Child
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.run.train import Watch, existing_run, train
from nerva.training import EpochRecord


def run(
    config: Config,
    identity: Identity,
    overrides: Sequence[str] = (),
    folder: RunFolder | None = None,
    watch: Watch | None = None,
    children: "Children | None" = None,
) -> RunRecord:
    """Train the run of a configuration, unless it already exists.

    Args:
        config: the configuration.
        identity: its identity.
        overrides: the overrides that gave the configuration, for the record.
        folder: the folder of the run. Default: the one among the results that belongs to its id.
        watch: is called after each epoch, and may end the run by a PrunedError; see `train`.
        children: if given, a child process among these trains the run, whatever its numerics are.

    Returns:
        The result of the run.

    Raises:
        NervaError: if the numerics are not supported on this machine, or the data can't be obtained.
        PrunedError: if `watch` raises it.
        Interrupted: if a signal ends the run.
    """
    folder = folder or RunFolder.of(config.results_dir, identity.run_id)
    if existing := existing_run(folder, config.force):
        return existing
    numerics.demand(identity.numerics)
    backends.check_installed(identity.backend["name"])
    # Other libraries read the number of their threads when they are imported.
    with_numpy = identity.backend["name"] == "numpy" and backends.chosen()[0] == "numpy"
    # The numerics of a process are fixed when NumPy is imported. And a user-defined module may have changed on disk
    # since it was imported here, or may keep values of another run in its variables.
    if children is None and with_numpy and numerics.pinned() == identity.numerics and not config.imports:
        return train(config, identity, overrides, folder, watch=watch)
    child = ChildRun(config, identity, overrides, folder, watch)
    if children:
        children.add(child)
    return child.result()


class ChildRun:
    """A run that a child process trains. The child starts at once."""

    def __init__(
        self,
        config: Config,
        identity: Identity,
        overrides: Sequence[str],
        folder: RunFolder,
        watch: Watch | None = None,
    ) -> None:
        """The arguments are those of `run`. `watch` is called in this process, by `result`."""
        self._folder = folder
        self._watch = watch
        self._pruned: PrunedError | None = None
        resolved = dataclasses.replace(
            config,
            numerics=dataclasses.replace(config.numerics, mode=identity.numerics),
            backend=Backend(**identity.backend),
        )
        order = {
            "config": OmegaConf.to_yaml(OmegaConf.structured(resolved)),
            "mode": identity.numerics,
            "run_id": identity.run_id,
            "overrides": list(overrides),
            "folder": str(folder.path),
            "note": numerics.note(config.numerics.mode, config.backend.name),
            "watched": watch is not None,
            "argv": sys.argv,
            "path": sys.path,
            "level": logging.getLogger("nerva.run").getEffectiveLevel(),
        }
        library = identity.backend
        environment = numerics.environment(identity.numerics, None, library["name"], library["device"])
        self._child = Child("nerva.experiment.run.worker", order, environment)

    def interrupt(self) -> None:
        """Ask the child to end cleanly. `result` then raises Interrupted."""
        self._child.interrupt()

    def result(self) -> RunRecord:
        """Wait for the end of the child, and return the result of the run. The errors are those of `run`."""
        try:
            failure = self._child.answer(self._continues)
        except BaseException:
            self._child.interrupt()
            raise
        finally:
            code = self._child.wait()
        if failure and code == errno.ENOSPC:
            raise OSError(errno.ENOSPC, failure)
        if failure:
            raise NervaError(failure)
        if code in (-SIGINT, -SIGTERM):
            raise Interrupted(-code)
        if code != 0:
            raise NervaError(f"the process that trained {self._folder.run_id} ended with exit code {code}")
        if self._pruned:
            raise self._pruned
        return self._folder.read_record()

    def _continues(self, epoch: dict[str, Any]) -> bool:
        """Pass an epoch of the child to the watcher, and return whether the run continues."""
        assert self._watch is not None
        try:
            self._watch(EpochRecord(**epoch))
        except PrunedError as error:
            self._pruned = error
        return self._pruned is None


class Children:
    """The runs that child processes train for several threads. The main thread can interrupt them all."""

    def __init__(self) -> None:
        self._runs: list[ChildRun] = []
        self._interrupted = False
        self._lock = threading.Lock()

    def add(self, run: ChildRun) -> None:
        """Add a run. It is interrupted at once, if the others have been."""
        with self._lock:
            self._runs.append(run)
            if self._interrupted:
                run.interrupt()

    def interrupt(self) -> None:
        """Ask all children to end cleanly."""
        with self._lock:
            self._interrupted = True
            for run in self._runs:
                run.interrupt()
