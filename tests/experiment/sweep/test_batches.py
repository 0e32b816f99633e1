"""Batches: every point once, in order; long runs alone."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva.experiment.config.schema import Config
from nerva.experiment.sweep.batches import (
    estimated_seconds,
    needs_gpu,
    requested_megabytes,
    requested_minutes,
    split_into_batches,
)
from nerva.experiment.sweep.plan import Point
from nerva.experiment.sweep.planning import plan_sweep
from tests.helpers import DIGITS


@pytest.fixture(scope="module")
def point() -> Point:
    return plan_sweep(DIGITS).points[0]


def long(point: Point, epochs: int) -> Point:
    config: Config = dataclasses.replace(point.config, train=dataclasses.replace(point.config.train, epochs=epochs))
    return dataclasses.replace(point, config=config)


@given(st.lists(st.integers(1, 10**6), max_size=40), st.integers(1, 64), st.none() | st.integers(1, 50))
def test_every_point_is_in_one_batch(point: Point, epochs: list[int], workers: int, size: int | None) -> None:
    points = [long(point, number) for number in epochs]
    split = split_into_batches(points, workers, size)
    assert [point for batch in split for point in batch] == points
    assert all(split)
    if size:
        assert all(len(batch) == size for batch in split[:-1])
    else:
        assert all(len(b) == 1 or sum(estimated_seconds(p.config) for p in b) <= 60.0 + 1e-6 for b in split)


def test_short_runs_share_a_batch_and_long_runs_are_alone(point: Point) -> None:
    assert len(split_into_batches([point] * 12, workers=2)) == 1
    many = split_into_batches([point] * 10_000, workers=4)
    assert 8 <= len(many) <= 100
    assert len(split_into_batches([long(point, 10**6)] * 3, workers=2)) == 3


def test_batches_on_a_cluster_are_worth_a_job(point: Point) -> None:
    assert len(split_into_batches([point] * 240, workers=100, on_cluster=True)) == 1
    many = split_into_batches([point] * 1_000_000, workers=100, on_cluster=True)
    assert 400 <= len(many) <= 500


def test_what_a_job_asks_for_grows_with_its_runs(point: Point) -> None:
    (large,) = plan_sweep([*DIGITS, "model=large"]).points
    (jax,) = plan_sweep([*DIGITS, "backend=jax", "backend.device=cpu"]).points
    assert requested_megabytes([point, large]) == requested_megabytes([large]) > requested_megabytes([point]) > 500
    assert requested_megabytes([jax]) > requested_megabytes([point]) + 1000
    one = [long(point, 10**6)]
    assert requested_minutes(one * 2) > requested_minutes(one) > requested_minutes([point]) >= 5


def test_a_gpu_is_asked_for_if_a_run_needs_one(point: Point) -> None:
    (gpu,) = plan_sweep([*DIGITS, "backend=jax", "backend.device=gpu"]).points
    assert needs_gpu([point, gpu])
    assert not needs_gpu([point])


def test_the_estimate_grows_with_the_work(point: Point) -> None:
    assert estimated_seconds(long(point, 20).config) > estimated_seconds(point.config)
    (large,) = plan_sweep([*DIGITS, "model=large"]).points
    assert estimated_seconds(large.config) > estimated_seconds(point.config)
