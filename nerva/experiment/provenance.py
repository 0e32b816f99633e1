"""Where a run comes from: configuration, code, data, and what it was computed with.

Nothing is recorded of who ran it: no user or host, no environment variables, and "~" for the home folder.
"""

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nerva.data.prepare import Prepared
from nerva.experiment import PACKAGE, numerics
from nerva.experiment.config import Config, canonical
from nerva.experiment.identity import code_fingerprint, configuration_id, run_id
from nerva.experiment.privacy import private

# Those that a run is computed or described with.
_PACKAGES = ("nerva", "numpy", "scipy", "scikit-learn", "hydra-core", "omegaconf", "mlflow", "snakemake")
# A file that git does not know is in the patch if it can matter to a run.
_RELEVANT = ("nerva", "conf", "workflow", "Snakefile", "pyproject.toml", "requirements.lock")


def provenance(config: Config, overrides: Sequence[str], checksum: str) -> dict[str, Any]:
    """Where a run that starts now comes from.

    Args:
        config: the run's configuration.
        overrides: how it was asked for.
        checksum: that of the data which it gets.
    """
    data = config.data
    return {
        "run_id": run_id(config),
        "configuration_id": configuration_id(config),
        "determined_by": canonical(config),
        "part_of": {"title": config.title, "question": config.question, "sweep": asdict(config.sweep)},
        "overrides": [private(override) for override in overrides],
        "command": private(" ".join([Path(sys.argv[0]).name, shlex.join(sys.argv[1:])])),
        "code": {"fingerprint": code_fingerprint(), **_git()},
        "data": {
            "name": data.name,
            "title": data.title,
            "sha256": checksum,
            "source": json.loads(Prepared.of(data, config.data_dir).provenance.read_text())["source"],
            "note": private(data.note),
        },
        "environment": environment(numerics.settle(config.numerics.mode)),
    }


def environment(mode: str) -> dict[str, str | int | None]:
    """What this process computes with, in a mode of numerics."""
    effect = numerics.in_effect()
    return {
        "numerics": mode,
        "cpu": numerics.cpu(),
        "blas": effect["blas"],
        "kernel": effect["kernel"],
        "simd": effect["simd"],
        "threads": 1,
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "lock_sha256": _lock(),
    }


def bits() -> dict[str, str | None]:
    """Of what this process computes with, that on which bits depend."""
    mode = numerics.pinned()
    return {
        "numerics": mode,
        **numerics.in_effect(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "scipy": _version("scipy"),
        # Kernels adapt to the caches of a CPU, unless they are pinned.
        "cpu": numerics.cpu() if mode == "native" else None,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _lock() -> str | None:
    """The checksum of the lock of all packages, if nerva runs from a checkout."""
    lock = PACKAGE.parent / "requirements.lock"
    return sha256(lock.read_bytes()).hexdigest() if lock.exists() else None


def _git() -> dict[str, Any]:
    """The commit of the checkout that this package is in, and whether something was changed since."""
    commit = _ask_git("rev-parse", "HEAD")
    if commit is None:
        return {"git_commit": None, "dirty": None, "untracked": []}
    listed = _ask_git("ls-files", "-z", "--others", "--exclude-standard", "--", *_RELEVANT) or ""
    untracked = [name for name in listed.split("\0") if name]
    dirty = bool(_ask_git("status", "--porcelain", "--untracked-files=no")) or bool(untracked)
    return {"git_commit": commit.strip(), "dirty": dirty, "untracked": untracked}


def patch() -> str:
    """What `git apply` needs to make the commit into the code that runs; "" if that is the same."""
    known = _git()
    if not known["dirty"]:
        return ""
    # In the form that `git apply` reads, whatever a user has set for the eye.
    diff = ("diff", "--binary", "--no-ext-diff", "--no-color", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    new = [_ask_git(*diff, "--no-index", "--", "/dev/null", file) or "" for file in known["untracked"]]
    return (_ask_git(*diff, "HEAD") or "") + "".join(new)


def _ask_git(*arguments: str) -> str | None:
    """What git says of the checkout that this package is in; None if it is in none, or git is not there."""
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None  # installed, perhaps below somebody else's checkout
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, errors="surrogateescape"
        )
    except OSError:
        return None
    # `git diff --no-index` says by 1 that files differ.
    return result.stdout if result.returncode in (0, 1) else None
