"""Records of version 0.1.0, in `tests/data_old`: they are read, compared and replayed, and never changed.

That version had other ids, hashed the code in another way, and kept whole objects in its checkpoints.
"""

import logging
import shutil
from pathlib import Path

import pytest

from nerva.experiment.config import numerics
from nerva.experiment.identity.identify import CODE_SCHEME, identify
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import read_sweeps
from nerva.experiment.run.replay import replay
from nerva.experiment.run.run import run
from nerva.experiment.sweep.explanation import explain_record
from tests.helpers import ROOT, configured, trained

OLD = ROOT / "tests" / "data_old"
SMALL = ("model.hidden=[2]", "train.epochs=2", "numerics=portable")
SUPPORTED = pytest.mark.skipif(
    bool(numerics.obstacle()), reason=f"portable numerics are not supported: {numerics.obstacle()}"
)


@pytest.fixture
def old(results) -> RunFolder:
    """A copy of the old run among the results of the test."""
    shutil.copytree(OLD, results)
    (path,) = results.glob("runs/*")
    return RunFolder(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_old_records_are_read(old, results) -> None:
    assert old.is_complete()
    record, origin = old.read_record(), old.read_provenance()
    assert (record.run_id, record.status, record.last.epoch) == (old.run_id, "finished", 2)
    assert origin.code.scheme == 1 != CODE_SCHEME
    assert origin.determined_by["sizes"] == [64, 2, 10]
    assert [row["epoch"] for row in old.read_metrics()] == [0, 1, 2]
    assert old.read_config().model.hidden == [2]
    assert "nerva/layers.py: LinearLayer.feedforward" in old.read_code()
    (sweep,) = read_sweeps(results)
    assert (sweep.title, sweep.runs) == ("digits-single", [old.run_id])
    assert "    optimizer: Momentum(mu=0.9)" in explain_record(old)


@SUPPORTED
def test_the_replay_of_an_old_run_tells_how_to_get_its_bits(old, results) -> None:
    before = contents(old.path)
    verdict = replay(old, results)
    # That version added the numbers of a training step in another order. Only the last bits of weights differ.
    assert [line.partition(":")[0] for line in verdict.differences] in ([], ["weights.npz", "run.json"])
    assert verdict.compared == "7 metrics of 3 epochs, 320 weights"
    assert "code: an earlier version of nerva hashed it, in a way that can't be compared function by function" in (
        verdict.context
    )
    assert f"git checkout {old.read_provenance().code.git_commit}" in verdict.advice
    assert contents(old.path) == before


def test_an_old_run_whose_configuration_was_edited_differs(old, results) -> None:
    old.config.write_text(old.config.read_text().replace("seed: 1", "seed: 2"))
    assert "seed: the run was trained with 1, but config.yaml has 2" in replay(old, results).differences


def test_the_same_configuration_is_a_new_run_beside_the_old_one(old, results) -> None:
    before = contents(old.path)
    folder = trained(configured(*SMALL[:2]))
    assert folder.run_id != old.run_id
    assert contents(old.path) == before


def test_an_old_checkpoint_is_not_used(results, caplog) -> None:
    caplog.set_level(logging.INFO)
    config = configured(*SMALL[:2])
    identity = identify(config)
    folder = RunFolder.of(results, identity.run_id)
    folder.path.mkdir(parents=True)
    shutil.copy(OLD / "checkpoint.npz", folder.checkpoint)
    assert not run(config, identity).continued
    assert "this run was interrupted, but restarts from scratch, because its checkpoint can't be used: " in caplog.text
    assert not folder.checkpoint.exists()
