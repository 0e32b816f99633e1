"""The table that training prints, and its options."""

import ast
import inspect
import math

import numpy as np
import pytest

import nerva.training
from nerva.datasets import DataLoader
from nerva.layers import parse_layer
from nerva.learning_rate import parse_learning_rate
from nerva.loss_functions import parse_loss_function
from nerva.multilayer_perceptron import MultilayerPerceptron
from nerva.training import (
    EpochRecord,
    compute_statistics,
    stochastic_gradient_descent,
    stochastic_gradient_descent_plain,
    train_epoch,
)
from nerva.training_table import TrainOptions, print_epoch_line, table_foot, table_head, table_row

LOSS = parse_loss_function("SquaredError")
X = np.eye(3, 4, dtype=np.float32)
T = np.array([0, 1, 1])


def network() -> MultilayerPerceptron:
    layer = parse_layer("Linear", 4, 2)
    layer.set_optimizer("GradientDescent")
    return MultilayerPerceptron([layer])


def loader() -> DataLoader:
    return DataLoader(X, T, 2, 2)


def record(validation: bool) -> EpochRecord:
    return EpochRecord(3, 0.01, 0.5, 0.75, *((0.25, 0.625) if validation else (None, None)), 0.125, 0.875, 1.5)


@pytest.mark.parametrize("validation", [False, True])
def test_columns_are_aligned(validation: bool) -> None:
    row = table_row(record(validation))
    lines = [*table_head(validation), row, *table_foot(2.0, validation)[:-1]]
    assert len({len(line) for line in lines}) == 1
    assert ("valid_acc" in lines[1]) == validation
    assert len(row.split(" | ")) == len(lines[1].split(" | "))
    assert ("0.625000" in row) == validation


def test_the_number_of_digits(monkeypatch, capsys) -> None:
    monkeypatch.setattr(TrainOptions, "print_digits", 2)
    print_epoch_line(1, 0.1, math.nan, 0.5, 0.25, 3)
    assert capsys.readouterr().out == "    1 |     0.10 |      nan |     0.50 |     0.25 |     3.00\n"
    assert table_foot(2.0)[-1] == "Total training time: 2.00 s"


def test_without_statistics_only_the_epoch_is_printed(monkeypatch, capsys) -> None:
    monkeypatch.setattr(TrainOptions, "print_statistics", False)
    result = compute_statistics(network(), 0.1, LOSS, loader(), loader(), epoch=2)
    assert capsys.readouterr().out == "epoch   2\n"
    assert result.epoch == 2


@pytest.mark.parametrize("plain", [False, True])
def test_every_batch_is_printed_on_request(monkeypatch, capsys, plain: bool) -> None:
    monkeypatch.setattr(TrainOptions, "debug", True)
    schedule = parse_learning_rate("Constant(0.1)")
    if plain:
        stochastic_gradient_descent_plain(network(), X, T, LOSS, schedule, 2, 2, False)
    else:
        stochastic_gradient_descent(network(), 2, LOSS, schedule, loader(), loader())
    out = capsys.readouterr().out
    assert [f"epoch: {epoch} batch: {k}" in out for epoch in range(2) for k in range(2)] == [True] * 4
    assert "W1 (2x4)" in out
    assert "DY (2x2)" in out


def test_a_hook_observes_every_batch_before_the_step() -> None:
    M, seen = network(), []
    train_epoch(M, LOSS, 0.1, loader(), 5, lambda *batch: seen.append((*batch[:2], batch[2].layers[0].W.copy())))
    assert [(epoch, k) for epoch, k, _ in seen] == [(5, 0), (5, 1)]
    np.testing.assert_array_equal(seen[0][2], 0)
    assert (seen[1][2] != 0).any()


@pytest.mark.parametrize("function", ["train_epoch", "training_epochs", "evaluate"])
def test_the_training_loop_uses_nothing_that_prints(function: str) -> None:
    tree = ast.parse(inspect.getsource(getattr(nerva.training, function)))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    printing = {name for name in vars(nerva.training) if "print" in name or "debug" in name} | {"TrainOptions", "print"}
    assert not names & printing
