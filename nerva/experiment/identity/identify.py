"""The identity of a run: a hash of its configuration, its data and the code that computes it.

Nothing else counts: not paths, names, tracking, the number of cores, messages, or components that the run does not use.
"""

import functools
from dataclasses import dataclass

from nerva.experiment.config.schema import Config
from nerva.experiment.config.validation import validate
from nerva.experiment.identity import user_modules
from nerva.experiment.identity.canonical import (
    NUMPY,
    Canonical,
    CanonicalBackend,
    canonical_form,
    components_in_strings,
    named_components,
)
from nerva.experiment.identity.code import hash_code
from nerva.experiment.identity.fingerprint import digest

# How the functions of code.json are hashed; records with another scheme can't be compared function by function.
CODE_SCHEME = 2


@dataclass(frozen=True)
class Identity:
    """Which run a configuration is, and what that was computed from."""

    run_id: str  # 12 hexadecimal digits
    configuration_id: str  # of the runs that differ only in the seed
    determined_by: Canonical
    code: dict[str, str]  # a hash of each function that computes the run

    @property
    def code_fingerprint(self) -> str:
        """The hash of all that code."""
        return _digest_of(tuple(self.code.items()))

    @property
    def backend(self) -> CanonicalBackend:
        """The library that computes the run, and its device."""
        return self.determined_by.get("backend", NUMPY)

    @property
    def numerics(self) -> str:
        """The mode of numerics: portable or native."""
        return self.determined_by["numerics"]


@functools.lru_cache(maxsize=100)
def _digest_of(code: tuple[tuple[str, str], ...]) -> str:
    return digest(dict(code))


def identify(config: Config) -> Identity:
    """Validate a configuration and find which run it is.

    Raises:
        NervaError: if the configuration is not that of a run; the message names the key.
    """
    validate(config)
    determined_by = canonical_form(config)
    user_files = {module: file for name in config.imports for module, file in user_modules.files(name).items()}
    components = [*named_components(config), *components_in_strings(user_files.values())]
    code = hash_code(components, user_files.items(), config.backend.name)
    run_id = digest({"config": determined_by, "code": _digest_of(tuple(code.items()))})[:12]
    configuration_id = digest({key: value for key, value in determined_by.items() if key != "seed"})[:12]
    return Identity(run_id, configuration_id, determined_by, code)
