"""What the id of a run is made of, as text."""

import pytest

from nerva.errors import NervaError
from nerva.experiment.sweep.explanation import explain_point, explain_record, recorded_run
from nerva.experiment.sweep.planning import plan_sweep
from tests.helpers import DIGITS


def test_the_explanation_of_a_point_lists_its_configuration_and_its_code() -> None:
    (point,) = plan_sweep(DIGITS).points
    lines = explain_point(point)
    assert "    optimizer: Momentum(mu=0.9)" in lines
    assert "    train.epochs: 2" in lines
    name = "nerva/optimizers.py: MomentumOptimizer.update"
    assert f"    {point.identity.code[name]}  {name}" in lines
    assert not any("Adam" in line for line in lines)
    assert f"  code, {point.identity.code_fingerprint[:12]}, of {len(point.identity.code)} parts:" in lines


def test_the_explanation_of_a_run_is_that_of_its_point(recorded) -> None:
    (point,) = plan_sweep([*DIGITS, "model.hidden=[8]"]).points
    assert point.run_id == recorded.run_id
    assert explain_record(recorded) == [recorded.run_id, *explain_point(point)]


def test_the_first_argument_may_be_the_id_of_a_run(recorded, tmp_path) -> None:
    folder = recorded_run([recorded.run_id])
    assert folder is not None
    assert folder.path == recorded.path
    assert recorded_run([]) is None
    assert recorded_run(["seed=1"]) is None
    with pytest.raises(NervaError, match=f"there is no run {recorded.run_id} in {tmp_path}/elsewhere/runs"):
        recorded_run([recorded.run_id, f"results_dir={tmp_path}/elsewhere"])


def test_a_damaged_record_is_reported(recorded) -> None:
    recorded.code.write_text("[]")
    with pytest.raises(NervaError, match=r"code\.json is damaged"):
        explain_record(recorded)
