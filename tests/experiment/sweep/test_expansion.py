"""Expansion: grids, values that go together, seeds and filters."""

import pytest

from nerva.errors import NervaError
from nerva.experiment.records.sweep_record import read_sweeps
from nerva.experiment.sweep.plan import read_plan
from nerva.experiment.sweep.planning import load_or_write_plan, plan_command, plan_experiment, plan_sweep
from nerva.experiment.sweep.python import compose
from tests.helpers import DIGITS

OPTIMIZERS = "optimizer=momentum,nesterov"
RATES = "learning_rate.lr=0.1,0.01"
ZIP = "sweep.zip=[[optimizer,learning_rate.lr]]"
GRIDS = "sweep.grids=[{optimizer:momentum,learning_rate.lr:'0.1,0.01'},{optimizer:nesterov,learning_rate.lr:0.03}]"


def points(*overrides: str) -> list[tuple[str, float, int]]:
    """The optimizer, the learning rate and the seed of each point."""
    configs = [point.config for point in plan_sweep([*DIGITS, *overrides]).points]
    return [(c.optimizer["name"], c.learning_rate["lr"], c.seed) for c in configs]


def test_values_that_go_together() -> None:
    assert points(OPTIMIZERS, RATES, ZIP) == [("Momentum", 0.1, 1), ("Nesterov", 0.01, 1)]
    # The others are combined with them, in the order in which the keys are given.
    expected = [("Momentum", 0.1, 1), ("Momentum", 0.1, 2), ("Nesterov", 0.01, 1), ("Nesterov", 0.01, 2)]
    assert points(OPTIMIZERS, "seed=1,2", RATES, ZIP) == expected
    assert points("seed=1,2", OPTIMIZERS, RATES, ZIP) == [expected[i] for i in (0, 2, 1, 3)]
    assert points(OPTIMIZERS, f"++{RATES}", ZIP) == [expected[0], expected[2]]
    assert points(OPTIMIZERS, "learning_rate.lr=range(0.1,0.3,0.1)", ZIP)[1] == ("Nesterov", 0.2, 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([OPTIMIZERS, "learning_rate.lr=1,2,3", ZIP], "but optimizer has 2 and learning_rate.lr has 3"),
        ([OPTIMIZERS, ZIP], r"sweep\.zip: learning_rate\.lr is not swept"),
        ([OPTIMIZERS, RATES, "sweep.zip=[[optimizer,learning_rate.lr],[optimizer]]"], "optimizer occurs twice"),
        ([OPTIMIZERS, RATES, "sweep.zip=[[optimizer,optimizer]]"], "optimizer occurs twice"),
        ([OPTIMIZERS, RATES, "sweep.zip=[optimizer,learning_rate.lr]"], r"sweep\.zip should be lists of keys"),
        ([OPTIMIZERS, RATES, "sweep.zip=[[optimizer,[1]]]"], r"sweep\.zip should be lists of keys"),
    ],
)
def test_values_that_can_not_go_together(overrides: list[str], message: str) -> None:
    with pytest.raises(NervaError, match=message):
        plan_sweep([*DIGITS, *overrides])


def test_a_filter_keeps_the_points_that_satisfy_it() -> None:
    where = "sweep.where=\"learning_rate.lr < 0.1 or optimizer.name == 'Momentum'\""
    assert points(OPTIMIZERS, RATES, where) == [("Momentum", 0.1, 1), ("Momentum", 0.01, 1), ("Nesterov", 0.01, 1)]
    assert points("seed=range(1,7)", "sweep.where='seed % 3 == 0 and data.name == \"digits\"'") == [
        ("Momentum", 0.01, seed) for seed in (3, 6)
    ]
    # A component has the keys of its file.
    where = "sweep.where='learning_rate.decay is not defined or learning_rate.decay > 0.5'"
    rates = [
        p.config.learning_rate for p in plan_sweep(["learning_rate=constant,time_based", "data=digits", where]).points
    ]
    assert [rate["name"] for rate in rates] == ["Constant"]


def test_a_point_that_is_left_out_may_be_wrong() -> None:
    assert len(points("train.epochs=0,1", "sweep.where='train.epochs > 0'")) == 1


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("learning_rate.lx < 1", 'there is no key "lx" in .learning_rate.lx < 1'),
        ("rate", 'there is no key "rate"'),
        ("range", 'there is no key "range"'),
        ("seed.__class__", 'there is no key "__class__"'),
        ("seed <", r"sweep\.where is not an expression: unexpected"),
        ("seed = 1", r"sweep\.where is not an expression"),
        ("not " * 2000 + "seed", r"sweep\.where (is nested too deeply|can't be)"),
        ("seed < optimizer", "not supported between instances of 'int' and 'dict'"),
        ("seed / 0", "division by zero"),
        ("seed > 9", r"sweep\.where keeps none of 2 points: seed > 9"),
        ("seed | nofilter", r"sweep\.where is not an expression: No filter named 'nofilter'"),
    ],
)
def test_a_filter_that_is_wrong(where: str, message: str) -> None:
    with pytest.raises(NervaError, match=message):
        plan_sweep([*DIGITS, "seed=1,2", f"sweep.where='{where}'"])


