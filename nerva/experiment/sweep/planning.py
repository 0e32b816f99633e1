"""Planning of sweeps: their points, expanded as Hydra's multirun expands them."""

import dataclasses
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
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nerva.backends import may_have_gpu
from nerva.data.description import Dataset
from nerva.errors import NervaError
from nerva.experiment.config.composition import Composer, initialized
from nerva.experiment.config.hydra_errors import did_you_mean
from nerva.experiment.config.numerics import resolve_mode
from nerva.experiment.config.objective import Objective, objective_of
from nerva.experiment.config.overrides import check_overrides
from nerva.experiment.config.schema import Config, Sweep
from nerva.experiment.identity import user_modules
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import identify
from nerva.experiment.paths import PACKAGE, conf_dir, options
from nerva.experiment.records.privacy import private
from nerva.experiment.report.text import plural
from nerva.experiment.sweep.expansion import condition, differences_from_grid, expand, parse
from nerva.experiment.sweep.plan import PLAN_FORMAT, Plan, Point, read_plan, write_plan

log = logging.getLogger("nerva")


class SweeperError(NervaError):
    """Another sweeper than Hydra's basic one chooses the points while runs train, so that there is no plan of them."""

    def __init__(self, sweeper: str, sweep: Sweep, config: Config, parallel: bool) -> None:
        """
        Args:
            sweeper: the sweeper.
            sweep: what the points belong to. The same overrides give the same sweep.
            config: the configuration, as far as it is not swept.
            parallel: whether a launcher trains runs in other processes.
        """
        super().__init__(
            f"hydra/sweeper={sweeper} chooses points while runs train, so that they are not known before; only "
            "`nerva train -m` can do that"
        )
        self.sweep = sweep
        self.config = config
        self.parallel = parallel


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
        _check_sweeper(composer, master, overrides)
        expanded = expand(master, overrides)
        first, _ = composer.configuration(expanded[0])
        # The data of a sweep may be swept, too.
        choices = {tuple(o for o in point if o.lstrip("+").startswith("data")): point for point in expanded}
        data = [composer.configuration(point)[0].data for point in choices.values()]
        inputs = digest(_inputs(overrides, first, data, [*master.hydra.searchpath]))
        path = Path(first.results_dir) / "sweeps" / f"{first.title}-{inputs[:12]}.plan"
        if path.exists():
            try:
                return read_plan(path), path, True
            except NervaError as error:
                log.warning("nerva: %s. The sweep is planned again.", error)
        plan = _plan(_points(composer, master, expanded), overrides, differences_from_grid(master))
    for what in ("title", "results_dir", "tracking.uri", "tracking.enabled"):
        values = {str(operator.attrgetter(what)(point.config)) for point in plan.points}
        if len(values) > 1:
            raise NervaError(f"the runs of an experiment should have one {what}, not {' and '.join(sorted(values))}")
    return plan, path, False


def _inputs(
    overrides: Sequence[str], first: Config, data: Iterable[Dataset], search_path: Sequence[str]
) -> dict[str, Any]:
    """Everything that a plan is made of. A plan that is kept is valid as long as nothing of this changes.

    Args:
        overrides: the overrides that were asked for.
        first: the configuration of the first point.
        data: the datasets of the points.
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
        # data=auto depends on the files on this disk, and so do the contents of users' files.
        "data": [[dataset.name, dataset.note, dataset.checksum] for dataset in data],
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
        master, composer = _compose_master(overrides), Composer()
        _check_sweeper(composer, master, overrides)
        return _plan(_points(composer, master, expand(master, overrides)), overrides, differences_from_grid(master))


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
        SweeperError: if a sweeper of Hydra chooses the points.
        NervaError: as `plan_sweep`.
    """
    check_overrides(overrides)
    with initialized():
        master = _compose_master(overrides)
        composer = Composer(settle)
        swept = [str(o.input_line) for o in parse(overrides) if o.is_sweep_override()] + [
            *differences_from_grid(master)
        ]
        if multirun is None:
            multirun = bool(swept)
        job_logging = None
        if not any("hydra" in override for override in overrides) and not _extended(master.hydra):
            job_logging = _job_logging(master.hydra)
        if multirun or master.hydra.mode == RunMode.MULTIRUN:
            _check_sweeper(composer, master, overrides)
            points = _points(composer, master, expand(master, overrides))
            plan = _plan(points, overrides, differences_from_grid(master))
            return dataclasses.replace(plan, job_logging=job_logging)
        if swept:
            raise NervaError(f"{' '.join(swept)} is a sweep; add --multirun (-m)")
        with open_dict(master):
            del master["hydra"]
        config, settled = composer.configuration(overrides, master)
        point = Point(config, identify(config), tuple(settled), tuple(overrides))
        return Plan([point], point.config.sweep, modified=False, job_logging=job_logging)


_BASIC = "hydra._internal.core_plugins.basic_"

