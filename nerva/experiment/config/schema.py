"""What a run is made of: the types behind `conf/`, and the checks that they can't express."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerva.data.description import Dataset
from nerva.errors import NervaError
from nerva.experiment import PACKAGE
from nerva.experiment.config.numerics import settle
from nerva.experiment.identity.fingerprint import digest, fingerprint
from nerva.experiment.identity.user_modules import sources
from nerva.layers import has_weights, layer_registry, parse_layer
from nerva.learning_rate import LEARNING_RATES, parse_learning_rate
from nerva.loss_functions import LOSSES, parse_loss_function
from nerva.optimizers import OPTIMIZERS, parse_optimizer
from nerva.specifications import Registry
from nerva.utilities import import_here
from nerva.weight_initializers import INITIALIZERS, parse_weight_initializer

# What makes the prepared data from raw files.
PREPARATION = [PACKAGE / "data" / name for name in ("prepare.py", "raw.py")]


@dataclass
class Model:
    """The layers between the inputs and the outputs; the data says how many of those there are."""

    hidden: list[int] = field(default_factory=list)  # the sizes of the hidden layers
    layers: list[str] = field(default_factory=list)  # a specification for each layer, the output layer included
    weights: str = ""  # the specification of the initial weights


@dataclass
class Train:
    """The training loop."""

    epochs: int = 1
    batch_size: int = 1
    evaluation_batch_size: int = 1  # it is part of a figure's last bits


@dataclass
class Numerics:
    """Which bits a run has; see `nerva.experiment.config.numerics`."""

    mode: str = "auto"
    note: str = ""  # why it was taken, if it was not asked for by name


@dataclass
class Tracking:
    """Where runs are logged."""

    enabled: bool = True
    uri: str = ""
    deferred: bool = False  # whether runs that end soon are left to `nerva track`; others are shown while they train


@dataclass
class Sweep:
    """The sweep that a run is a point of, if it is one of any."""

    id: str = ""
    name: str = ""


@dataclass
class Config:
    """A run.

    A component (optimizer, learning_rate, loss) is its name and its arguments: `{name: Momentum, mu: 0.9}` is
    the specification `Momentum(mu=0.9)`.
    """

    data: Dataset = field(default_factory=Dataset)
    model: Model = field(default_factory=Model)
    optimizer: dict[str, Any] = field(default_factory=dict)
    learning_rate: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    train: Train = field(default_factory=Train)
    seed: int = 0
    imports: list[str] = field(default_factory=list)  # modules that register components of one's own
    numerics: Numerics = field(default_factory=Numerics)
    force: bool = False  # whether a run that is there already is made again
    tracking: Tracking = field(default_factory=Tracking)
    experiment_name: str = ""
    question: str = ""  # that the experiment asks
    sweep: Sweep = field(default_factory=Sweep)
    results_dir: str = ""

    @property
    def data_dir(self) -> Path:
        """Where datasets are."""
        return Path(self.results_dir) / "data"

    @property
    def title(self) -> str:
        """What this is a part of: a dataset and an experiment. MLflow's experiments and folders are named so."""
        return f"{self.data.name}-{self.experiment_name}"

    @property
    def sizes(self) -> list[int]:
        """The number of inputs, and then the number of outputs of each layer."""
        return [self.data.features, *self.model.hidden, self.data.classes]


def specification(component: dict[str, Any]) -> str:
    """The specification of a component, as the engine's parsers read it."""

    def text(value: Any) -> str:
        return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)

    arguments = ", ".join(f"{key}={text(value)}" for key, value in component.items() if key != "name")
    return f"{component.get('name', '')}({arguments})" if arguments else str(component.get("name", ""))


