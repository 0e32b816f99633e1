"""The space of a search, in Hydra's grammar."""

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.composition import initialized
from nerva.experiment.search.space import Dimension, Space, read_space


def space(*overrides: str) -> Space:
    with initialized():
        return read_space(["data=digits", *overrides])


def dimension(override: str) -> Dimension:
    (found,) = space(override).dimensions
    return found


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("optimizer=momentum,nesterov", ("momentum", "nesterov")),
        ("optimizer=glob(*,exclude=mom*)", ("gradient_descent", "nesterov")),
        ("model.hidden=choice([32],[64])", ("[32]", "[64]")),
        ("learning_rate.lr=0.1,0.1,0.2", ("0.1", "0.2")),
        ("train.epochs=range(1,4)", (1, 2, 3)),
        ("train.epochs=range(10,1,-4)", (2, 6, 10)),
        ("learning_rate.lr=range(0.1,0.6,0.2)", (0.1, 0.1 + 0.2, 0.5)),
    ],
)
def test_listed_values_are_those_of_hydras_sweeps(override, values) -> None:
    assert dimension(override).values == values
    assert dimension(override).interval is None


@pytest.mark.parametrize(
    ("override", "interval", "log"),
    [
        ("learning_rate.lr=interval(0.001,1)", (0.001, 1.0), False),
        ("learning_rate.lr=tag(log,interval(0.001,1))", (0.001, 1.0), True),
        ("train.batch_size=int(interval(10,100))", (10, 100), False),
        ("train.batch_size=tag(log,int(interval(10,100)))", (10, 100), True),
    ],
)
def test_intervals(override, interval, log) -> None:
    found = dimension(override)
    assert (found.interval, found.log) == (interval, log)
    assert [*map(type, found.interval or ())] == [*map(type, interval)]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("learning_rate.lr=0.1", "there is nothing to search"),
        ("learning_rate.lr=interval(1,0.1)", "begin below its end"),
        ("learning_rate.lr=interval(0.1,0.1)", "begin below its end"),
        ("learning_rate.lr=interval(0,inf)", "both should be finite"),
        ("learning_rate.lr=interval(nan,1)", "begin below its end"),
        ("learning_rate.lr=tag(log,interval(0,1))", "begin above 0"),
        ("learning_rate.lr=tag(log,range(0.1,1,0.1))", "whole numbers above 0"),
        ("model.hidden=tag(log,choice([1],[2]))", "categories have no order"),
        ("train.epochs=range(5,5)", "has no values"),
        ("train.epochs=range(1,5,0)", "step of a range should not be 0"),
        ("train.epochs=range(1,100000)", "more values than the limit of 10,000"),
        ("optimizer=glob(x*)", "has no values"),
        ("seed=1,2", "the luckiest one"),
        ("seeds=3", "3 seeds: seeds, sweep.zip, sweep.where and sweep.grids say which points a sweep has"),
        ("sweep.zip=[[optimizer,learning_rate.lr]]", "optimizer and learning_rate.lr go together: seeds, sweep.zip"),
        ("sweep.where='seed > 1'", "where seed > 1: seeds, sweep.zip"),
        ("sweep.grids=[{seed:1}]", "1 grid: seeds, sweep.zip"),
    ],
)
def test_what_is_wrong_with_a_space_is_said(override, words) -> None:
    with pytest.raises(NervaError, match=words):
        space(override)


def test_the_sweep_of_an_experiment_belongs_to_the_space() -> None:
    found = space("+experiment=quick", "learning_rate.lr=interval(0.01,1)")
    assert [d.key for d in found.dimensions] == ["optimizer", "learning_rate.lr"]
    assert found.dimensions[1].interval == (0.01, 1.0)  # it replaces the values of the experiment


def test_the_seeds_of_an_experiment_are_left_out() -> None:
    found = space("+experiment=quick")
    assert found.seed_left_out == "seed=1,2"
    assert found.fixed == ["data=digits", "+experiment=quick", "seed=1"]
    found = space("+experiment=quick", "seed=7")
    assert found.seed_left_out == ""
    assert "seed=7" in found.fixed


def test_a_single_value_replaces_the_sweep_of_an_experiment() -> None:
    found = space("+experiment=quick", "optimizer=nesterov")
    assert [d.key for d in found.dimensions] == ["learning_rate.lr"]
    assert "optimizer=nesterov" in found.fixed


def test_the_examples_have_every_category_and_both_ends() -> None:
    found = space("optimizer=momentum,nesterov", "learning_rate.lr=interval(0.1,1)", "train.epochs=range(1,9)")
    assert [[*point.values()] for point in found.examples()] == [
        ["momentum", 0.1, 1],
        ["nesterov", 0.1, 1],
        ["momentum", 1.0, 1],
        ["momentum", 0.1, 8],
    ]


def test_a_grid_has_hydras_order() -> None:
    found = space("optimizer=momentum,nesterov", "train.epochs=range(1,4)")
    assert found.grid_size == 6
    points = [" ".join(found.overrides(found.grid_point(number))) for number in range(6)]
    assert points[:4] == [
        "data=digits optimizer=momentum train.epochs=1",
        "data=digits optimizer=momentum train.epochs=2",
        "data=digits optimizer=momentum train.epochs=3",
        "data=digits optimizer=nesterov train.epochs=1",
    ]
    with pytest.raises(
        NervaError, match=r"interval\(0.1,1\) is an interval, and a grid needs listed values: use choice"
    ):
        _ = space("learning_rate.lr=interval(0.1,1)").grid_size


def test_real_numbers_have_few_digits_and_stay_in_their_interval() -> None:
    linear, log = (
        dimension("learning_rate.lr=interval(0.001,1)"),
        dimension("learning_rate.lr=tag(log,interval(1e-6,1))"),
    )
    assert linear.nearest(0.123456789) == 0.12346
    assert linear.nearest(0.0010001) == 0.001
    assert log.nearest(0.00000123456) == 1.235e-6
    assert dimension("learning_rate.lr=interval(0.123454,1)").nearest(0.1234541) == 0.123454
    assert dimension("learning_rate.lr=range(0.1,0.6,0.2)").nearest(0.3) == 0.1 + 0.2  # as in a sweep