# Where the sweepers for Optuna, Nevergrad and Ax have the direction, and which of its values maximizes.
_DIRECTIONS: dict[str, dict[Any, bool]] = {
    "direction": {"maximize": True, "minimize": False},
    "optim.maximize": {True: True, False: False},
    "ax_config.experiment.minimize": {False: True, True: False},
}


def _check_sweeper(composer: Composer, master: DictConfig, overrides: Sequence[str]) -> None:
    """Raise a SweeperError if another sweeper than Hydra's basic one chooses the points."""
    settings = master.hydra
    if settings.sweeper._target_.startswith(_BASIC):
        return
    with open_dict(master):
        del master["hydra"]
    single = [str(o.input_line) for o in parse(overrides) if not o.is_sweep_override()]
    config, _ = composer.configuration(single, master)
    changes = _changes(overrides)
    container = OmegaConf.to_container(settings.sweeper, enum_to_str=True)
    sweep_id = digest([config.title, sorted(changes), container])[:8]
    sweep = Sweep(sweep_id, _name(config, changes))
    _check_direction(settings.sweeper, objective_of(config))
    parallel = not settings.launcher._target_.startswith(_BASIC)
    raise SweeperError(settings.runtime.choices["hydra/sweeper"], sweep, config, parallel)


def _check_direction(sweeper: DictConfig, objective: Objective) -> None:
    """Raise a NervaError if a sweeper would look for the worst point, as some do by default."""
    for key, maximizes in _DIRECTIONS.items():
        found = OmegaConf.select(sweeper, key)
        value = getattr(found, "name", found)  # one sweeper has an enumeration
        if isinstance(value, str | bool) and maximizes.get(value, objective.maximize) != objective.maximize:
            (right,) = (v for v, maximize in maximizes.items() if maximize == objective.maximize)
            raise NervaError(
                f"of the objective {objective.name}, {'more' if objective.maximize else 'less'} is better, but "
                f"hydra.sweeper.{key} is {str(value).lower()}; add hydra.sweeper.{key}={str(right).lower()}, or set "
                "direction"
            )


def _extended(hydra_config: DictConfig) -> bool:
    """Whether Hydra's own configuration asks for more than its basic launcher, which runs one job after another."""
    job = hydra_config.job
    extras = (hydra_config.callbacks, hydra_config.verbose, hydra_config.output_subdir, job.chdir, job.env_set)
    return any(extras) or not hydra_config.launcher._target_.startswith(_BASIC)


def _job_logging(hydra_config: DictConfig) -> dict[str, Any] | None:
    """How Hydra would configure the logging of a job; None if only Hydra can tell, or if it would not."""
    try:
        job_logging = OmegaConf.to_container(hydra_config.job_logging, resolve=True)
    except OmegaConfBaseException:
        return None  # for example, a log file in the folder that Hydra makes for a job
    return cast(dict[str, Any], job_logging) if hydra_config.job_logging.get("root") else None


def _plan(points: list[Point], overrides: Sequence[str], rules: tuple[str, ...]) -> Plan:
    # One run may be asked for by several experiments, or for several folders or stores.
    by_place = {(p.run_id, p.config.title, p.config.results_dir, p.config.tracking.uri): p for p in points}
    unique = list(by_place.values())
    config = unique[0].config
    changes = _changes(overrides)
    sweep_id = digest([config.title, sorted({point.run_id for point in unique})])[:8]
    sweep = Sweep(sweep_id, _name(config, changes))
    for point in unique:
        if not point.config.sweep.id:
            point.config.sweep = sweep
    return Plan(unique, sweep, bool(changes), rules)


# Overrides that do not change an experiment.
_NEUTRAL = re.compile(
    r"\+*((experiment|data|data\.mirrors|results_dir|experiment_name|question|force|sweep\.(id|name))=|tracking[=./]"
    r"|hydra[./](?!sweeper))"
)


def _changes(overrides: Sequence[str]) -> list[str]:
    """The overrides that change an experiment."""
    # The name of another experiment would put the results into its folder.
    names = {f"experiment_name={name}" for name in options("experiment")}
    return [o for o in overrides if not _NEUTRAL.match(o) or o.lstrip("+") in names]


def _name(config: Config, changes: Sequence[str]) -> str:
    """The name of a sweep, for people."""
    return private(" ".join([config.experiment_name, *changes]))[:250]


def _compose_master(overrides: Sequence[str]) -> DictConfig:
    """The configuration with Hydra's own part. Overrides that are sweeps can't be composed, and are left out."""
    single = [o.input_line for o in parse(overrides) if not o.is_sweep_override()]
    return hydra.compose("config", [line for line in single if line], return_hydra_config=True)


def _points(composer: Composer, master: DictConfig, expanded: Sequence[Sequence[str]]) -> list[Point]:
    """The points of a sweep that satisfy `sweep.where`."""
    satisfied = condition(master)
    points = []
    for overrides in expanded:
        config, settled = composer.configuration(overrides)
        if satisfied(config):
            points.append(Point(config, identify(config), tuple(settled), tuple(overrides)))
    if not points:
        raise NervaError(f"sweep.where keeps none of {plural(len(expanded), 'point')}: {master.sweep.where}")
    return points
