"""The runs of a comparison: of a plan, and of a recorded sweep."""

import dataclasses

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.sweep_record import record_sweep
from nerva.experiment.sweep.plan import Plan
from nerva.experiment.sweep.planning import plan_experiment
from nerva.experiment.sweep.recorded import compared_runs
from tests.helpers import trained

QUICK = ["data=digits", "train.epochs=1", "optimizer=momentum", "learning_rate.lr=0.1", "tracking=off"]


@pytest.fixture
def plan(results) -> Plan:
    return plan_experiment("quick", QUICK)


def test_a_plan_has_to_be_trained(plan: Plan) -> None:
    with pytest.raises(NervaError, match=r"^2 of 2 runs of digits-quick are not trained yet; try: nerva train$"):
        compared_runs(plan, None, "nerva train")
    for point in plan.points:
        trained(point.config)
    runs = compared_runs(plan, None, "nerva train")
    assert (runs.folders[0].path, runs.results) == (plan.folders[0].path, plan.results)


def test_a_recorded_sweep_of_other_code(plan: Plan, results) -> None:
    """Its runs have ids that the present code does not give."""
    record_sweep(results, "digits-quick", Sweep("0123abcd", "quick"), "", ["0" * 12, "1" * 12])
    with pytest.raises(NervaError, match=r"2 runs of a sweep with other code .* add --sweep 0123abcd \(quick\)"):
        compared_runs(plan, None, "nerva train")
    runs = compared_runs(plan, "0123abcd", "nerva train")
    assert [folder.run_id for folder in runs.folders] == ["0" * 12, "1" * 12]
    assert runs.results == results / "digits-quick-0123abcd"
    with pytest.raises(NervaError, match="there is no sweep nosuch of digits-quick; recorded are: 0123abcd"):
        compared_runs(plan, "nosuch", "nerva train")


def test_the_sweep_of_another_experiment_is_not_offered(plan: Plan, results) -> None:
    record_sweep(results, "digits-other", Sweep("0123abcd", "other"), "", ["0" * 12])
    with pytest.raises(NervaError, match=r"try: nerva train$"):
        compared_runs(dataclasses.replace(plan), None, "nerva train")
