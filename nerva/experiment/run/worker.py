"""A child process that trains one run: `python -m nerva.experiment.run.worker`; see `nerva.experiment.run.run`."""

import errno
import logging
import os
import signal
import sys
from pathlib import Path

from nerva import backends
from nerva.errors import NervaError, PrunedError
from nerva.experiment.config import numerics
from nerva.experiment.run.processes import Parent
from nerva.experiment.run.signals import Interrupted, end_by, interruptible


def main() -> None:
    """Carry out the order on standard input."""
    parent = Parent()
    order = parent.order
    numerics.pin(order["mode"], backends.chosen()[0])
    parent.when_released(lambda: os.kill(os.getpid(), signal.SIGKILL))
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("nerva").setLevel(logging.INFO)
    # The log file of the run has everything; the terminal has what the parent would show.
    logging.getLogger().handlers[0].setLevel(order["level"])
    sys.argv, sys.path[:] = order["argv"], order["path"]

    try:
        # This imports the library of the run, which fails if device=gpu and it finds no GPU.
        from nerva.experiment.identity.identify import identify
        from nerva.experiment.records.run_config import from_yaml
        from nerva.experiment.records.run_folder import RunFolder
        from nerva.experiment.run.train import train
        from nerva.training import EpochRecord

        with interruptible():
            config = from_yaml(order["config"])
            identity = identify(config)
            if numerics.pinned() != identity.numerics:
                raise NervaError(
                    f"something imports NumPy when {sys.executable} starts, before nerva can pin the numerics"
                )
            if backends.chosen()[0] != identity.backend["name"]:
                raise NervaError(f"this process computes with {backends.chosen()[0]}, not {identity.backend['name']}")
            if identity.run_id != order["run_id"]:
                code = " or ".join(["nerva", *config.imports])
                raise NervaError(f"the code of {code} changed after the run was planned; run the command again")

            def watch(epoch: EpochRecord) -> None:
                if not parent.report(vars(epoch)):
                    raise PrunedError

            folder, watched = RunFolder(Path(order["folder"])), watch if order["watched"] else None
            train(config, identity, order["overrides"], folder, order["note"], watched)
    except PrunedError:
        pass  # the parent knows
    except (NervaError, OSError) as error:
        parent.answer(str(error))
        sys.exit(error.errno if isinstance(error, OSError) and error.errno == errno.ENOSPC else 1)
    except Interrupted as interruption:
        end_by(interruption.signum)


if __name__ == "__main__":
    main()
