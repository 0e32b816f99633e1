"""From a configuration to a tracked run, and from runs to a comparison.

`config` says what a run is made of and `identity` which run it is; `compose` gets configurations from Hydra;
`build` makes the network and the batches, `run` trains and writes the run's folder; `tracking` logs folders to
MLflow and `compare` ranks them. Only `compose` imports hydra, and only `tracking` imports mlflow.
"""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent.parent


def python_path(before: str | None) -> str:
    """A PYTHONPATH with this package first, so that another process has the same, and then what was there before."""
    return os.pathsep.join(filter(None, (str(PACKAGE.parent), before)))


# In a checkout conf/ lies beside the package, in an installed wheel inside it.
CONF = next(path for path in (PACKAGE / "conf", PACKAGE.parent / "conf") if path.is_dir())
