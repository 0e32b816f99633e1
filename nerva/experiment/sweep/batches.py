"""Batches of points: the runs of a batch are trained one after another by one process."""

from collections.abc import Iterable
from itertools import pairwise

from nerva.experiment.config.schema import Config
from nerva.experiment.sweep.plan import Point

# What training costs on one core of a present machine, as measured. Batches only need the order of magnitude.
_SECONDS_PER_RUN = 0.05  # reading the data and writing the folder
_SECONDS_PER_STEP = 0.0001  # the calls of NumPy in a step, without the products of matrices
_OPERATIONS_PER_SECOND = 2e10
# Feedforward, backpropagation, and the evaluation of an epoch, for each parameter and sample.
_OPERATIONS = 8

# A process takes half a second to start. Long batches would leave cores idle at the end.
_LEAST, _MOST = 2.0, 60.0  # seconds
_BATCHES_PER_CORE = 4


def split_into_batches(points: Iterable[Point], cores: int, size: int | None = None) -> list[list[Point]]:
    """Split points into batches, in their order.

    Args:
        points: the points.
        cores: how many batches are trained at the same time.
        size: the number of points in a batch. Default: as many as fit into a limit by their estimated time. The limit
            is the total time divided by four times `cores`, so that all cores are busy until the end, but at least 2
            and at most 60 seconds. A point that takes longer is alone.
    """
    costs = [(point, 1.0 if size else estimated_seconds(point.config)) for point in points]
    most = size or min(max(sum(cost for _, cost in costs) / (cores * _BATCHES_PER_CORE), _LEAST), _MOST)
    split: list[list[Point]] = []
    room = 0.0
    for point, cost in costs:
        if cost > room:
            split.append([])
            room = most
        split[-1].append(point)
        room -= cost
    return split


def estimated_seconds(config: Config) -> float:
    """About how long the training of a run takes."""
    parameters = sum((inputs + 1) * outputs for inputs, outputs in pairwise(config.sizes))
    samples = config.data.train
    per_epoch = samples * parameters * _OPERATIONS / _OPERATIONS_PER_SECOND
    per_epoch += samples / config.train.batch_size * _SECONDS_PER_STEP * len(config.model.layers)
    return _SECONDS_PER_RUN + config.train.epochs * per_epoch