def canonical(config: Config) -> dict[str, Any]:
    """What of a configuration determines a run's result, in one form for each meaning.

    Components have all of their arguments, defaults among them, in their types. Everything is there but names, paths
    and tracking, so that what is added to a configuration counts unless it is known not to.

    Raises:
        NervaError: if something is out of range, or does not fit; the message names the key.
    """
    validate(config)
    modules = {name: sources(name) for name in config.imports}
    known = {module for found in modules.values() for module in found}

    def component(registry: Registry[Any], text: str) -> str:
        for module in registry.modules(text) - known:
            if module.partition(".")[0] != "nerva":
                raise NervaError(f"{text} is of the module {module}, which is not in imports: its code would not count")
        return registry.canonical(text)

    return {
        "data": _data(config.data),
        "sizes": config.sizes,
        "layers": [component(layer_registry(layer), layer) for layer in config.model.layers],
        "weights": component(INITIALIZERS, config.model.weights),
        "optimizer": component(OPTIMIZERS, specification(config.optimizer)),
        "learning_rate": component(LEARNING_RATES, specification(config.learning_rate)),
        "loss": component(LOSSES, specification(config.loss)),
        "train": dict(vars(config.train)),
        "seed": config.seed,
        "numerics": settle(config.numerics.mode),
        # The code of components of one's own counts as the engine's does.
        **({"imports": {name: digest(found) for name, found in modules.items()}} if modules else {}),
    }


def _data(data: Dataset) -> dict[str, Any]:
    """What of a dataset determines a run's result."""
    determined = {"checksum": data.checksum, "validation": data.validation}
    if data.sha256:
        return determined
    # Where the checksum is that of raw files, what becomes of them counts as well.
    preparation = {file.stem: fingerprint(file.read_bytes()) for file in PREPARATION}
    return determined | {"source": data.source, "train": data.train, "test": data.test, "preparation": preparation}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, by dotted names."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return result


def validate(config: Config) -> None:
    """Checks what can be checked before there is any data.

    Raises:
        NervaError: if something is out of range, or does not fit; the message names the key.
    """
    data, model, train = config.data, config.model, config.train
    for name in config.imports:
        import_here(name)
    if not 0 <= config.seed < 2**63:
        raise NervaError(f"seed should be 0 to {2**63 - 1}, not {config.seed}")
    _at_least("train.epochs", train.epochs, 1)
    _at_least("train.evaluation_batch_size", train.evaluation_batch_size, 1)
    if not 1 <= data.validation < data.train:
        raise NervaError(
            f"data.validation should be 1 to {data.train - 1}, not {data.validation}: "
            f"it is split off the {data.train} training samples, and models are chosen by it"
        )
    names = len(set(data.class_names))
    if data.class_names and not names == len(data.class_names) == data.classes:
        raise NervaError(f"data.class_names should be {data.classes} different names, or none, not {names}")
    trained = data.train - data.validation
    if not 1 <= train.batch_size <= trained:
        raise NervaError(
            f"train.batch_size should be 1 to {trained}, the samples that {data.name} has for training, "
            f"not {train.batch_size}"
        )
    for size in model.hidden:
        _at_least("each size in model.hidden", size, 1)
    for layer in model.layers:
        _parse("model.layers", lambda text: parse_layer(text, 1, 1), layer)
    sized = sum(has_weights(layer) for layer in model.layers)
    if sized != len(model.hidden) + 1:
        raise NervaError(
            f"model.layers has {sized} layers with weights, {model.layers}, but model.hidden has "
            f"{len(model.hidden)} sizes, {model.hidden}: there should be one such layer more than hidden sizes"
        )
    _parse("model.weights", parse_weight_initializer, model.weights)
    _parse("optimizer", parse_optimizer, specification(config.optimizer))
    _parse("learning_rate", parse_learning_rate, specification(config.learning_rate))
    schedule = parse_learning_rate(specification(config.learning_rate))
    for epoch in range(train.epochs):
        try:
            finite = math.isfinite(schedule(epoch))
        except OverflowError:
            finite = False
        if not finite:
            raise NervaError(f"learning_rate: {schedule} is too large for a number at epoch {epoch}")
    _parse("loss", parse_loss_function, specification(config.loss))
    settle(config.numerics.mode)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", config.experiment_name):
        raise NervaError(
            f'experiment_name names a folder: letters, digits, ".", "_" and "-", not "{config.experiment_name}"'
        )


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise NervaError(f"{key} should be {least} or more, not {value}")


def _parse(key: str, parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except NervaError as error:
        raise NervaError(f"{key}: {error}") from None
