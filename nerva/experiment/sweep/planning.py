"""Planning of sweeps: their points, expanded as Hydra's multirun expands them."""

import dataclasses
import itertools
import logging
import operator
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nerva.backends import may_have_gpu
from nerva.errors import NervaError
from nerva.experiment.config.composition import Composer, initialized
from nerva.experiment.config.hydra_errors import did_you_mean
from nerva.experiment.config.numerics import resolve_mode
from nerva.experiment.config.overrides import check_overrides
from nerva.experiment.config.schema import Config, Sweep
from nerva.experiment.identity import user_modules
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import identify
from nerva.experiment.paths import PACKAGE, conf_dir, options
from nerva.experiment.records.privacy import private
from nerva.experiment.sweep.plan import PLAN_FORMAT, Plan, Point, read_plan, write_plan

log = logging.getLogger("nerva")


def plan_experiment(experiment: str, overrides: Sequence[str] = ()) -> Plan:
    """The plan of an experiment. The choice for `data=auto` is predicted from the files on this disk.

    Args:
        experiment: a file of `conf/experiment/`, without its suffix.
        overrides: Hydra's overrides for every point. They may be sweeps themselves.

    Raises:
        NervaError: if the experiment, a key or an option is unknown, a value has the wrong type or is out of range, or
            the points have several datasets, results folders or MLflow stores.
    """
    return _kept_or_made(experiment, overrides, settle=False)[0]


def load_or_write_plan(experiment: str, overrides: Sequence[str] = ()) -> tuple[Plan, Path]:
    """The plan of an experiment, and the path of its file. The choice for `data=auto` is made and recorded.

    A valid plan in the file is read. Otherwise the sweep is planned, and the file is written.

    Raises:
        NervaError: as `plan_experiment`.
    """
    plan, path, kept = _kept_or_made(experiment, overrides, settle=True)
    if not kept:
        write_plan(plan, path)
    return plan, path


def _kept_or_made(experiment: str, overrides: Sequence[str], settle: bool) -> tuple[Plan, Path, bool]:
    """The plan of an experiment, its file, and whether the plan was read from there."""
    known = options("experiment")
    if experiment not in known:
        raise NervaError(f'there is no experiment "{experiment}" in conf/experiment{did_you_mean(experiment, known)}')
    overrides = [f"+experiment={experiment}", *overrides]
    check_overrides(overrides)
    with initialized():
        composer = Composer(settle)
        master = _compose_master(overrides)
        expanded = _expanded(master, overrides)
        first, _ = composer.configuration(expanded[0])
        inputs = digest(_inputs(overrides, first, [*master.hydra.searchpath]))
        path = Path(first.results_dir) / "sweeps" / f"{first.title}-{inputs[:12]}.plan"
        if path.exists():
            try:
                return read_plan(path), path, True
            except NervaError as error:
                log.warning("nerva: %s. The sweep is planned again.", error)
        plan = _plan([_point(composer, point) for point in expanded], overrides)
    for what in ("title", "results_dir", "tracking.uri", "tracking.enabled"):
        values = {str(operator.attrgetter(what)(point.config)) for point in plan.points}
        if len(values) > 1:
            raise NervaError(f"the runs of an experiment should have one {what}, not {' and '.join(sorted(values))}")
    return plan, path, False


