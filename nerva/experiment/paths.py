"""Where the package and its configuration files are."""

import os
from pathlib import Path

from nerva.errors import NervaError

PACKAGE = Path(__file__).parent.parent


def conf_dir() -> Path:
    """The folder with the configuration files: beside the package in a checkout, inside it in an installed wheel.

    Raises:
        NervaError: if neither exists.
    """
    candidates = (PACKAGE / "conf", PACKAGE.parent / "conf")
    for path in candidates:
        if (path / "config.yaml").is_file():
            return path
    raise NervaError(
        f"the configuration files are missing: there is no conf/config.yaml in {' or '.join(map(str, candidates))}; "
        "restore conf/ from the repository, or reinstall nerva"
    )


def options(group: str) -> list[str]:
    """The names of the files in a folder of conf/, such as the optimizers; none if there is no such folder."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def python_path(before: str | None) -> str:
    """A PYTHONPATH that finds this package first, and then what it found before."""
    return os.pathsep.join(filter(None, (str(PACKAGE.parent), before)))
