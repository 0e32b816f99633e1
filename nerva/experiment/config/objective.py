"""The objective of a run: the number that a search, or a sweeper of Hydra, optimizes.

The key `objective` names it: `best.validation_accuracy` is a metric of the best epoch, `last.train_loss` one of the
last epoch, and `training_seconds` a number of the run. The default is `train.metric` of the best epoch.
"""

from dataclasses import dataclass

from nerva.errors import NervaError
from nerva.experiment.config.metrics import SCORES, metric_of
from nerva.experiment.config.schema import Config

_OF_RUN = ("training_seconds", "seconds_per_epoch", "peak_memory_mb")
_DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True)
class Objective:
    """What is optimized, and in which direction."""

    name: str  # a path in the result of a run, such as best.validation_accuracy
    maximize: bool


def objective_of(config: Config) -> Objective:
    """The objective of a run.

    Raises:
        NervaError: if `objective` is not something that the run measures, or `direction` is not a direction.
    """
    score = SCORES[config.data.task]
    name = config.objective or f"best.{metric_of(config).name}"
    metrics = [f"{part}_{quantity}" for part in ("validation", "test", "train") for quantity in (score, "loss")]
    known = [*(f"{epoch}.{metric}" for epoch in ("best", "last") for metric in metrics), *_OF_RUN]
    if name not in known:
        raise NervaError(f'objective should be one of {", ".join(known)}, not "{name[:80]}"')
    if config.direction not in ("", *_DIRECTIONS):
        raise NervaError(f'direction should be {" or ".join(_DIRECTIONS)}, not "{config.direction[:80]}"')
    return Objective(name, config.direction == "maximize" if config.direction else name.endswith(score))
