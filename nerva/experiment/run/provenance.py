"""Where a run comes from: configuration, code, data, and what it was computed with.

Nothing is recorded of who ran it: no user or host, no environment variables, and "~" for the home folder.
"""

import functools
import json
import os
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
from nerva.experiment import PACKAGE
from nerva.experiment.config import numerics
from nerva.experiment.config.schema import Config, canonical
from nerva.experiment.identity.identify import code_fingerprint, configuration_id, run_id
from nerva.experiment.records.privacy import private

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


@functools.cache
def _git() -> dict[str, Any]:
    """The commit of the checkout that this package is in, and whether something was changed since."""
    commit = _ask_git("rev-parse", "HEAD")
    if commit is None:
        return {"git_commit": None, "dirty": None, "untracked": []}
    return {"git_commit": commit.decode().strip(), "dirty": bool(patch()), "untracked": _untracked()}


# In the form that `git apply` reads, whatever a user has set for the eye.
_DIFF = (
    *("diff", "--binary", "--unified=3", "--inter-hunk-context=0"),
    *("--no-ext-diff", "--no-color", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/"),
)


@functools.cache
def patch() -> bytes:
    """What `git apply` needs to make the commit into the code that runs; nothing if that is the same."""
    changed = _ask_git(*_DIFF, "HEAD") or b""
    return changed + b"".join(_ask_git(*_DIFF, "--no-index", "--", "/dev/null", file) or b"" for file in _untracked())


def _untracked() -> list[str]:
    """Files that git does not know, and that can matter to a run."""
    listed = _ask_git("ls-files", "-z", "--others", "--exclude-standard", "--", *_RELEVANT) or b""
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _ask_git(*arguments: str) -> bytes | None:
    """What git says of the checkout that this package is in; None if it is in none, or git is not there."""
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None  # installed, perhaps below somebody else's checkout
    # Of another repository, where git itself has called what runs here.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        result = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, check=False)
    except OSError:
        return None
    # `git diff --no-index` says by 1 that files differ.
    return result.stdout if result.returncode in (0, 1) else None
