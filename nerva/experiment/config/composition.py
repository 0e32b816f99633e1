"""Composition of configurations by Hydra.

Composing uses no network, unless it is asked to settle `data=auto`, or to download a dataset of OpenML or scikit-learn.
Files that the configuration describes only by their path, as `data=csv` does, are read.
"""

import copy
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from typing import Any, cast

import hydra
import hydra.utils
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from nerva.data.auto import AutoChoice, choose, predict
from nerva.data.describing import describe
from nerva.data.description import Dataset
from nerva.data.sources import READERS
from nerva.data.steps import with_steps
from nerva.errors import NervaError
from nerva.experiment.config.hydra_errors import did_you_mean, translated
from nerva.experiment.config.metrics import LOSSES
from nerva.experiment.config.overrides import check_overrides
from nerva.experiment.config.schema import Config, Request, Sweep
from nerva.experiment.paths import conf_dir

# Hydra 1.3 has to be told that it need not behave as earlier versions, and Hydra 1.4 warns if it is told. That version
# lets a configuration name only those classes, of handlers of log messages and of callbacks, that the program allows.
_OLD = version("hydra-core").startswith("1.3.")
VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if _OLD else {}
WHITELIST: dict[str, Any] = {} if _OLD else {"execution_whitelist": ["nerva.*", "hydra_plugins.*"]}

ConfigStore.instance().store(name="schema", node=Request)

# The keys that determine what is read from a source.
_READING = {
    *("data.path", "data.version", "data.task", "data.label", "data.categorical", "data.ignore", "data.missing"),
    *("data.impute", "data.size", "data.colour", "data.test", "data.test_fraction", "data.validation"),
    *("data.validation_fraction", "data.split_seed"),
}


def compose(overrides: Sequence[str], settle: bool = False) -> Config:
    """The configuration that overrides of `conf/config.yaml` give. It is not validated yet: see `identify`.

    Args:
        overrides: Hydra's overrides, none of which is a sweep.
        settle: whether `data=auto` is settled: that may use the network, and writes the choice to a file. Otherwise
            the choice is predicted from the files on this disk. A dataset of OpenML or scikit-learn is downloaded only
            if this is true.

    Raises:
        NervaError: if a key or an option is unknown, or a value has the wrong type.
    """
    check_overrides(overrides)
    with initialized():
        return Composer(settle).configuration(overrides)[0]


@contextmanager
def initialized() -> Iterator[None]:
    """Hydra, initialized with `conf/`; its errors become NervaErrors."""
    folder = str(conf_dir())
    utils: Any = hydra.utils  # what Hydra 1.3 does not have, has no type there
    allowed = nullcontext() if _OLD else utils.execution_whitelist(**WHITELIST)
    with translated(), allowed, hydra.initialize_config_dir(folder, job_name="nerva", **VERSION_BASE):
        yield


