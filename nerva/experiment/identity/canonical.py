"""The canonical form of a configuration: what of it determines a run's result, in one form for each meaning."""

import ast
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from nerva.activation_functions import ACTIVATIONS
from nerva.backends import resolve_device
from nerva.data.description import Dataset
from nerva.data.steps import used, without_steps
from nerva.errors import NervaError
from nerva.experiment.config.metrics import SCORES, metric_of, stop_metric_of
from nerva.experiment.config.numerics import resolve_mode
from nerva.experiment.config.schema import Config, specification
from nerva.experiment.identity.fingerprint import digest, fingerprint
from nerva.experiment.identity.user_modules import sources
from nerva.experiment.paths import PACKAGE
from nerva.layers import LAYERS, layer_registry
from nerva.learning_rate import LEARNING_RATES
from nerva.loss_functions import LOSSES
from nerva.optimizers import OPTIMIZERS
from nerva.specifications import Registry
from nerva.weight_initializers import INITIALIZERS

# The modules that make prepared data from raw files, and the one with the steps of preparation.
PREPARATION = [PACKAGE / "data" / name for name in ("formats.py", "raw.py")]
STEPS = PACKAGE / "data" / "steps.py"


class CanonicalData(TypedDict):
    """What of a dataset determines a run's result. Without a declared checksum of the arrays, their source does."""

    checksum: str
    validation: int
    source: NotRequired[str]
    train: NotRequired[int]
    test: NotRequired[int]
    preparation: NotRequired[dict[str, str]]  # hashes of the code
    steps: NotRequired[list[str]]
    target_steps: NotRequired[list[str]]


class CanonicalBackend(TypedDict):
    """The library that computes a run, if it is not NumPy."""

    name: str
    device: str  # cpu or gpu


NUMPY: CanonicalBackend = {"name": "numpy", "device": "cpu"}


class Canonical(TypedDict):
    """The canonical form. Components have all their arguments, including defaults, in their types."""

    data: CanonicalData
    sizes: list[int]
    layers: list[str]
    weights: str
    optimizer: str
    learning_rate: str
    loss: str
    train: dict[str, Any]
    seed: int
    numerics: str  # portable or native
    task: NotRequired[str]  # if it is not classification
    backend: NotRequired[CanonicalBackend]
    imports: NotRequired[dict[str, str]]  # hashes of user-defined modules


def canonical_form(config: Config) -> Canonical:
    """The canonical form of a valid configuration.

    It has everything but names, paths and tracking, so that what is added to the schema counts by default.

    Raises:
        NervaError: if a component belongs to a module that is not in `imports`.
    """
    modules = {name: sources(name) for name in config.imports}
    known = {module for found in modules.values() for module in found}

    def component(registry: Registry[Any], text: str) -> str:
        for named in registry.named(text):
            module = named.__module__
            if module.partition(".")[0] != "nerva" and module not in known:
                raise NervaError(
                    f"{text} is defined in the module {module}, which is not in imports: its code would not count"
                )
        return registry.canonical(text)

    others = _other_components(config)
    canonical: Canonical = {
        "data": _data(config.data),
        "sizes": config.sizes,
        "layers": [component(*layer) for layer in _layers(config)],
        "weights": component(*others["weights"]),
        "optimizer": component(*others["optimizer"]),
        "learning_rate": component(*others["learning_rate"]),
        "loss": component(*others["loss"]),
        "train": _train(config),
        "seed": config.seed,
        "numerics": resolve_mode(config.numerics.mode, config.backend.name),
    }
    if config.data.task != "classification":
        canonical["task"] = config.data.task
    if config.backend.name != "numpy":
        device = resolve_device(config.backend.name, config.backend.device)
        canonical["backend"] = {"name": config.backend.name, "device": device}
    if modules:
        canonical["imports"] = {name: digest(found) for name, found in modules.items()}
    return canonical


def named_components(config: Config) -> list[Callable[..., Any]]:
    """The components that a configuration names, including those inside others: classes or functions."""
    specified = [*_layers(config), *_other_components(config).values()]
    return [component for registry, text in specified for component in registry.named(text)]


def components_in_strings(files: Iterable[Path]) -> list[Callable[..., Any]]:
    """The components of the engine that strings in source files name, as in `parse_optimizer("Adam")`."""
    registries: tuple[Registry[Any], ...] = (ACTIVATIONS, LAYERS, INITIALIZERS, OPTIMIZERS, LEARNING_RATES, LOSSES)
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_bytes()))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    found = []
    for text in sorted(texts):
        for registry in registries:
            with suppress(NervaError):  # most strings are no specifications
                found += registry.named(text)
    return found


def _layers(config: Config) -> list[tuple[Registry[Any], str]]:
    """The registry and the specification of each layer."""
    return [(layer_registry(layer), layer) for layer in config.model.layers]


def _other_components(config: Config) -> dict[str, tuple[Registry[Any], str]]:
    """The registry and the specification of each component that is not a layer."""
    return {
        "weights": (INITIALIZERS, config.model.weights),
        "optimizer": (OPTIMIZERS, specification(config.optimizer)),
        "learning_rate": (LEARNING_RATES, specification(config.learning_rate)),
        "loss": (LOSSES, specification(config.loss)),
    }


def _train(config: Config) -> dict[str, Any]:
    """The training loop. Defaults of newer keys are left out, so that earlier runs keep their form."""
    train = dataclasses.asdict(config.train)
    if train["evaluate_training"] == 1:
        del train["evaluate_training"]
    train["metric"] = metric_of(config).name
    if train["metric"] == f"validation_{SCORES[config.data.task]}":
        del train["metric"]
    if config.train.stop.patience:
        train["stop"]["metric"] = stop_metric_of(config).name
        train["stop"]["min_delta"] = float(config.train.stop.min_delta)
    else:
        del train["stop"]
    return train


def _data(data: Dataset) -> CanonicalData:
    determined: CanonicalData = {"checksum": data.checksum, "validation": data.validation}
    if not data.sha256:
        # The checksum is that of raw files, so that the code which prepares them counts as well.
        determined["source"] = data.source
        determined["train"] = without_steps(data).train
        determined["test"] = data.test
        determined["preparation"] = {file.stem: fingerprint(file.read_bytes()) for file in PREPARATION}
    steps, target_steps = used(data)
    if steps:
        determined["steps"] = steps
    if target_steps:
        determined["target_steps"] = target_steps
    if steps or target_steps:
        code = {STEPS.stem: fingerprint(STEPS.read_bytes())}
        determined["preparation"] = determined.get("preparation", {}) | code
    return determined


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result.update(flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return result
