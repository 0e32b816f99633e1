"""The objective of a run: the number that a sweeper of Hydra optimizes."""

import math

from nerva.experiment.config.schema import Config
from nerva.experiment.records.run_record import RunRecord


def objective_value(config: Config, record: RunRecord) -> float:
    """The value of a run's objective; nan if the run failed."""
    value = record.best.validation_accuracy if record.best and not record.failed else None
    return math.nan if value is None else value
