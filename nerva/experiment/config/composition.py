"""Composition of configurations by Hydra.

Composing uses neither the network nor the disk, unless it is asked to settle `data=auto`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from nerva.data.auto import choose, predict
from nerva.errors import NervaError
from nerva.experiment.config.hydra_errors import did_you_mean, translated
from nerva.experiment.config.nesting import DEEPEST, nesting
from nerva.experiment.config.schema import Config
from nerva.experiment.paths import conf_dir

ConfigStore.instance().store(name="schema", node=Config)

_LONGEST = 10_000
_QUOTES = ("'", '"')
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def compose(overrides: Sequence[str], settle: bool = False) -> Config:
    """The configuration that overrides of `conf/config.yaml` give. It is not validated yet: see `identify`.

    Args:
        overrides: Hydra's overrides, none of which is a sweep.
        settle: whether `data=auto` is settled: that may use the network, and writes the choice to a file. Otherwise
            the choice is predicted from the files on this disk.

    Raises:
        NervaError: if a key or an option is unknown, or a value has the wrong type.
    """
    check_overrides(overrides)
    with initialized():
        return resolved(hydra.compose("config", list(overrides)), overrides, settle)[0]


def split_overrides(text: str) -> list[str]:
    """The overrides in a text, which are separated by spaces. Spaces inside quotes and brackets do not separate.

    Raises:
        NervaError: if a quote or a bracket is not closed.
    """
    parts = [""]
    closing: list[str] = []  # the brackets that are still to come
    quote = ""
    for character, quote in _with_quotes(text):
        if character.isspace() and not quote and not closing:
            parts.append("")
            continue
        parts[-1] += character
        if quote or character in _QUOTES:
            continue
        if character in _BRACKETS:
            closing.append(_BRACKETS[character])
        elif character in _BRACKETS.values() and (not closing or closing.pop() != character):
            raise NervaError(f"overrides: there is no bracket to close by {character} in {_shortened(text)}")
    if quote or closing:
        raise NervaError(f"overrides: {(quote or closing[-1])} is missing in {_shortened(text)}")
    return [part for part in parts if part]


def restore_quote(text: str) -> str:
    """Overrides in one text, with the quote at their end that Snakemake removes from the value of a `--config` key."""
    quotes = [quote for _, quote in _with_quotes(text)]
    return text + quotes[-1] if quotes else text


def _with_quotes(text: str) -> Iterator[tuple[str, str]]:
    """Each character of a text, with the quote that is open after it, which is empty if there is none."""
    quote = ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        yield character, quote


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuse overrides that Hydra's parser can't read in reasonable time and memory.

    Raises:
        NervaError: if an override is too long, or its brackets are nested too deeply.
    """
    for override in overrides:
        if len(override) > _LONGEST:
            raise NervaError(f"{_shortened(override)} has {len(override):,} characters; {_LONGEST:,} is the most")
        if (deepest := nesting(override)) > DEEPEST:
            raise NervaError(f"{_shortened(override)} has brackets nested {deepest} deep; {DEEPEST} is the most")


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:40]}…"


@contextmanager
def initialized() -> Iterator[None]:
    """Hydra, initialized with `conf/`; its errors become NervaErrors."""
    folder = str(conf_dir())
    with translated(), hydra.initialize_config_dir(folder, version_base="1.3", job_name="nerva"):
        yield


def resolved(cfg: DictConfig, overrides: Sequence[str], settle: bool = False) -> tuple[Config, list[str]]:
    """A composed configuration as an object, and its overrides. `data=auto` is replaced by the dataset that it means.

    Hydra has to be initialized. The arguments are those of `compose`.
    """
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key in ("data.name", "data.title", "data.source"):
            raise NervaError(f"{key} identifies the dataset and can't be overridden; choose another file of conf/data")
    if not isinstance(cfg.get("data"), DictConfig) or cfg.data.get("source") != "auto":
        return _object(cfg), list(overrides)
    preferred, alternative = cfg.data.candidates
    # Overrides of data.* belong to the dataset that `auto` means.
    details = [override for override in overrides if override.lstrip("+").startswith("data.")]
    candidate = _object(hydra.compose("config", [*details, f"data={preferred}"])).data
    choice = (choose if settle else predict)(candidate, alternative, _object(cfg).data_dir)
    chosen = [*(o for o in overrides if not o.startswith("data=")), f"data={choice.chosen}"]
    cfg = hydra.compose("config", chosen)
    cfg.data.note = f"chosen by data=auto: {choice.reason}"
    return _object(cfg), chosen


def _object(cfg: DictConfig) -> Config:
    OmegaConf.resolve(cfg)
    _check_keys(cfg, "")
    config = OmegaConf.to_object(cfg)
    if not isinstance(config, Config):
        raise NervaError(
            "the configuration is not that of a run: conf/config.yaml should have `schema` in its defaults"
        )
    # An environment variable that is set to the empty string counts as unset.
    config.tracking.uri = config.tracking.uri or f"sqlite:///{config.results_dir}/mlflow.db"
    return config


def _check_keys(node: DictConfig, prefix: str) -> None:
    """Raise a NervaError for a key that the schema does not have: Hydra lets `+train.epoch=3` add one."""
    type_: Any = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(type_):
        return
    known = [field.name for field in dataclasses.fields(type_)]
    for key in map(str, node):
        if key not in known:
            raise NervaError(f'there is no "{key}" in {prefix or "the configuration"}{did_you_mean(key, known)}')
        if isinstance(node[key], DictConfig):
            _check_keys(node[key], f"{prefix}.{key}" if prefix else key)
