"""Fixtures of the tests of reports: a trained sweep, which tests only read, and copies of it, which they may change."""

import shutil
from pathlib import Path

import pytest

from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.ranking import Comparison, load
from tests.helpers import configured, trained


@pytest.fixture(scope="session")
def sweep_results(tmp_path_factory) -> Path:
    """The results of a sweep of 7 runs of 3 configurations, one of which fails."""
    return tmp_path_factory.mktemp("sweep") / "results"


@pytest.fixture(scope="session")
def sweep(sweep_results) -> list[RunFolder]:
    """The runs of the sweep. They may not be changed."""
    points = [f"learning_rate.lr={lr} seed={seed}" for lr in (0.1, 0.0001) for seed in (1, 2, 3)]
    return [
        trained(configured(f"results_dir={sweep_results}", *point.split()), point.split())
        for point in (*points, "learning_rate.lr=1e30 seed=1")
    ]


@pytest.fixture(scope="session")
def comparison(sweep) -> Comparison:
    """The comparison of the sweep."""
    return load(sweep, "digits-test")


@pytest.fixture
def copied_sweep(sweep, sweep_results, tmp_path) -> list[RunFolder]:
    """A copy of the sweep, which a test may change."""
    shutil.copytree(sweep_results, tmp_path / "copy")
    return [RunFolder.of(tmp_path / "copy", folder.run_id) for folder in sweep]


@pytest.fixture
def copied_run(sweep, tmp_path) -> RunFolder:
    """A copy of a run of the sweep, which a test may change."""
    copy = RunFolder.of(tmp_path / "copy", sweep[0].run_id)
    shutil.copytree(sweep[0].path, copy.path)
    return copy
