"""A process of its own for a run, where this one can't compute its bits: `python -m nerva.experiment.run.processes`.

The bits of a process are settled when NumPy is first imported. A notebook has imported it long since, and a sweep may
ask for portable and native runs in turn.
"""

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.run.signals import Interrupted, end_by, interruptible

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config


def run_elsewhere(config: "Config", overrides: Sequence[str], folder: Path, mode: str) -> None:
    """Does what `run` does, in a process of its own, which ends when this one does.

    Raises:
        NervaError: if the run does, or the process dies.
        Interrupted: if a signal ends it.
    """
    from omegaconf import OmegaConf

    from nerva.experiment.config.schema import Numerics
    from nerva.experiment.identity.identify import run_id

    settled = Numerics(mode, numerics.note(config.numerics.mode))
    order = {
        "config": OmegaConf.to_yaml(OmegaConf.structured(dataclasses.replace(config, numerics=settled))),
        "overrides": list(overrides),
        "folder": str(folder),
        "run_id": run_id(config),
        "mode": mode,
        "argv": sys.argv,
        "path": sys.path,
        "level": logging.getLogger("nerva.run").getEffectiveLevel(),
    }
    answer, answering = os.pipe()
    process = subprocess.Popen(
        numerics.python("-m", __name__, str(answering)),
        stdin=subprocess.PIPE,
        text=True,
        env=numerics.environment(mode),
        pass_fds=[answering],
        start_new_session=True,  # a Ctrl-C comes to this process, which passes it on, once
    )
    os.close(answering)
    try:
        give(process, order)
        with os.fdopen(answer) as pipe:
            failure = pipe.read()
    except BaseException as reason:
        process.send_signal(signal.SIGTERM)
        if isinstance(reason, Interrupted):
            reason.folder = folder
        raise
    finally:
        # Until it has ended, its input stays open: that tells it that this process lives.
        process.wait()
        close(process)
    if failure:
        raise NervaError(failure)
    if process.returncode in (-signal.SIGINT, -signal.SIGTERM):
        interruption = Interrupted(-process.returncode)
        interruption.folder = folder
        raise interruption
    if process.returncode != 0:
        raise NervaError(f"the process that trained {folder.name} ended with exit code {process.returncode}")


def give(process: "subprocess.Popen[str]", order: dict[str, Any]) -> None:
    """Writes an order to a process. One that has died before it read it says so by its exit code."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()


def close(process: "subprocess.Popen[str]") -> None:
    """Closes the input of a process."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # of what it did not read
        process.stdin.close()


def main() -> None:
    """Carries out an order from standard input; an error of the user's goes to the descriptor in the arguments."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    numerics.pin(order["mode"])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("nerva").setLevel(logging.INFO)
    # A run's log file has everything; the terminal, what the process that gave the order would show.
    logging.getLogger().handlers[0].setLevel(order["level"])
    answering = int(sys.argv[1])
    sys.argv, sys.path[:] = order["argv"], order["path"]

    from nerva.experiment.identity.identify import run_id
    from nerva.experiment.records.run_folder import RunFolder, from_yaml
    from nerva.experiment.run.train import run

    try:
        if numerics.pinned() != order["mode"]:
            # To ask for another process would be to ask for ever.
            raise NervaError(f"{sys.executable} sets what NumPy computes with before nerva can")
        with interruptible():
            config, folder = from_yaml(order["config"]), RunFolder(Path(order["folder"]))
            if config.imports and run_id(config) != order["run_id"]:
                raise NervaError(f"the code of {', '.join(config.imports)} was changed just now; ask again")
            run(config, order["overrides"], folder, own_process=True)
    except NervaError as error:
        os.write(answering, str(error).encode())
        sys.exit(1)
    except Interrupted as interruption:
        end_by(interruption.signum)


def _end_with_parent() -> None:
    """Ends this process when the one that gave the order does, also if that is killed."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
