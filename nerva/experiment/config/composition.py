"""Configurations from Hydra: one run's, or the points of a sweep. The only module that imports hydra."""

import dataclasses
import difflib
import operator
import os
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from nerva.data.auto import choose
from nerva.errors import NervaError
from nerva.experiment import CONF
from nerva.experiment.config.schema import Config, Sweep
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import run_id
from nerva.experiment.records.privacy import private

ConfigStore.instance().store(name="schema", node=Config)


@dataclass(frozen=True)
class Point:
    """A point of a sweep: a run, and the overrides that make it."""

    run_id: str
    config: Config
    overrides: list[str]


def split(text: str) -> list[str]:
    """The overrides in a text, with spaces between them, but for those in quotes and brackets, which belong to them.

    Raises:
        NervaError: if a quote or a bracket is not closed.
    """
    part = r"""(?:[^\s'"\[\](){}]|'[^']*'|"[^"]*"|\[[^\[\]]*\]|\{[^{}]*\}|\([^()]*\))+"""
    if not re.fullmatch(rf"\s*(?:{part}(?:\s+|$))*", text):
        raise NervaError(f"overrides: a quote or a bracket is not closed in {text}")
    return re.findall(part, text)


def compose(overrides: Sequence[str]) -> Config:
    """The configuration that overrides of `conf/config.yaml` give; `data=auto` is replaced by the set chosen.

    Raises:
        NervaError: if a key or an option is unknown, or a value has the wrong type.
    """
    with _hydra():
        return _settle(hydra.compose("config", list(overrides)), overrides)[0]


def expand(experiment: str, overrides: Sequence[str] = ()) -> list[Point]:
    """The points of a sweep, in the order in which Hydra's multirun makes them.

    Args:
        experiment: a file of `conf/experiment/`, without its suffix.
        overrides: overrides for every point, as on the command line; they may be sweeps themselves.

    Raises:
        NervaError: if the experiment, a key or an option is unknown, a value has the wrong type or is out of range,
            or the points are on several datasets.
    """
    known = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
    if experiment not in known:
        raise NervaError(f'there is no experiment "{experiment}" in conf/experiment; there are: {", ".join(known)}')
    asked = [f"+experiment={experiment}", *overrides]
    with _hydra():
        points = _points(_master(asked), asked)
    for what in ("title", "results_dir", "tracking.uri", "tracking.enabled"):
        values = {str(operator.attrgetter(what)(point.config)) for point in points}
        if len(values) > 1:
            raise NervaError(f"the runs of a sweep should have one {what}, not {' and '.join(sorted(values))}")
    return list({point.run_id: point for point in points}.values())


# Overrides that don't tell one sweep of an experiment from another.
_ANY = re.compile(
    r"\+*((experiment|data|data\.mirrors|results_dir|experiment_name|question|force)=|(tracking|hydra|sweep)[=./])"
)


def sweep_of(points: Sequence[Point], overrides: Sequence[str]) -> Sweep:
    """The sweep that points make: it is known by its runs, and named by its experiment and overrides."""
    config = points[0].config
    words = [override for override in overrides if not _ANY.match(override)]
    sweep_id = digest([config.title, sorted({point.run_id for point in points})])[:8]
    return Sweep(sweep_id, private(" ".join([config.experiment_name, *words])))


def points(overrides: Sequence[str]) -> list[Point]:
    """The points that overrides describe, which may be sweeps, or add an experiment; each run once.

    Raises:
        NervaError: as `expand`.
    """
    with _hydra():
        return list({point.run_id: point for point in _points(_master(overrides), overrides)}.values())


def _master(overrides: Sequence[str]) -> DictConfig:
    """The configuration with Hydra's own part, but without what overrides sweep: that can't be composed."""
    single = [o.input_line for o in _parser().parse_overrides(list(overrides)) if not o.is_sweep_override()]
    return hydra.compose("config", [line for line in single if line], return_hydra_config=True)


def _parser() -> OverridesParser:
    return OverridesParser.create(GlobalHydra.instance().config_loader())


def _points(cfg: DictConfig, overrides: Sequence[str]) -> list[Point]:
    """The points that Hydra's basic sweeper makes of the sweep in a configuration and of overrides."""
    params = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]
    points = []
    for point in BasicSweeper.split_arguments(_parser().parse_overrides([*params, *overrides]), None)[0]:
        config, _ = _settle(hydra.compose("config", point), point)
        points.append(Point(run_id(config), config, point))
    return points


def application(
    task: Callable[[Config, list[str]], None],
    arguments: Sequence[str],
    around: Callable[[list[Point], Sweep], AbstractContextManager[object]],
) -> None:
    """Runs Hydra's application: `task` for the configuration of each job, with its overrides.

    Args:
        task: what to do.
        arguments: Hydra's.
        around: a context for all jobs, made of a sweep and its points; if there is no sweep, of none.

    Raises:
        NervaError: if a key or an option is unknown, or a value has the wrong type.
    """

    failures: list[Exception] = []
    sweep = Sweep()

    def main(cfg: DictConfig) -> None:
        try:
            config, overrides = _settle(cfg, list(HydraConfig.get().overrides.task))
            if not config.sweep.id:
                config.sweep = sweep
            task(config, [override for override in overrides if not override.startswith("sweep.")])
        except Exception as error:
            # A single job's error goes around Hydra, which would add a line of its own to ours.
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            failures.append(error)

    # argparse, which Hydra uses, wants all overrides in one place; a person does not care.
    arguments = sorted(arguments, key=lambda a: a.startswith("-") or not ("=" in a or a.startswith("~")))
    sys.argv = ["nerva train", *arguments]
    # Hydra prints errors itself unless this is set; ours are printed where all of nerva's are.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with _errors():
        asked = get_args_parser().parse_args(list(arguments))
        points = _multirun(asked)
        if points:
            sweep = sweep_of(points, asked.overrides)
        with around(points, sweep):
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(main)()
        for error in failures:
            raise error


