"""The commit of the code, and what has changed since."""

import functools
import os
import subprocess

from nerva.experiment.paths import PACKAGE

# A file that git does not track is part of the patch if it can affect a run.
_RELEVANT = ("nerva", "conf", "workflow", "Snakefile", "pyproject.toml", "requirements.lock")

# The form that `git apply` reads, whatever the user has configured for reading diffs.
_DIFF = (
    *("diff", "--binary", "--unified=3", "--inter-hunk-context=0"),
    *("--no-ext-diff", "--no-color", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/"),
)


@functools.cache
def commit() -> str | None:
    """The commit of the checkout that this package is in; None if it is in none, or git is not installed."""
    found = _git("rev-parse", "HEAD")
    return None if found is None else found.decode().strip()


@functools.cache
def patch() -> bytes:
    """What `git apply` needs to turn the commit into the code that runs; empty if both are the same."""
    changed = _git(*_DIFF, "HEAD") or b""
    return changed + b"".join(_git(*_DIFF, "--no-index", "--", "/dev/null", file) or b"" for file in untracked())


@functools.cache
def untracked() -> list[str]:
    """The files that git does not track and that can affect a run."""
    listed = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *_RELEVANT) or b""
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _git(*arguments: str) -> bytes | None:
    """The output of git in the checkout that this package is in; None if it is in none, or git is not installed."""
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None  # the package is installed; the folder may be inside an unrelated checkout
    # If git itself called this program, its variables name another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        result = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, check=False)
    except OSError:
        return None
    # `git diff --no-index` exits with 1 if the files differ.
    return result.stdout if result.returncode in (0, 1) else None
