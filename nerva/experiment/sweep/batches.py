"""Batches of points: the runs of a batch are trained one after another by one process."""

import math
from collections.abc import Iterable
from itertools import pairwise

from nerva.experiment.config.schema import Config
from nerva.experiment.sweep.plan import Point

# What training costs on one core of a present machine, as measured. Batches only need the order of magnitude.
_SECONDS_PER_RUN = 0.05  # reading the data and writing the folder
_SECONDS_PER_LAYER = 0.0001  # in each step: the calls of NumPy, without the products of matrices
_OPERATIONS_PER_SECOND = 2e10
# Feedforward, backpropagation, and the evaluation of an epoch, for each parameter and sample.
_OPERATIONS = 8

# The bounds of the time that a batch should take, in seconds. Long batches would leave cores idle at the end. A process
# takes half a second to start, and a job on a cluster costs about six seconds beside its work.
_LIMITS = (2.0, 60.0)
_LIMITS_ON_CLUSTER = (60.0, 1800.0)
_BATCHES_PER_WORKER = 4

# The time limit of a job: the time to start, and the estimate with a margin for slower nodes.
_MINUTES_TO_START = 5
_TIME_MARGIN = 4
# The memory of a job: Snakemake's two processes take 100 MB each, and the one that trains 200 MB. The rest is a margin.
_BASE_MEGABYTES = 600
_MEGABYTES_OF_LIBRARY = 1500
# Weights, gradients, the state of an optimizer, the best weights and the checkpoint; and what evaluation computes.
_COPIES_OF_PARAMETERS = 12
_COPIES_OF_LAYERS = 8


def split_into_batches(
    points: Iterable[Point], workers: int, size: int | None = None, on_cluster: bool = False
) -> list[list[Point]]:
    """Split points into batches, in their order.

    Args:
        points: the points.
        workers: how many batches are trained at the same time.
        size: the number of points in a batch. Default: as many as fit into a limit by their estimated time. The limit
            is the total time divided by four times `workers`, so that all are busy until the end, but at least 2 and at
            most 60 seconds. A point that takes longer is a batch of its own.
        on_cluster: whether each batch is a job on a cluster. The limit is between 1 and 30 minutes then.
    """
    least, longest = _LIMITS_ON_CLUSTER if on_cluster else _LIMITS
    costs = [(point, 1.0 if size else estimated_seconds(point.config)) for point in points]
    most = size or min(max(sum(cost for _, cost in costs) / (workers * _BATCHES_PER_WORKER), least), longest)
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
    samples = config.data.train
    per_epoch = samples * _parameters(config) * _OPERATIONS / _OPERATIONS_PER_SECOND
    per_epoch += samples / config.train.batch_size * _SECONDS_PER_LAYER * len(config.model.layers)
    return _SECONDS_PER_RUN + config.train.epochs * per_epoch


def requested_minutes(points: Iterable[Point]) -> int:
    """The time to request for a job that trains these points, in minutes."""
    seconds = sum(estimated_seconds(point.config) for point in points)
    return _MINUTES_TO_START + math.ceil(seconds * _TIME_MARGIN / 60)


def requested_megabytes(points: Iterable[Point]) -> int:
    """The memory to request for a job that trains these points one after another, in MB."""
    return max(estimated_megabytes(point.config) for point in points)


def estimated_megabytes(config: Config) -> int:
    """About how much memory a job takes that trains this run, in MB."""
    data = config.data
    samples = max(config.train.batch_size, config.train.evaluation_batch_size)
    numbers = data.features * (data.train + data.test) + _COPIES_OF_PARAMETERS * _parameters(config)
    numbers += _COPIES_OF_LAYERS * samples * sum(config.sizes)
    library = 0 if config.backend.name == "numpy" else _MEGABYTES_OF_LIBRARY
    return _BASE_MEGABYTES + library + math.ceil(numbers * 4 / 1e6)


def _parameters(config: Config) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(config.sizes))


def needs_gpu(points: Iterable[Point]) -> bool:
    """Whether any of these points is to be trained on a GPU."""
    return any(point.config.backend.device == "gpu" for point in points)
