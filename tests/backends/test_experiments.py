"""Runs and sweeps whose backend is another library than NumPy."""

import ast
import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy

from nerva.backends import BACKENDS, may_have_gpu
from nerva.experiment.config.composition import compose
from nerva.experiment.identity.identify import identify
from tests.backends.test_libraries import LIBRARIES, skip_unless_installed
from tests.helpers import Command

SWEEP = ("backend=numpy,torch,jax,tensorflow", "data=digits", "seed=1")
backends = pytest.mark.backends
group = pytest.mark.xdist_group("backends")


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A folder with the results of a sweep over all libraries."""
    from tests.helpers import command_in

    for library in LIBRARIES:
        skip_unless_installed(library)
    folder = tmp_path_factory.mktemp("sweep")
    result = command_in(folder)("nerva", "train", "-m", *SWEEP)
    assert result.returncode == 0, result.stderr
    assert "4 of 4 runs done" in result.stdout + result.stderr
    return folder


def records(folder: Path) -> dict[str, tuple[str, dict, list[dict[str, str]]]]:
    """The id, the provenance and the metrics of each run, by its backend."""
    found = {}
    for path in sorted((folder / "results" / "runs").iterdir()):
        if (path / "run.json").exists():
            provenance = json.loads((path / "provenance.json").read_text())
            rows = list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))
            found[provenance["environment"]["backend"]] = (path.name, provenance, rows)
    return found


@backends
@group
def test_a_sweep_over_libraries(swept: Path) -> None:
    runs = records(swept)
    assert sorted(runs) == sorted(BACKENDS)
    for backend, (_, provenance, rows) in runs.items():
        expected = None if backend == "numpy" else {"name": backend, "device": "cpu"}
        assert provenance["determined_by"].get("backend") == expected
        assert provenance["determined_by"]["numerics"] == "native" or backend == "numpy"
        for package in BACKENDS[backend].packages:
            assert re.match(r"\d+\.\d+", provenance["environment"][package])
        for row, other in zip(rows, runs["numpy"][2], strict=True):
            for metric in ("train_loss", "validation_loss", "test_loss"):
                np.testing.assert_allclose(float(row[metric]), float(other[metric]), rtol=1e-4)


@backends
@group
def test_mlflow_and_the_report_name_the_libraries(swept: Path) -> None:
    from tests.helpers import command_in

    database = sqlalchemy.create_engine(f"sqlite:///{swept}/results/mlflow.db")
    with database.connect() as connection:
        query = "select value from {} where key = '{}'"
        parameters = [*connection.execute(sqlalchemy.text(query.format("params", "backend.name"))).scalars()]
        tags = [*connection.execute(sqlalchemy.text(query.format("tags", "nerva.environment.backend"))).scalars()]
    database.dispose()
    assert sorted(parameters) == sorted(tags) == sorted(BACKENDS)
    result = command_in(swept)("nerva", "compare", "single", *SWEEP)
    assert result.returncode == 0, result.stderr
    (folder,) = (swept / "results").glob("digits-single*")
    rows = list(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    configurations = {row["configuration"].partition(",")[0] for row in rows}
    assert configurations == {*BACKENDS}
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert all(backend in report for backend in BACKENDS)


@backends
@group
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_run_repeats_bit_for_bit(swept: Path, library: str) -> None:
    from tests.helpers import command_in

    run_id, *_ = records(swept)[library]
    result = command_in(swept)("nerva", "replay", run_id)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{run_id}  identical (" in result.stdout


@backends
@group
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_replay_with_another_version_says_why_it_may_differ(swept: Path, library: str) -> None:
    from tests.helpers import command_in

    run_id, *_ = records(swept)[library]
    path = swept / "results" / "runs" / run_id
    provenance = (path / "provenance.json").read_text()
    weights = (path / "weights.npz").read_bytes()
    package = BACKENDS[library].packages[0]
    try:
        changed = json.loads(provenance)
        changed["environment"][package] = "0.1"
        (path / "provenance.json").write_text(json.dumps(changed))
        (path / "weights.npz").write_bytes((path / "best.npz").read_bytes()[:-1])
        result = command_in(swept)("nerva", "replay", run_id)
    finally:
        (path / "provenance.json").write_text(provenance)
        (path / "weights.npz").write_bytes(weights)
    assert result.returncode == 1
    assert f"environment: {package} was 0.1, is " in result.stdout
    assert f"backend={library} repeats its bits on the same CPU with the same versions only" in result.stdout


@backends
@group
@pytest.mark.parametrize("library", LIBRARIES)
def test_the_process_of_a_run_has_the_variables_of_its_library(tmp_path: Path, run: Command, library: str) -> None:
    skip_unless_installed(library)
    (tmp_path / "mine.py").write_text(
        "import os, pathlib\n"
        f"if os.environ.get('NERVA_BACKEND') == {library!r}:  # in the run's own process\n"
        "    pathlib.Path(os.environ['SEEN']).write_text(repr(dict(os.environ)))\n"
    )
    arguments = ("data=digits", "tracking=off", "train.epochs=1", "imports=[mine]", f"backend={library}")
    result = run("nerva", "train", *arguments, SEEN=str(tmp_path / "seen"))
    assert result.returncode == 0, result.stderr
    seen = ast.literal_eval((tmp_path / "seen").read_text())
    assert seen.items() >= BACKENDS[library].environment.items()


@backends
@group
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_gpu_that_is_not_there(run: Command, library: str) -> None:
    skip_unless_installed(library)
    if may_have_gpu():
        pytest.skip("this machine may have a GPU")
    result = run("nerva", "train", "data=digits", "tracking=off", f"backend={library}", "backend.device=gpu")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"nerva: device=gpu: {BACKENDS[library].title}")
    assert line.endswith("finds no GPU on this machine")


@backends
@group
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_run_that_is_killed_resumes(tmp_path: Path, run: Command, library: str) -> None:
    skip_unless_installed(library)
    arguments = [
        *(f"backend={library}", "data=digits", "tracking=off", "train.epochs=60", "optimizer=momentum"),
        "model.layers=[SReLU,'BatchNormalization(momentum=0.1)','Dropout(0.3)',Linear]",
        "model.hidden=[32]",
    ]
    whole = run("nerva", "train", *arguments, "results_dir=whole")
    assert whole.returncode == 0, whole.stderr
    (expected,) = (tmp_path / "whole" / "runs").glob("*/weights.npz")
    checkpoint = tmp_path / "killed" / "runs" / expected.parent.name / "checkpoint.npz"
    command = [sys.executable, "-P", "-m", "nerva", "train", *arguments, "results_dir=killed"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not checkpoint.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = run("nerva", "train", *arguments, "results_dir=killed")
    assert again.returncode == 0, again.stderr
    record = json.loads((checkpoint.parent / "run.json").read_text())
    assert record["continued"] or "already exists" in again.stdout
    found = checkpoint.with_name("weights.npz")
    for name, array in dict(np.load(expected)).items():
        assert array.tobytes() == dict(np.load(found))[name].tobytes(), name


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["backend=jax", "numerics=portable"], "numerics=portable needs backend=numpy; backend=jax has"),
        (["backend.name=cuda"], 'the backend should be one of numpy, torch, jax, tensorflow, not "cuda"'),
        (["backend.device=tpu"], 'the device of a backend should be one of auto, cpu, gpu, not "tpu"'),
        (["backend.device=gpu"], "device=gpu: NumPy computes on the CPU only"),
        (["backend=theano"], "theano"),
    ],
)  # fmt: skip
def test_mistakes(run: Command, overrides: list[str], message: str) -> None:
    result = run("nerva", "train", "data=digits", "tracking=off", *overrides)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_not_installed(run: Command, library: str) -> None:
    import importlib.util

    if importlib.util.find_spec(BACKENDS[library].module):
        pytest.skip(f"{BACKENDS[library].title} is installed")
    result = run("nerva", "train", "data=digits", "tracking=off", f"backend={library}")
    assert result.returncode == 1
    assert result.stderr.strip().endswith(f'not installed; pip install "nerva[{library}]" installs it')


def identity(*overrides: str):
    return identify(compose(["data=digits", *overrides]))


def test_the_library_belongs_to_the_identity_of_a_run() -> None:
    plain, jax, gpu = identity(), identity("backend=jax"), identity("backend=jax", "backend.device=gpu")
    assert plain.run_id == identity("backend=numpy").run_id
    assert len({plain.run_id, jax.run_id, gpu.run_id}) == 3
    assert "backend" not in plain.determined_by
    assert jax.backend["name"] == "jax"
    # Of the operations, those of the library count, and no others.
    for this, backend in ((plain, "numpy"), (jax, "jax")):
        modules = {part.partition(":")[0] for part in this.code}
        assert f"nerva/matrix_operations/{backend}.py" in modules
        others = {f"nerva/matrix_operations/{other}.py" for other in BACKENDS} - {
            f"nerva/matrix_operations/{backend}.py",
            "nerva/matrix_operations/numpy.py",  # data are prepared by NumPy for all
        }
        assert not modules & others
