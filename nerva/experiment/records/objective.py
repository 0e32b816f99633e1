"""The objective of a run: the number that a search, or a sweeper of Hydra, optimizes.

The key `objective` names it: `best.validation_accuracy` is a metric of the best epoch, `last.train_loss` one of the last
epoch, and `training_seconds` a number of the run. The default is the metric by which runs are compared, in the best epoch.
"""

import dataclasses
import math

from nerva.errors import NervaError
from nerva.experiment.config.metrics import SCORES, metric_of
from nerva.experiment.config.schema import Config
from nerva.experiment.records.run_record import RunRecord

_OF_RUN = ("training_seconds", "seconds_per_epoch", "peak_memory_mb")
_DIRECTIONS = ("maximize", "minimize")


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is optimized, and in which direction."""

    name: str
    maximize: bool

    def value(self, record: RunRecord) -> float:
        """The value of a run that has ended; nan if the run failed."""
        if record.failed:
            return math.nan
        epoch, _, metric = self.name.partition(".")
        found = getattr(getattr(record, epoch), metric) if metric else getattr(record, epoch)
        return math.nan if found is None else float(found)


def objective_of(config: Config) -> Objective:
    """The objective of a run.

    Raises:
        NervaError: if `objective` is not something that the run measures, or `direction` is not a direction.
    """
    name = config.objective or f"best.{metric_of(config).name}"
    quantities = (SCORES[config.data.task], "loss")
    metrics = [f"{part}_{quantity}" for part in ("validation", "test", "train") for quantity in quantities]
    known = [*(f"{epoch}.{metric}" for epoch in ("best", "last") for metric in metrics), *_OF_RUN]
    if name not in known:
        raise NervaError(f'objective should be one of {", ".join(known)}, not "{name[:80]}"')
    if config.direction not in ("", *_DIRECTIONS):
        raise NervaError(f'direction should be {" or ".join(_DIRECTIONS)}, not "{config.direction[:80]}"')
    maximize = name.endswith(SCORES[config.data.task])
    return Objective(name, config.direction == "maximize" if config.direction else maximize)


def objective_value(config: Config, record: RunRecord) -> float:
    """The value of a run's objective; nan if the run failed."""
    return objective_of(config).value(record)