def test_several_seeds_of_each_point() -> None:
    assert points(RATES, "seeds=2") == [("Momentum", lr, seed) for lr in (0.1, 0.01) for seed in (1, 2)]
    assert [seed for *_, seed in points("seeds=3", "seed=7")] == [7, 8, 9]
    assert [seed for *_, seed in points("sweep.grids=[{seed:3},{seed:5}]", "seeds=2")] == [3, 4, 5, 6]
    # They are the same runs as those of a sweep over the seed.
    ids = [[p.run_id for p in plan_sweep([*DIGITS, o]).points] for o in ("seeds=5", "seed=range(1,6)")]
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=1,2", "seeds=2"], "seed=1,2 and seeds=2 both set seeds; leave one out"),
        (["+experiment=quick", "seeds=2"], "seed=1,2 and seeds=2 both set seeds; leave one out"),
        (["seeds=-1"], "seeds should be 0 or more, not -1"),
        (["seeds=1,2"], "seeds=1,2: seeds is for a whole sweep"),
        (["seeds=100001"], "with seed, the sweep has more points than the limit of 100,000"),
        (["sweep.grids=[{seed:x}]", "seeds=2"], 'seed should be a whole number, not "x"'),
    ],
)
def test_seeds_that_are_wrong(overrides: list[str], message: str) -> None:
    with pytest.raises(NervaError, match=message):
        plan_sweep([*DIGITS, *overrides])


def test_several_grids() -> None:
    expected = [("Momentum", 0.1, 1), ("Momentum", 0.01, 1), ("Nesterov", 0.03, 1)]
    assert points(GRIDS) == expected
    # Overrides are combined with each grid, and replace its values.
    assert points(GRIDS, "seed=1,2") == [(*point[:2], seed) for point in expected for seed in (1, 2)]
    assert points(GRIDS, "learning_rate.lr=1") == [("Momentum", 1, 1), ("Nesterov", 1, 1)]
    # A point of two grids is one run.
    assert points("sweep.grids=[{seed:'1,2'},{seed:'2,3'}]") == [("Momentum", 0.01, seed) for seed in (1, 2, 3)]


def test_grids_that_are_wrong() -> None:
    with pytest.raises(NervaError, match=r"sweep\.grids should be dictionaries"):
        plan_sweep([*DIGITS, "sweep.grids=[seed]"])
    with pytest.raises(NervaError, match="seeds=2: seeds is for a whole sweep"):
        plan_sweep([*DIGITS, "sweep.grids=[{seeds:2}]"])
    with pytest.raises(NervaError, match="more points than the limit of 100,000"):
        plan_sweep([*DIGITS, "sweep.grids=[{seed:'range(0,60000)'},{seed:'range(60000,120000)'}]"])
    with pytest.raises(NervaError, match='there is no "rate"'):
        plan_sweep([*DIGITS, "sweep.grids=[{rate:1}]"])
    with pytest.raises(NervaError, match=r"lr=interval\(0,1\): a sweep needs values"):
        plan_sweep([*DIGITS, "learning_rate.lr=interval(0,1)"])


def test_an_experiment_may_have_all_of_them(results, tmp_path) -> None:
    """The file of an experiment says it as overrides do, and overrides replace what it says."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nexperiment_name: mine\nseeds: 2\nsweep:\n  zip: [[optimizer, learning_rate.lr]]\n"
        "  where: optimizer.name != 'Momentum' or seed > 1\n"
        "  grids:\n    - {optimizer: 'momentum,nesterov', learning_rate.lr: '0.1,0.01'}\n"
        "    - {optimizer: 'gradient_descent,nesterov', learning_rate.lr: '1,2'}\n"
    )
    mine = ["+experiment=mine", f"hydra.searchpath=[file://{tmp_path}]"]
    assert points(*mine) == [
        *[("Momentum", 0.1, 2), ("Nesterov", 0.01, 1), ("Nesterov", 0.01, 2)],
        *[("GradientDescent", 1, 1), ("GradientDescent", 1, 2), ("Nesterov", 2, 1), ("Nesterov", 2, 2)],
    ]
    assert len(points(*mine, "seeds=0", "sweep.where=''")) == 4


def test_the_request_is_no_part_of_a_run(results) -> None:
    plan = plan_sweep([*DIGITS, RATES, "seeds=2", "sweep.where='seed > 1'"])
    grid = plan_sweep([*DIGITS, RATES, "seed=2"])
    assert [p.config for p in plan.points] != [p.config for p in grid.points]  # by the name of the sweep
    assert plan.sweep.id == grid.sweep.id
    for ours, theirs in zip(plan.points, grid.points, strict=True):
        ours.config.sweep = theirs.config.sweep
        assert (ours.config, ours.run_id) == (theirs.config, theirs.run_id)
        assert {*ours.overrides} == {*theirs.overrides}
    plan.record()
    (record,) = read_sweeps(results)
    assert record.sweep.name == "single train.epochs=2 learning_rate.lr=0.1,0.01 seeds=2 sweep.where='seed > 1'"


def test_what_was_asked_for_is_in_the_plan(results) -> None:
    overrides = ["data=digits", ZIP, "optimizer=momentum,nesterov", "seeds=2", "seed=1", "sweep.where='seed > 1'"]
    plan, path = load_or_write_plan("quick", overrides)
    assert plan.rules == ("optimizer and learning_rate.lr go together", "2 seeds", "where seed > 1")
    assert read_plan(path).rules == plan.rules
    assert plan.modified
    assert not plan_experiment("quick", ["data=digits"]).rules


def test_a_request_is_a_sweep() -> None:
    for override in ("seeds=2", "sweep.where='seed > 0'", "sweep.grids=[{seed:1},{seed:2}]"):
        with pytest.raises(NervaError, match=r"is a sweep; add --multirun"):
            plan_command([*DIGITS, override], multirun=False)
    assert len(plan_command([*DIGITS, "seeds=2"], multirun=None).points) == 2
    with pytest.raises(NervaError, match="is a sweep of 2 points"):
        compose([*DIGITS, "seeds=2"])
