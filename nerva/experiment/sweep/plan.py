"""The plan of a sweep: its points, expanded as Hydra's multirun expands them."""

import itertools
import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from nerva.errors import NervaError
from nerva.experiment.config.composition import Composer, initialized
from nerva.experiment.config.hydra_errors import did_you_mean
from nerva.experiment.config.overrides import check_overrides
from nerva.experiment.config.schema import Config, Sweep
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.identity.identify import Identity, identify
from nerva.experiment.paths import options
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import record_sweep


@dataclass(frozen=True)
class Point:
    """A point of a sweep: a run, and the overrides that give its configuration."""

    config: Config
    identity: Identity
    overrides: tuple[str, ...]
    asked: tuple[str, ...]  # the same, before `data=auto` was replaced by the dataset that it means

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.identity.run_id

    @property
    def folder(self) -> RunFolder:
        """The folder of the run."""
        return RunFolder.of(self.config.results_dir, self.run_id)


@dataclass(frozen=True)
class Plan:
    """A sweep: its points, each run once, in the order in which Hydra's multirun launches them."""

    points: list[Point]
    sweep: Sweep  # it is identified by its runs, and named by its experiment and overrides
    modified: bool  # whether overrides change the experiment, other than its dataset

    @property
    def config(self) -> Config:
        """The configuration of the first point. All points of an experiment share what is not swept."""
        return self.points[0].config

    @property
    def folders(self) -> list[RunFolder]:
        """The folders of the runs."""
        return [point.folder for point in self.points]

    @property
    def results(self) -> Path:
        """The folder for the comparison of the runs. A modified experiment has one of its own."""
        config = self.config
        name = f"{config.title}-{self.sweep.id}" if self.modified else config.title
        return Path(config.results_dir) / name

    def record(self) -> None:
        """Record which runs belong to the sweep. A sweep over datasets has one record per dataset."""
        runs: dict[tuple[str, str, str], list[str]] = {}
        for point in self.points:
            config = point.config
            runs.setdefault((config.results_dir, config.title, config.question), []).append(point.run_id)
        for (results_dir, title, question), run_ids in runs.items():
            record_sweep(results_dir, title, self.sweep, question, run_ids)


def plan_experiment(experiment: str, overrides: Sequence[str] = (), settle: bool = False) -> Plan:
    """The plan of an experiment.

    Args:
        experiment: a file of `conf/experiment/`, without its suffix.
        overrides: Hydra's overrides for every point. They may be sweeps themselves.
        settle: whether `data=auto` is settled; see `compose`.

    Raises:
        NervaError: if the experiment, a key or an option is unknown, a value has the wrong type or is out of range, or
            the points have several datasets, results folders or MLflow stores.
    """
    known = options("experiment")
    if experiment not in known:
        raise NervaError(f'there is no experiment "{experiment}" in conf/experiment{did_you_mean(experiment, known)}')
    plan = plan_sweep([f"+experiment={experiment}", *overrides], settle)
    for what in ("title", "results_dir", "tracking.uri", "tracking.enabled"):
        values = {str(operator.attrgetter(what)(point.config)) for point in plan.points}
        if len(values) > 1:
            raise NervaError(f"the runs of an experiment should have one {what}, not {' and '.join(sorted(values))}")
    return plan


def plan_sweep(overrides: Sequence[str], settle: bool = False) -> Plan:
    """The plan of overrides, which may be sweeps, or add an experiment.

    Raises:
        NervaError: if a key or an option is unknown, or a value has the wrong type or is out of range.
    """
    check_overrides(overrides)
    with initialized():
        return _plan(_points(_compose_master(overrides), overrides, settle), overrides)


def plan_command(overrides: Sequence[str], multirun: bool) -> Plan:
    """The plan of a call of `nerva train`: that of a sweep if the call is a multirun, and otherwise of one run.

    `data=auto` is settled.

    Args:
        overrides: Hydra's overrides.
        multirun: whether the call has `--multirun`. The configuration may ask for it, too.

    Raises:
        NervaError: as `plan_sweep`.
    """
    check_overrides(overrides)
    with initialized():
        master = _compose_master(overrides)
        if multirun or master.hydra.mode == RunMode.MULTIRUN:
            return _plan(_points(master, overrides, settle=True), overrides)
        if swept := [o.input_line for o in _parser().parse_overrides(list(overrides)) if o.is_sweep_override()]:
            raise NervaError(f"{' '.join(map(str, swept))} is a sweep; add --multirun (-m)")
        with open_dict(master):
            del master["hydra"]
        point = _point(Composer(settle=True), overrides, master)
        return Plan([point], point.config.sweep, modified=False)


def _plan(points: list[Point], overrides: Sequence[str]) -> Plan:
    # One run may be asked for as that of several experiments, or in several folders.
    unique = list({(point.run_id, point.config.title, point.config.results_dir): point for point in points}.values())
    if not unique:
        raise NervaError(f"the sweep has no points: {' '.join(overrides)}")
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


def _points(master: DictConfig, overrides: Sequence[str], settle: bool) -> list[Point]:
    """The points that Hydra's basic sweeper makes of the sweep in a configuration and of overrides."""
    params = [f"{key}={value}" for key, value in (master.hydra.sweeper.params or {}).items()]
    parsed = _parser().parse_overrides([*params, *overrides])
    _check_size(parsed)
    composer = Composer(settle)
    return [_point(composer, point) for point in BasicSweeper.split_arguments(parsed, None)[0]]


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
