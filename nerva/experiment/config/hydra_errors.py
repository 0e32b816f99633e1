"""Errors of Hydra and OmegaConf, translated for the person who wrote the override or the file."""

import dataclasses
import difflib
import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import omegaconf
import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from nerva.errors import NervaError

# Hydra's parser, antlr4, is installed beside them.
_LIBRARIES = tuple(str(Path(str(library.__file__)).parent) for library in (hydra, omegaconf))
_LIBRARIES += (str(Path(str(hydra.__file__)).parents[1] / "antlr4"),)

# The packages of Hydra's plugins.
_PLUGINS = {
    "hydra/launcher=joblib": "hydra-joblib-launcher",
    "hydra/launcher=submitit_local": "hydra-submitit-launcher",
    "hydra/launcher=submitit_slurm": "hydra-submitit-launcher",
    "hydra/launcher=ray": "hydra-ray-launcher",
    "hydra/launcher=ray_aws": "hydra-ray-launcher",
    "hydra/launcher=rq": "hydra-rq-launcher",
    "hydra/sweeper=ax": "hydra-ax-sweeper",
    "hydra/sweeper=nevergrad": "hydra-nevergrad-sweeper",
    "hydra/sweeper=optuna": "hydra-optuna-sweeper",
}


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors by which Hydra reports a user's mistake into NervaErrors."""
    try:
        yield
    except NervaError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise NervaError(_message(error)) from error
    except yaml.YAMLError as error:
        raise NervaError(f"a configuration file is not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, TypeError, AttributeError, KeyError, AssertionError, RecursionError) as error:
        # Hydra reports some mistakes, `data=3` among them, by errors of Python. Those of other code are bugs.
        if not traceback.extract_tb(error.__traceback__)[-1].filename.startswith(_LIBRARIES):
            raise
        reason = str(error).strip() or type(error).__name__
        raise NervaError(f"the configuration can't be composed of these overrides: {reason}") from error


def _message(error: BaseException) -> str:
    cause: Any = error
    while isinstance(cause.__cause__, HydraException | OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, MissingConfigException) and cause.options:
        group, _, option = str(cause.missing_cfg_file).rpartition("/")
        if package := _PLUGINS.get(f"{group}={option}"):
            return f"{group}={option} needs a plugin of Hydra that is not installed; try: pip install {package}"
        if group.startswith("hydra/"):
            return f'there is no "{option}" in {group}{did_you_mean(option, cause.options)}'
        return f'there is no "{option}" in conf/{group}{did_you_mean(option, cause.options)}'
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        parent, _, key = str(cause.full_key).rpartition(".")
        known: Sequence[str] = []
        if isinstance(cause.parent_node, DictConfig):
            known = [str(name) for name in cause.parent_node]
        elif dataclasses.is_dataclass(cause.object_type):
            known = [field.name for field in dataclasses.fields(cause.object_type)]
        return f'there is no "{key}" in {parent or "the configuration"}{did_you_mean(key, known)}'
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        reason = str(cause.msg or cause).splitlines()[0]
        if missing := re.search(r"Environment variable '(\w+)' not found", reason):
            reason = f"the environment variable {missing[1]} is not set"
        return f"{cause.full_key}: {reason}"
    return "\n".join(line for line in str(error).splitlines() if line.strip())


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A suggestion for an unknown name, followed by all known names."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return (f'; did you mean "{nearest[0]}"?' if nearest else ".") + f" There are: {', '.join(sorted(known))}"