class Composer:
    """Composes configurations. Hydra has to be initialized.

    The result is that of `hydra.compose`, but Hydra reads the files only once for each set of choices, such as
    `optimizer=nesterov`. Values, such as `seed=2`, do not affect which files are read. They are set afterwards, by the
    code with which Hydra sets them.
    """

    def __init__(self, settle: bool = False) -> None:
        """
        Args:
            settle: whether `data=auto` is settled; see `compose`.
        """
        self._settle = settle
        self._choices: dict[tuple[str, ...], AutoChoice] = {}
        self._described: dict[str, Dataset] = {}
        self._parser = OverridesParser.create()
        self._parsed: dict[str, Override] = {}
        loader = cast(ConfigLoaderImpl, GlobalHydra.instance().config_loader())
        repository = loader._parse_overrides_and_create_caching_repo("config", [])[1]
        self._is_group = functools.cache(repository.group_exists)
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._with_values: dict[tuple[tuple[str, ...], tuple[str, ...]], DictConfig] = {}

    def configuration(self, overrides: Sequence[str], composed: DictConfig | None = None) -> tuple[Config, list[str]]:
        """The configuration of overrides, and the overrides with the dataset that `data=auto` means.

        Args:
            overrides: Hydra's overrides.
            composed: what Hydra has composed of them already, if it has.
        """
        cfg = self.compose(overrides) if composed is None else composed
        source = cfg.data.get("source") if isinstance(cfg.get("data"), DictConfig) else None
        for override in overrides:
            key = override.lstrip("+").partition("=")[0]
            if key == "data.source" or (key in ("data.name", "data.title") and source not in READERS):
                raise NervaError(
                    f"{key} identifies the dataset and can't be overridden; choose another file of conf/data"
                )
            if key in _READING and source in READERS and cfg.data.sha256:
                raise NervaError(
                    f"{key} can't be overridden, because conf/data declares the sha256 of what is read for "
                    f"{cfg.data.name}; add data.sha256=null"
                )
        if source != "auto":
            return self._completed(_object(cfg)), list(overrides)
        preferred, alternative = cfg.data.candidates
        data_dir = _object(cfg).data_dir
        # Overrides of data.* belong to the dataset that `auto` means.
        details = [override for override in overrides if override.lstrip("+").startswith("data.")]
        candidate = _object(self.compose([*details, f"data={preferred}"])).data
        asked = (*details, str(data_dir))
        if asked not in self._choices:
            self._choices[asked] = (choose if self._settle else predict)(candidate, alternative, data_dir)
        choice = self._choices[asked]
        chosen = [*(o for o in overrides if not o.startswith("data=")), f"data={choice.chosen}"]
        config = self._completed(_object(self.compose(chosen)))
        config.data.note = f"chosen by data=auto: {choice.reason}"
        return config, chosen

    def _completed(self, config: Config) -> Config:
        """A configuration with the description of its dataset, which may have to be read, and the loss of its task."""
        if config.data.source in READERS or config.data.steps:
            key = repr((config.data, config.results_dir))
            if key not in self._described:
                self._described[key] = with_steps(describe(config.data, config.data_dir, self._settle))
            # A copy, because the configuration may be changed.
            config.data = copy.deepcopy(self._described[key])
        if config.loss.get("name") == "auto":
            config.loss = {"name": LOSSES.get(config.data.task, "")}
        return config

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The same as `hydra.compose("config", overrides)`. The next call may change the result."""
        parsed = [self._parse(override) for override in overrides]
        if any(override.is_sweep_override() for override in parsed):
            return hydra.compose("config", list(overrides))  # it raises the error
        values = [override for override in parsed if self._is_value(override)]
        choices = tuple(str(override.input_line) for override in parsed if not self._is_value(override))
        if choices not in self._composed:
            self._composed[choices] = hydra.compose("config", list(choices))
        key = (choices, tuple(override.key_or_group for override in values))
        # Values that replace all those of the call before need no new copy.
        cfg = self._with_values.get(key)
        if cfg is None:
            cfg = copy.deepcopy(self._composed[choices])
            if all(_replaces(override) for override in values):
                self._with_values[key] = cfg
        ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
        return cfg

    def _parse(self, text: str) -> Override:
        if text not in self._parsed:
            (self._parsed[text],) = self._parser.parse_overrides([text])
        return self._parsed[text]

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a value, by the rule of Hydra's defaults list. Hydra's own values are not kept."""
        if override.is_hydra_override() or override.key_or_group == "hydra":
            return False
        return isinstance(override.value(), dict) or not self._is_group(override.key_or_group)


def _replaces(override: Override) -> bool:
    """Whether the result does not depend on the value before: true for `a=1`, not for `+a=1`, `~a` and `a={b: 1}`."""
    special = override.is_add() or override.is_force_add() or override.is_delete()
    return not (special or isinstance(override.value(), dict))


def _object(cfg: DictConfig) -> Config:
    """The composed configuration as an object; interpolations are resolved."""
    request = OmegaConf.to_object(cfg)
    if not isinstance(request, Request):
        raise NervaError(
            "the configuration is not that of a run: conf/config.yaml should have `schema` in its defaults"
        )
    _check_keys(request)
    values = {field.name: getattr(request, field.name) for field in dataclasses.fields(Config)}
    # Which other points a sweep has is not part of a run.
    config = Config(**values | {"sweep": Sweep(request.sweep.id, request.sweep.name)})
    # An environment variable that is set to the empty string counts as unset.
    config.tracking.uri = config.tracking.uri or f"sqlite:///{config.results_dir}/mlflow.db"
    return config


def _check_keys(node: Any, prefix: str = "") -> None:
    """Raise a NervaError for a key that the schema does not have: Hydra lets `+train.epoch=3` add one."""
    known = [field.name for field in dataclasses.fields(node)]
    for key, value in vars(node).items():
        if key not in known:
            raise NervaError(f'there is no "{key}" in {prefix or "the configuration"}{did_you_mean(key, known)}')
        if dataclasses.is_dataclass(value):
            _check_keys(value, f"{prefix}.{key}" if prefix else key)
