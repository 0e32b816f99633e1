"""The metrics by which runs are compared, and the objective of a search."""

import dataclasses
import math

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.metrics import ACCURACY, Metric, metric_of, number, percent, stop_metric_of
from nerva.experiment.config.objective import objective_of
from nerva.experiment.config.schema import Config
from tests.helpers import configured


def regression(*overrides: str) -> Config:
    config = configured(*overrides)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, task="regression", targets=1))


def test_the_task_chooses_the_metric() -> None:
    assert metric_of(configured()) == stop_metric_of(configured()) == ACCURACY
    r2 = metric_of(regression())
    assert (r2.name, r2.test, r2.label, r2.maximize) == ("validation_r2", "test_r2", "validation R²", True)
    loss = metric_of(configured("train.metric=validation_loss"))
    assert (loss.name, loss.test, loss.label, loss.maximize) == (
        "validation_loss",
        "test_loss",
        "validation loss",
        False,
    )
    assert stop_metric_of(configured("train.metric=validation_loss")) == loss
    assert (
        stop_metric_of(configured("train.metric=validation_loss", "train.stop.metric=validation_accuracy")) == ACCURACY
    )


@pytest.mark.parametrize("name", ["test_accuracy", "train_loss", "validation_r2", "accuracy"])
def test_an_unsuitable_metric(name: str) -> None:
    message = f'should be validation_accuracy or validation_loss for digits, a classification, not "{name}"'
    with pytest.raises(NervaError, match=rf"train\.metric {message}"):
        metric_of(configured(f"train.metric={name}"))
    with pytest.raises(NervaError, match=rf"train\.stop\.metric {message}"):
        stop_metric_of(configured(f"train.stop.metric={name}"))
    with pytest.raises(NervaError, match=r"data\.task should be classification or regression, not"):
        metric_of(dataclasses.replace(configured(), data=dataclasses.replace(configured().data, task=name)))


def test_which_value_is_better() -> None:
    loss = Metric("validation", "loss")
    assert ACCURACY.is_better(0.9, 0.8)
    assert not ACCURACY.is_better(0.9, 0.8, margin=0.2)
    assert loss.is_better(0.8, 0.9)
    assert not loss.is_better(0.8, 0.9, margin=0.2)
    assert not ACCURACY.is_better(math.nan, 0.8)
    assert not ACCURACY.is_better(0.8, 0.8)


def test_values_for_people() -> None:
    assert ACCURACY.text(0.98765) == percent(0.98765) == "98.77%"
    assert [number(x) for x in (0.45678, -12.5, 0.00547, 0.00012341, 123456.0, 0.0)] == [
        "0.4568",
        "-12.5000",
        "0.0055",
        "0.0001234",
        "1.235e+05",
        "0.0000",
    ]
    assert ACCURACY.text(math.nan) == Metric("validation", "r2").text(math.nan) == "–"


@pytest.mark.parametrize(
    ("config", "name", "maximize"),
    [
        (configured(), "best.validation_accuracy", True),
        (configured("train.metric=validation_loss"), "best.validation_loss", False),
        (configured("objective=last.test_accuracy"), "last.test_accuracy", True),
        (configured("objective=training_seconds"), "training_seconds", False),
        (configured("objective=training_seconds", "direction=maximize"), "training_seconds", True),
        (regression(), "best.validation_r2", True),
        (regression("objective=best.test_loss"), "best.test_loss", False),
    ],
)
def test_the_objective(config: Config, name: str, maximize: bool) -> None:
    objective = objective_of(config)
    assert (objective.name, objective.maximize) == (name, maximize)


def test_wrong_objectives() -> None:
    with pytest.raises(NervaError, match=r'objective should be one of best\.validation_accuracy, .*, not "best\.r2"'):
        objective_of(configured("objective=best.r2"))
    with pytest.raises(NervaError, match=r"objective should be one of best\.validation_r2"):
        objective_of(regression("objective=best.validation_accuracy"))
    with pytest.raises(NervaError, match='direction should be maximize or minimize, not "up"'):
        objective_of(configured("direction=up"))


def test_every_objective_has_a_value(recorded) -> None:
    record = recorded.read_record()
    with pytest.raises(NervaError) as raised:
        objective_of(configured("objective=?"))
    names = str(raised.value).removeprefix("objective should be one of ").partition(", not")[0].split(", ")
    assert len(names) == 15
    assert all(math.isfinite(record.value(name)) for name in names)
    failed = dataclasses.replace(record, status="failed", best=None)
    assert all(math.isnan(failed.value(name)) for name in names)
