"""Running a configuration: in this process if its numerics allow that, and otherwise in a child process."""

import dataclasses
import errno
import logging
import sys
from collections.abc import Sequence
from signal import SIGINT, SIGTERM

from omegaconf import OmegaConf

from nerva import backends
from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.config.schema import Backend, Config
from nerva.experiment.identity.identify import Identity
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.run_record import RunRecord
from nerva.experiment.run.processes import Child
from nerva.experiment.run.signals import Interrupted
from nerva.experiment.run.train import existing_run, train


def run(
    config: Config, identity: Identity, overrides: Sequence[str] = (), folder: RunFolder | None = None
) -> RunRecord:
    """Train the run of a configuration, unless it already exists.

    Args:
        config: the configuration.
        identity: its identity.
        overrides: the overrides that gave the configuration, for the record.
        folder: the folder of the run. Default: the one among the results that belongs to its id.

    Returns:
        The result of the run.

    Raises:
        NervaError: if the numerics are not supported on this machine, or the data can't be obtained.
        Interrupted: if a signal ends the run.
    """
    folder = folder or RunFolder.of(config.results_dir, identity.run_id)
    if existing := existing_run(folder, config.force):
        return existing
    numerics.demand(identity.numerics)
    backends.check_installed(identity.backend["name"])
    # The numerics of a process are fixed when NumPy is imported. And a user-defined module may have changed on disk
    # since it was imported here, or may keep values of another run in its variables.
    # Other libraries read the number of their threads when they are imported.
    here = identity.backend["name"] == "numpy" == backends.chosen()[0]
    if here and numerics.pinned() == identity.numerics and not config.imports:
        return train(config, identity, overrides, folder)
    return _run_in_child(config, identity, overrides, folder)


def _run_in_child(config: Config, identity: Identity, overrides: Sequence[str], folder: RunFolder) -> RunRecord:
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
        "argv": sys.argv,
        "path": sys.path,
        "level": logging.getLogger("nerva.run").getEffectiveLevel(),
    }
    library = identity.backend
    environment = numerics.environment(identity.numerics, None, library["name"], library["device"])
    child = Child("nerva.experiment.run.worker", order, environment)
    try:
        failure = child.answer()
    except BaseException:
        child.interrupt()
        raise
    finally:
        code = child.wait()
    if failure and code == errno.ENOSPC:
        raise OSError(errno.ENOSPC, failure)
    if failure:
        raise NervaError(failure)
    if code in (-SIGINT, -SIGTERM):
        raise Interrupted(-code)
    if code != 0:
        raise NervaError(f"the process that trained {folder.run_id} ended with exit code {code}")
    return folder.read_record()
