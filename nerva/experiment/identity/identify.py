"""Which run a configuration is.

A run is a function of its configuration, its data and the code that computes it. Its id is a hash of the three,
and of nothing else: not of paths, names, tracking or the number of cores.
"""

import functools
from collections.abc import Iterable

from nerva.experiment import PACKAGE
from nerva.experiment.config.schema import PREPARATION, Config, canonical
from nerva.experiment.identity.fingerprint import digest, fingerprint, parts
from nerva.experiment.identity.user_modules import files


def run_id(config: Config) -> str:
    """The id of the run that a configuration describes: 12 hexadecimal digits.

    Raises:
        NervaError: if the configuration is not that of a run; the message names the key.
    """
    return digest({"config": canonical(config), "code": code_fingerprint()})[:12]


def configuration_id(config: Config) -> str:
    """The id that runs share which differ in the seed only."""
    return digest({key: value for key, value in canonical(config).items() if key != "seed"})[:12]


@functools.cache
def code_fingerprint() -> str:
    """The sha256 of the code that computes a run: the engine, and what builds a run with it.

    Comments, docstrings and formatting don't count, and neither does the version of Python.
    """
    return digest({name: fingerprint(source) for name, source in _sources().items()})


def code_parts(imports: Iterable[str] = (), preparation: bool = False) -> dict[str, str]:
    """A hash of each function of that code, as `nerva/layers.py: LinearLayer.feedforward`.

    Args:
        imports: modules of one's own, whose functions are `mine: MineActivation.gradient`.
        preparation: whether what prepares data counts, as their own checksum is not known.
    """
    engine = {f"nerva/{name}": source for name, source in _sources().items()}
    if preparation:
        engine |= {f"nerva/data/{file.name}": file.read_bytes() for file in PREPARATION}
    own = {module: file.read_bytes() for name in imports for module, file in files(name).items()}
    return {
        f"{name}: {part}".removesuffix(": "): sha256
        for name, source in (engine | own).items()
        for part, sha256 in parts(source).items()
    }


@functools.cache
def _sources() -> dict[str, bytes]:
    """The source of each module that computes a run, as this process has it, whatever is edited meanwhile."""
    # Hidden files are an editor's.
    files = [*sorted(PACKAGE.glob("[!.]*.py")), PACKAGE / "experiment" / "run" / "build.py"]
    return {str(file.relative_to(PACKAGE)): file.read_bytes() for file in files}
