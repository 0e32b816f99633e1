"""Checks of a configuration that its types can't express, before there is any data."""

import math
import re
from collections.abc import Callable, Sequence

from nerva import backends
from nerva.data.description import Dataset
from nerva.data.steps import with_steps
from nerva.errors import NervaError
from nerva.experiment.config.metrics import SCORES, metric_of, stop_metric_of
from nerva.experiment.config.numerics import resolve_mode
from nerva.experiment.config.objective import objective_of
from nerva.experiment.config.schema import Config, specification
from nerva.layers import has_weights, parse_layer
from nerva.learning_rate import check_schedule, parse_learning_rate
from nerva.loss_functions import parse_loss_function
from nerva.optimizers import parse_optimizer
from nerva.training import MAX_EPOCHS
from nerva.utilities import import_here
from nerva.weight_initializers import parse_weight_initializer

MODELS = ("all", "best", "none")
LARGEST_SIZE = 1_000_000  # of a layer, a batch or a dataset's features

_LOSSES_OF_CLASSES = ("CrossEntropy", "SoftmaxCrossEntropy", "LogisticCrossEntropy", "NegativeLogLikelihood")
_FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"


def validate(config: Config) -> None:
    """Check a configuration.

    The user-defined modules that it names in `imports` are imported, because they register components.

    Raises:
        NervaError: if a value is out of range, or values do not fit together; the message names the key.
    """
    data, model, train = config.data, config.model, config.train
    _check_lists(
        ("imports", config.imports, str, "names"),
        ("model.hidden", model.hidden, int, "whole numbers"),
        ("model.layers", model.layers, str, "specifications"),
    )
    for name in config.imports:
        if not all(part.isidentifier() for part in name.split(".")):
            raise NervaError(
                f'imports should have the names of modules, such as mine or package.mine, not "{name[:100]}"'
            )
        import_here(name)
    _between("seed", config.seed, 0, 2**63 - 1)
    _between("train.epochs", train.epochs, 1, MAX_EPOCHS)
    _between("train.evaluation_batch_size", train.evaluation_batch_size, 1, LARGEST_SIZE)
    _between("train.evaluate_training", train.evaluate_training, 1, MAX_EPOCHS)
    _between("train.stop.patience", train.stop.patience, 0, MAX_EPOCHS)
    if not 0 <= train.stop.min_delta < math.inf:
        raise NervaError(f"train.stop.min_delta should be 0 or more, not {train.stop.min_delta}")
    validate_data(data)
    trained = data.train - data.validation
    if not 1 <= train.batch_size <= trained:
        raise NervaError(
            f"train.batch_size should be 1 to {trained}, the number of samples that {data.name} has for training, "
            f"not {train.batch_size}"
        )
    for size in model.hidden:
        _between("each size in model.hidden", size, 1, LARGEST_SIZE)
    for layer in model.layers:
        _parse("model.layers", lambda text: parse_layer(text, 1, 1), layer)
    sized = sum(has_weights(layer) for layer in model.layers)
    if sized != len(model.hidden) + 1:
        raise NervaError(
            f"model.layers has {sized} layers with weights, {model.layers}, but model.hidden has "
            f"{len(model.hidden)} sizes, {model.hidden}: the output layer needs no size, so there should be "
            "one layer with weights more than sizes"
        )
    _parse("model.weights", parse_weight_initializer, model.weights)
    _parse("optimizer", parse_optimizer, specification(config.optimizer))
    loss = specification(config.loss)
    _parse("loss", parse_loss_function, loss)
    if data.task == "regression" and loss in _LOSSES_OF_CLASSES:
        raise NervaError(
            f"loss is {loss}, which compares classes, but {data.name} is a regression; use loss=squared_error"
        )
    _parse(
        "learning_rate",
        lambda text: check_schedule(parse_learning_rate(text), train.epochs),
        specification(config.learning_rate),
    )
    metric_of(config)
    stop_metric_of(config)
    objective_of(config)
    backends.check_names(config.backend.name, config.backend.device)
    resolve_mode(config.numerics.mode, config.backend.name)
    if config.tracking.models not in MODELS:
        raise NervaError(f'tracking.models should be {", ".join(MODELS)}, not "{config.tracking.models[:80]}"')
    if not re.fullmatch(_FILE_NAME, config.experiment_name):
        raise NervaError(
            f'experiment_name names a folder: up to 100 letters, digits, ".", "_" and "-", beginning with a letter or '
            f'digit, not "{config.experiment_name[:120]}"'
        )


def validate_data(data: Dataset) -> None:
    """Check the description of a dataset.

    Raises:
        NervaError: if a value is out of range, or values do not fit together; the message names the key.
    """
    _check_lists(
        ("data.class_names", data.class_names, str, "names"),
        ("data.mirrors", data.mirrors, str, "addresses"),
        ("data.steps", data.steps, str, "specifications"),
        ("data.target_steps", data.target_steps, str, "specifications"),
        ("data.before_steps", data.before_steps, int, "two whole numbers"),
    )
    # These name files. A recorded configuration may come from a stranger.
    for key, name in (
        ("data.name", data.name),
        *((f"data.files.{k}.archive", f.archive) for k, f in data.files.items()),
    ):
        check_file_name(key, name)
    _between("data.features", data.features, 1, LARGEST_SIZE)
    if data.task not in SCORES:
        raise NervaError(f'data.task should be {" or ".join(SCORES)}, not "{data.task[:80]}"')
    if data.task == "regression":
        _between("data.targets", data.targets, 1, LARGEST_SIZE)
    else:
        _between("data.classes", data.classes, 1, LARGEST_SIZE)
    _between("data.test", data.test, 1, 2**40)
    if data.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", data.sha256):
        raise NervaError(f'data.sha256 should be 64 hexadecimal digits, not "{data.sha256}"')
    if not 1 <= data.validation < data.train:
        raise NervaError(
            f"data.validation should be 1 to {data.train - 1}, not {data.validation}: "
            f"it is split off the {data.train} training samples, and models are chosen by it"
        )
    if data.steps and (len(data.before_steps) != 2 or with_steps(data) != data):
        raise NervaError(
            f"data.steps do not give data.train={data.train} and data.features={data.features} from "
            f"data.before_steps={data.before_steps}, the numbers of training samples and features before them"
        )
    names = len(set(data.class_names))
    if data.class_names and not names == len(data.class_names) == data.classes:
        raise NervaError(f"data.class_names should be {data.classes} different names, or none, not {names}")


def _check_lists(*lists: tuple[str, Sequence[object], type, str]) -> None:
    # OmegaConf lets lists be elements of any list.
    for key, values, type_, what in lists:
        if not all(isinstance(value, type_) for value in values):
            raise NervaError(f"{key} should be a list of {what}, not {str(values)[:120]}")


def check_file_name(key: str, name: str) -> None:
    """Check that a value names a file: it may not lead into another folder.

    Raises:
        NervaError: if it does not; the message names the key.
    """
    if not re.fullmatch(_FILE_NAME, name):
        raise NervaError(f'{key} should be the name of a file, without folders, not "{name[:120]}"')


def _between(key: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        shown = str(value) if abs(value) < 10**30 else f"a number of {value.bit_length()} bits"
        raise NervaError(f"{key} should be {least} to {most}, not {shown}")


def _parse(key: str, parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except NervaError as error:
        raise NervaError(f"{key}: {error}") from None
