"""Launchers of Hydra, from packages of their own: the same runs and bits as in the pipeline."""

import json
from pathlib import Path

import pytest

from tests.helpers import QUICK, Command, client_of, failed_plainly, logged_in


def weights(folder: Path) -> dict[str, dict[str, str]]:
    """The checksums of the weights of each run."""
    return {
        path.parent.name: json.loads(path.read_text())["weights"] for path in folder.glob("results/runs/*/run.json")
    }


@QUICK
@pytest.mark.long
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_quick_by_a_launcher(quick, prepared, run: Command, launcher: str) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher")
    result = run("nerva", "train", "-m", "+experiment=quick", "data=digits", f"hydra/launcher={launcher}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "12 of 12 runs done" in result.stdout
    assert "nerva track" not in result.stderr
    assert len(weights(prepared)) == 12
    assert weights(prepared) == weights(quick[0])
    logged = logged_in(client_of(f"sqlite:///{prepared}/results/mlflow.db"), "digits-quick")
    assert {*logged} == {"sweep", *weights(prepared)}
    assert {run.info.status for run in logged.values()} == {"FINISHED"}


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_runs_that_fail_in_other_processes(run: Command, tmp_path, launcher: str) -> None:
    """One diverges, and one has numerics that only a process of its own can have."""
    command = ("nerva", "train", "-m", "data=digits", "tracking=off", "train.epochs=1", f"hydra/launcher={launcher}")
    result = run(*command, "learning_rate.lr=1e30,0.1", "numerics=native")
    failed_plainly(result, "1 of 2 runs diverged", "2 of 2 runs done, 1 failed", code=3)
    assert {json.loads(path.read_text())["determined_by"]["numerics"] for path in provenances(tmp_path)} == {"native"}
    # No other process may report its error by a traceback either.
    result = run(*command, "data=mnist", "data.mirrors=[http://127.0.0.1:9]", "seed=1,2")
    failed_plainly(result, "could not be trained: MNIST is not there", "2 of 2 runs could not be trained")


def provenances(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/runs/*/provenance.json"))