def _inputs(overrides: Sequence[str], first: Config, search_path: Sequence[str]) -> dict[str, Any]:
    """Everything that a plan is made of. A plan that is kept is valid as long as nothing of this changes.

    Args:
        overrides: the overrides that were asked for.
        first: the configuration of the first point.
        search_path: other folders in which Hydra looks for configuration files.
    """
    conf = {str(path.relative_to(conf_dir())): path.read_text() for path in sorted(conf_dir().rglob("*.yaml"))}
    words = {*re.findall(r"\w+", " ".join([*overrides, *conf.values()]))}
    code = {str(path.relative_to(PACKAGE)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    return {
        "format": PLAN_FORMAT,
        "versions": [sys.version, *map(version, ("hydra-core", "omegaconf"))],
        "overrides": list(overrides),
        "conf": conf,
        "search path": [*search_path, time.time_ns()] if search_path else [],  # what is there is not known
        "environment": {name: value for name, value in os.environ.items() if name in words},
        "data": [first.data.name, first.data.note],  # data=auto depends on the files on this disk
        "numerics": resolve_mode("auto"),  # it depends on this CPU
        "gpu": may_have_gpu(),  # backend.device=auto depends on it
        "code": code,
        "imports": {name: user_modules.sources(name) for name in first.imports},
    }


def plan_sweep(overrides: Sequence[str]) -> Plan:
    """The plan of overrides, which may be sweeps, or add an experiment.

    Raises:
        NervaError: if a key or an option is unknown, or a value has the wrong type or is out of range.
    """
    check_overrides(overrides)
    with initialized():
        composer = Composer()
        expanded = _expanded(_compose_master(overrides), overrides)
        return _plan([_point(composer, point) for point in expanded], overrides)


def plan_shared(experiment: str, overrides: Sequence[str], settle: bool) -> Plan:
    """The plan of what the points of an experiment share: one point, without the sweep.

    Args:
        experiment: a file of `conf/experiment/`, without its suffix.
        overrides: Hydra's overrides, none of which is a sweep.
        settle: as for `plan_command`.

    Raises:
        NervaError: as `plan_command`.
    """
    without_sweep = ["hydra.mode=RUN", "hydra.sweeper.params=null"]
    return plan_command([f"+experiment={experiment}", *overrides, *without_sweep], multirun=False, settle=settle)


def plan_command(overrides: Sequence[str], multirun: bool | None, settle: bool = True) -> Plan:
    """The plan of a call of `nerva train`: that of a sweep if the call is a multirun, and otherwise of one run.

    Args:
        overrides: Hydra's overrides.
        multirun: whether the call has `--multirun`; None if it does not say, so that overrides which are sweeps mean
            it. The configuration may ask for it, too.
        settle: whether the choice for `data=auto` is made and recorded, which may download data. Otherwise it is
            predicted from the files on this disk.

    Raises:
        NervaError: as `plan_sweep`.
    """
    check_overrides(overrides)
    with initialized():
        master = _compose_master(overrides)
        composer = Composer(settle)
        swept = [o.input_line for o in _parser().parse_overrides(list(overrides)) if o.is_sweep_override()]
        if multirun is None:
            multirun = bool(swept)
        job_logging = None
        if not any("hydra" in override for override in overrides) and not _extended(master.hydra):
            job_logging = _job_logging(master.hydra)
        if multirun or master.hydra.mode == RunMode.MULTIRUN:
            plan = _plan([_point(composer, point) for point in _expanded(master, overrides)], overrides)
            return dataclasses.replace(plan, job_logging=job_logging)
        if swept:
            raise NervaError(f"{' '.join(map(str, swept))} is a sweep; add --multirun (-m)")
        with open_dict(master):
            del master["hydra"]
        point = _point(composer, overrides, master)
        return Plan([point], point.config.sweep, modified=False, job_logging=job_logging)


def _extended(hydra_config: DictConfig) -> bool:
    """Whether Hydra's own configuration asks for more than its basic launcher, which runs one job after another."""
    job = hydra_config.job
    basic = "hydra._internal.core_plugins.basic_"
    plugins = (hydra_config.sweeper._target_, hydra_config.launcher._target_)
    extras = (hydra_config.callbacks, hydra_config.verbose, hydra_config.output_subdir, job.chdir, job.env_set)
    return any(extras) or not all(plugin.startswith(basic) for plugin in plugins)


def _job_logging(hydra_config: DictConfig) -> dict[str, Any] | None:
    """How Hydra would configure the logging of a job; None if only Hydra can tell, or if it would not."""
    try:
        job_logging = OmegaConf.to_container(hydra_config.job_logging, resolve=True)
    except OmegaConfBaseException:
        return None  # for example, a log file in the folder that Hydra makes for a job
    return cast(dict[str, Any], job_logging) if hydra_config.job_logging.get("root") else None


def _plan(points: list[Point], overrides: Sequence[str]) -> Plan:
    # One run may be asked for by several experiments, or for several folders or stores.
    by_place = {(p.run_id, p.config.title, p.config.results_dir, p.config.tracking.uri): p for p in points}
    unique = list(by_place.values())
    config = unique[0].config
    # The name of another experiment would put the results into its folder.
    names = {f"experiment_name={name}" for name in options("experiment")}
    changes = [o for o in overrides if not _NEUTRAL.match(o) or o.lstrip("+") in names]
    sweep_id = digest([config.title, sorted({point.run_id for point in unique})])[:8]
    name = private(" ".join([config.experiment_name, *changes]))[:250]
    sweep = Sweep(sweep_id, name)
    for point in unique:
        if not point.config.sweep.id:
            point.config.sweep = sweep
    return Plan(unique, sweep, modified=bool(changes))


_MOST_POINTS = 100_000

# Overrides that do not change an experiment.
_NEUTRAL = re.compile(
    r"\+*((experiment|data|data\.mirrors|results_dir|experiment_name|question|force)=|(tracking|sweep)[=./]"
    r"|hydra[./](?!sweeper))"
)


def _compose_master(overrides: Sequence[str]) -> DictConfig:
    """The configuration with Hydra's own part. Overrides that are sweeps can't be composed, and are left out."""
    single = [o.input_line for o in _parser().parse_overrides(list(overrides)) if not o.is_sweep_override()]
    return hydra.compose("config", [line for line in single if line], return_hydra_config=True)


def _parser() -> OverridesParser:
    return OverridesParser.create(GlobalHydra.instance().config_loader())


def _expanded(master: DictConfig, overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each point, as Hydra's basic sweeper makes them of a configuration and of overrides.

    Raises:
        NervaError: if there are no points, or too many.
    """
    params = [f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()]
    parsed = _parser().parse_overrides([*params, *overrides])
    _check_size(parsed)
    if not (expanded := BasicSweeper.split_arguments(parsed, None)[0]):
        raise NervaError(f"the sweep has no points: {' '.join(overrides)}")
    return [list(point) for point in expanded]


def _check_size(overrides: Sequence[Override]) -> None:
    """Raise a NervaError if overrides give too many points: Hydra would keep all of them in memory."""
    # The last override of a key counts.
    sweeps = {override.get_key_element(): override.value() for override in overrides}
    size = 1
    for key, sweep in sweeps.items():
        choices: Iterable[Any] = ()
        if isinstance(sweep, RangeSweep):
            choices = sweep.range()
        elif isinstance(sweep, ChoiceSweep):
            choices = sweep.list
        size *= max(1, sum(1 for _ in itertools.islice(choices, _MOST_POINTS + 1)))
        if size > _MOST_POINTS:
            raise NervaError(f"with {key}, the sweep has more than {_MOST_POINTS:,} points, which is the most")


def _point(composer: Composer, overrides: Sequence[str], composed: DictConfig | None = None) -> Point:
    config, settled = composer.configuration(overrides, composed)
    return Point(config, identify(config), tuple(settled), tuple(overrides))
