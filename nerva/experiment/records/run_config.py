"""The configuration of a run as a file, `config.yaml`, without what only says where the run is put."""

import dataclasses
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import AliasToken, YAMLError, scan

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.records.privacy import private

_NOT_RECORDED = ("tracking", "experiment_name", "question", "sweep", "results_dir", "force")
_LARGEST = 2**15  # characters; OmegaConf needs a second for more


def to_yaml(config: Config, numerics: str) -> str:
    """The part of a configuration that belongs to the run: the same run has the same file on every machine.

    Args:
        config: the configuration.
        numerics: the mode that its numerics resolved to.
    """
    container: Any = OmegaConf.to_container(OmegaConf.structured(config))
    container["numerics"]["mode"] = numerics
    del container["data"]["note"]
    container["data"]["mirrors"] = [private(mirror) for mirror in container["data"]["mirrors"]]
    return OmegaConf.to_yaml({key: value for key, value in container.items() if key not in _NOT_RECORDED})


def from_yaml(text: str) -> Config:
    """The configuration in a text. What the text does not have is as by default."""
    loaded = OmegaConf.create(text)
    OmegaConf.resolve(loaded)
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), loaded))
    assert isinstance(config, Config)
    return config


def read_config(path: Path, run_id: str, repair_hint: str) -> Config:
    """The configuration in a file. Its experiment is named by the run's id.

    Raises:
        NervaError: if the file can't be read, or is not the configuration of a run.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST} characters")
        if "${" in text:
            # A recorded configuration has its values resolved. Interpolations could read environment variables.
            raise ValueError("it has interpolations")
        if "*" in text and any(isinstance(token, AliasToken) for token in scan(text)):
            # With aliases of aliases, a few lines are billions of values.
            raise ValueError("it has aliases")
        config = dataclasses.replace(from_yaml(text), experiment_name=run_id)
    except (
        OSError, ValueError, TypeError, AttributeError, RecursionError, OmegaConfBaseException, YAMLError,
        AssertionError,  # by OmegaConf, if the text is a single value
    ) as error:  # fmt: skip
        raise NervaError(f"{path} is not a run's configuration ({_first_line(error)}); {repair_hint}") from None
    return config


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
