"""The plan of a sweep: its points with their configurations and their run ids.

The pipeline writes the plan of its sweep to a file, `results/sweeps/*.plan`. Its jobs read that file, or a plan with
only the points of their batch. The first line of a file describes the plan, and each of the other lines is a point.
Passwords in addresses are not written.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerva.data.json_files import parse_json
from nerva.errors import NervaError
from nerva.experiment.config.schema import Config, Sweep
from nerva.experiment.identity.canonical import Canonical
from nerva.experiment.identity.identify import Identity
from nerva.experiment.records.privacy import without_credentials
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import record_sweep
from nerva.whole_files import open_regular, whole_or_absent

PLAN_FORMAT = 2


@dataclass(frozen=True)
class Point:
    """A point of a sweep: its configuration, its identity, and the overrides that give the configuration."""

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
    """An expanded sweep. Its points are in the order of Hydra's multirun.

    A run occurs once for each experiment and results folder that ask for it.
    """

    points: list[Point]
    sweep: Sweep  # it is identified by its runs, and named by its experiment and overrides
    modified: bool  # whether overrides change what the experiment trains, other than its dataset
    rules: tuple[str, ...] = ()  # how the sweep differs from a grid, in words
    # If the runs need nothing of Hydra but their configurations: how Hydra would configure logging.
    job_logging: dict[str, Any] | None = field(default=None, compare=False, repr=False)

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


@dataclass(frozen=True)
class _Header:
    """The first line of a plan's file."""

    format: int
    sweep: Sweep
    modified: bool
    rules: tuple[str, ...]
    codes: dict[str, dict[str, str]]  # the hashes of functions that compute runs, by the hash of all of them
    sha256: str  # of the other lines


@dataclass(frozen=True)
class _PointLine:
    """The line of a point."""

    run_id: str
    configuration_id: str
    overrides: tuple[str, ...]
    asked: tuple[str, ...]
    code: str
    determined_by: Canonical
    config: Config


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan to a file, whole or not at all."""
    lines = []
    for point in plan.points:
        identity = point.identity
        line = _PointLine(
            identity.run_id,
            identity.configuration_id,
            point.overrides,
            point.asked,
            identity.code_fingerprint,
            identity.determined_by,
            point.config,
        )
        lines.append(without_credentials(json.dumps(dataclasses.asdict(line))).encode() + b"\n")
    codes = {point.identity.code_fingerprint: point.identity.code for point in plan.points}
    sha256 = hashlib.sha256(b"".join(lines)).hexdigest()
    header = _Header(PLAN_FORMAT, plan.sweep, plan.modified, plan.rules, codes, sha256)
    with whole_or_absent(path) as temporary, temporary.open("wb") as file:
        file.write(json.dumps(dataclasses.asdict(header)).encode() + b"\n")
        file.writelines(lines)


def read_plan(path: Path, all_points: bool = True) -> Plan:
    """Read a plan from its file.

    Args:
        path: the file.
        all_points: whether all points are read, or only the first one.

    Raises:
        NervaError: if the file can't be read, is not a plan of this version, or was changed after it was written.
    """
    try:
        with open_regular(path) as file:
            first, *lines = file.readlines() or [b"{}"]
        header = parse_json(first, _Header)
        if header.format != PLAN_FORMAT:
            raise ValueError(f"its format is {header.format}, and this version of nerva reads format {PLAN_FORMAT}")
        if hashlib.sha256(b"".join(lines)).hexdigest() != header.sha256:
            raise ValueError("it was changed after nerva wrote it")
        if not lines:
            raise ValueError("it has no points")
        points = [_point(parse_json(line, _PointLine), header) for line in (lines if all_points else lines[:1])]
    except OSError as error:
        raise NervaError(f"the plan {path} can't be read: {error.strerror}") from None
    except (ValueError, KeyError) as error:
        raise NervaError(f"{path} is not a valid plan: {error}") from None
    return Plan(points, header.sweep, header.modified, header.rules)


def _point(line: _PointLine, header: _Header) -> Point:
    identity = Identity(line.run_id, line.configuration_id, line.determined_by, header.codes[line.code])
    line.config.tracking.uri = with_credentials(line.config.tracking.uri)
    return Point(line.config, identity, line.overrides, line.asked)


def with_credentials(uri: str) -> str:
    """The address of a store with its password, which the plan does not have, but the environment may have."""
    complete = os.environ.get("MLFLOW_TRACKING_URI", "")
    return complete if without_credentials(complete) == uri else uri