def _multirun(asked: Namespace) -> list[Point]:
    """The points of a multirun, or none if it is none; a mistake in one fails before the first job."""
    if any((asked.help, asked.hydra_help, asked.cfg, asked.info, asked.shell_completion)):
        return []
    if any((asked.config_name, asked.config_path, asked.config_dir, asked.experimental_rerun)):
        return []  # a configuration of somebody's own: Hydra checks it as it comes to each job
    with _hydra():
        cfg = _master(asked.overrides)
        if not asked.multirun and cfg.hydra.mode != RunMode.MULTIRUN:
            return []
        return _points(cfg, asked.overrides)


def _settle(cfg: DictConfig, overrides: Sequence[str]) -> tuple[Config, list[str]]:
    """A composed configuration as an object, with its overrides; `data=auto` is replaced by the set chosen."""
    settled = list(overrides)
    for override in settled:
        key = override.lstrip("+").partition("=")[0]
        if key in ("data.name", "data.title", "data.source"):
            raise NervaError(f"{key} says what the data are, and can't be overridden; choose another file of conf/data")
    if cfg.data.source == "auto":
        preferred, otherwise = cfg.data.candidates
        # What the overrides say of the data, they say of the one that is looked for, too.
        details = [override for override in settled if override.lstrip("+").startswith("data.")]
        candidate = _object(hydra.compose("config", [*details, f"data={preferred}"])).data
        choice = choose(candidate, otherwise, _object(cfg).data_dir)
        settled = [*(o for o in overrides if not o.startswith("data=")), f"data={choice.chosen}"]
        cfg = hydra.compose("config", settled)
        cfg.data.note = f"chosen by data=auto: {choice.reason}"
    return _object(cfg), settled


def _object(cfg: DictConfig) -> Config:
    OmegaConf.resolve(cfg)
    _check_keys(cfg, "")
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    # A variable that is set to nothing is as good as unset.
    config.tracking.uri = config.tracking.uri or f"sqlite:///{config.results_dir}/mlflow.db"
    return config


def _check_keys(node: DictConfig, prefix: str) -> None:
    """Raises a NervaError for a key that no type has: Hydra lets `+train.epoch=3` add one."""
    type_ = OmegaConf.get_type(node)
    if not dataclasses.is_dataclass(type_):
        return
    known = [field.name for field in dataclasses.fields(type_)]
    for key in map(str, node):
        if key not in known:
            raise NervaError(f'there is no "{key}" in {prefix or "the configuration"}{_nearest(key, known)}')
        if isinstance(node[key], DictConfig):
            _check_keys(node[key], f"{prefix}.{key}" if prefix else key)


@contextmanager
def _hydra() -> Iterator[None]:
    with _errors(), hydra.initialize_config_dir(str(CONF), version_base="1.3", job_name="nerva"):
        yield


@contextmanager
def _errors() -> Iterator[None]:
    """Turns the errors by which Hydra tells of a user's mistake into ours."""
    try:
        yield
    except NervaError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise NervaError(_message(error)) from error
    except yaml.YAMLError as error:
        raise NervaError(f"a configuration file is not YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        # Some mistakes, `data=3` among them, Hydra tells by a plain ValueError.
        if not traceback.extract_tb(error.__traceback__)[-1].filename.startswith(str(Path(hydra.__file__).parent)):
            raise
        raise NervaError(str(error)) from error


def _message(error: BaseException) -> str:
    """What an error of Hydra or OmegaConf means to the person who wrote the override or the file."""
    cause: Any = error
    while isinstance(cause.__cause__, HydraException | OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, MissingConfigException) and cause.options:
        group, _, option = str(cause.missing_cfg_file).rpartition("/")
        return f'there is no "{option}" in conf/{group}{_nearest(option, cause.options)}'
    if isinstance(cause, ConfigKeyError | ConfigAttributeError):
        parent, _, key = str(cause.full_key).rpartition(".")
        known: Sequence[str] = []
        if isinstance(cause.parent_node, DictConfig):
            known = [str(name) for name in cause.parent_node]
        elif dataclasses.is_dataclass(cause.object_type):
            known = [field.name for field in dataclasses.fields(cause.object_type)]
        return f'there is no "{key}" in {parent or "the configuration"}{_nearest(key, known)}'
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {str(cause.msg or cause).splitlines()[0]}"
    return "\n".join(line for line in str(error).splitlines() if line.strip())


def _nearest(name: str, known: Sequence[str]) -> str:
    """A hint at what may have been meant."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return (f'; did you mean "{nearest[0]}"?' if nearest else ".") + f" There are: {', '.join(sorted(known))}"
