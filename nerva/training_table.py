"""Training progress as a printed table, with one row per epoch. Nothing in this module affects a result."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nerva.matrix_operations import Matrix
from nerva.multilayer_perceptron import MultilayerPerceptron
from nerva.utilities import pp

if TYPE_CHECKING:
    from nerva.training import EpochRecord  # nerva.training imports this module


class TrainOptions:
    """Options of the functions that print."""

    debug = False  # whether every batch is printed
    print_statistics = True  # whether the table is printed; without it, only the number of each epoch is
    print_digits = 6  # the number of decimals


def _columns(validation: bool, score: str = "acc") -> list[tuple[str, int, str]]:
    """The name, the width and the format of each column."""
    digits = TrainOptions.print_digits
    real = (digits + 6, f".{digits}f")
    parts = ("train", "valid", "test") if validation else ("train", "test")
    names = ("lr", "loss", *(f"{part}_{score}" for part in parts), "time (s)")
    return [("epoch", 5, "d"), *((name, *real) for name in names)]


def _rule(validation: bool) -> str:
    """A horizontal line as wide as the table."""
    return "-" * (sum(width + 3 for _, width, _ in _columns(validation)) - 3)


def _row(values: Sequence[float | None], validation: bool) -> str:
    columns = zip(values, _columns(validation), strict=True)
    return " | ".join(" " * width if x is None else f"{x:>{width}{form}}" for x, (_, width, form) in columns)


def table_head(validation: bool = False, regression: bool = False) -> list[str]:
    """The lines above the first row.

    Args:
        validation: whether the table has a column for the validation set.
        regression: whether the table shows R² instead of accuracies.
    """
    columns = _columns(validation, "r2" if regression else "acc")
    names = " | ".join(f"{name:>{width}}" for name, width, _ in columns)
    return [_rule(validation), names, _rule(validation)]


def table_row(record: "EpochRecord") -> str:
    """The row of an epoch. It has a column for the validation set if the record has its metrics."""
    r = record
    scores = (r.train_accuracy, r.validation_accuracy, r.test_accuracy)
    train, valid, test = scores if r.test_r2 is None else (r.train_r2, r.validation_r2, r.test_r2)
    validation = () if valid is None else (valid,)
    values = (r.epoch, r.learning_rate, r.train_loss, train, *validation, test, r.seconds)
    return _row(values, bool(validation))


def table_foot(total_time: float, validation: bool = False) -> list[str]:
    """The lines below the last row.

    Args:
        total_time: the training time of all epochs, in seconds.
        validation: whether the table has a column for the validation set.
    """
    return [_rule(validation), f"Total training time: {total_time:.{TrainOptions.print_digits}f} s"]


def print_epoch_header() -> None:
    """Print the lines above the first row."""
    if TrainOptions.print_statistics:
        print(*table_head(), sep="\n")


def print_epoch_line(
    epoch: int, lr: float, loss: float, train_accuracy: float, test_accuracy: float, elapsed: float
) -> None:
    """Print the row of an epoch."""
    print(_row((epoch, lr, loss, train_accuracy, test_accuracy, elapsed), validation=False), flush=True)


def print_epoch_footer(total_time: float) -> None:
    """Print the lines below the last row."""
    if TrainOptions.print_statistics:
        print(*table_foot(total_time), sep="\n")


def print_record(record: "EpochRecord") -> None:
    """Print the row of an epoch, or only its number if `TrainOptions.print_statistics` is off."""
    print(table_row(record) if TrainOptions.print_statistics else f"epoch {record.epoch:3}", flush=True)


def print_batch_debug_info(
    epoch: int, batch_idx: int, M: MultilayerPerceptron, X: Matrix, Y: Matrix, DY: Matrix
) -> None:
    """Print the weights of a network, and the inputs, outputs and output gradient of a batch."""
    print(f"epoch: {epoch} batch: {batch_idx}")
    M.info()
    pp("X", X)
    pp("Y", Y)
    pp("DY", DY)
