"""What the id of a run is made of."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nerva.errors import NervaError
from nerva.experiment.config.composition import compose
from nerva.experiment.identity.canonical import flat
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.text import printable_line
from nerva.experiment.sweep.plan import Point


def recorded_run(arguments: Sequence[str]) -> RunFolder | None:
    """The folder of the run that the first argument identifies; None if it is an override.

    Raises:
        NervaError: if there is no such run.
    """
    if not arguments or not re.fullmatch("[0-9a-f]{12}", arguments[0]):
        return None
    folder = RunFolder.of(compose(["data=digits", *arguments[1:]]).results_dir, arguments[0])
    if not folder.path.is_dir():
        raise NervaError(f"there is no run {folder.run_id} in {folder.path.parent}")
    return folder


def explain_point(point: Point) -> list[str]:
    """What the id of a point is made of, one part per line."""
    return _explain(point.identity.determined_by, point.identity.code, point.identity.code_fingerprint)


def explain_record(folder: RunFolder) -> list[str]:
    """What the id of an existing run is made of, one part per line."""
    origin = folder.read_provenance()
    return [folder.run_id, *_explain(origin.determined_by, folder.read_code(), origin.code.fingerprint)]


def _explain(determined_by: Mapping[str, Any], code: Mapping[str, str], fingerprint: str) -> list[str]:
    lines = [
        "  configuration and data:",
        *(f"    {key}: {value}" for key, value in flat(determined_by).items()),
        f"  code, {fingerprint[:12]}, of {len(code)} parts:",
        *(f"    {sha256}  {part}" for part, sha256 in code.items()),
    ]
    return [printable_line(line) for line in lines]
