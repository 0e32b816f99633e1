"""The configuration of a run as recorded in `config.yaml`, without the keys that do not affect its result."""

import dataclasses
import json
from io import TextIOWrapper
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from nerva.data.json_files import parse_json
from nerva.data.sources import public_path
from nerva.errors import NervaError
from nerva.experiment.config.nesting import DEEPEST, nesting
from nerva.experiment.config.schema import Config
from nerva.experiment.records.privacy import private
from nerva.whole_files import open_regular

_NOT_RECORDED = ("tracking", "experiment_name", "question", "sweep", "results_dir", "force", "objective", "direction")
_LONGEST = 2**16  # characters
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, ten times as fast
_SCALAR_ERRORS = (TypeError, AttributeError, LookupError, ArithmeticError)  # PyYAML raises these for malformed scalars


def to_yaml(config: Config, numerics: str, device: str = "cpu") -> str:
    """The part of a configuration that belongs to the run: the same run has the same file on every machine.

    Args:
        config: the configuration.
        numerics: the mode that its numerics resolved to.
        device: the device that its backend resolved to.
    """
    container = dataclasses.asdict(config)
    container["numerics"]["mode"] = numerics
    container["backend"]["device"] = device
    mirrors = [private(mirror) for mirror in config.data.mirrors]
    data = dataclasses.replace(config.data, note="", path=public_path(config.data.path), mirrors=mirrors)
    container["data"] = data.stated()
    return OmegaConf.to_yaml({key: value for key, value in container.items() if key not in _NOT_RECORDED})


def from_yaml(text: str) -> Config:
    """The configuration in a text, as `to_yaml` or OmegaConf write it. Missing keys get their defaults.

    Nothing in the text is executed or looked up: Python's tags and aliases are refused, and interpolations stay text.

    Raises:
        ValueError: if the text is not a configuration; the message names the key.
    """
    if (deepest := nesting(text)) > DEEPEST:
        raise ValueError(f"it has brackets nested {deepest} deep; {DEEPEST} is the most")
    try:
        # Aliases can expand a small file enormously.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _LOADER)):
            raise ValueError("it has aliases")
        content = _LOADER(text).get_single_data()
        # By way of JSON, which has no bytes, dates or lone surrogates.
        return parse_json(json.dumps(content), Config)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_config(path: Path, run_id: str, repair_hint: str) -> Config:
    """The configuration in a file. Its experiment is named by the run's id.

    Raises:
        NervaError: if the file can't be read, or is not the configuration of a run.
    """
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST:,} characters")
        return dataclasses.replace(from_yaml(text), experiment_name=run_id)
    except OSError as error:
        reason = str(error.strerror)
    except (ValueError, *_SCALAR_ERRORS) as error:
        reason = str(error)[:300]
    raise NervaError(f"{path} is not a run's configuration ({reason}); {repair_hint}")
