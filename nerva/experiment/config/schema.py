"""The types behind `conf/`. Their ranges are checked in `validation`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerva.data.description import Dataset


@dataclass
class Model:
    """The layers between the inputs and the outputs. The dataset gives the number of both."""

    hidden: list[int] = field(default_factory=list)  # the sizes of the hidden layers
    layers: list[str] = field(default_factory=list)  # a specification for each layer, including the output layer
    weights: str = ""  # the specification of the initial weights


@dataclass
class Stop:
    """Early stopping: a run ends when its metric has not improved by more than `min_delta` for `patience` epochs."""

    metric: str = ""  # "" is train.metric
    patience: int = 0  # epochs; 0: no early stopping
    min_delta: float = 0.0


@dataclass
class Train:
    """The training loop. All of it is part of a run's identity."""

    epochs: int = 1
    batch_size: int = 1
    evaluation_batch_size: int = 1  # it changes the last bits of a metric
    evaluate_training: int = 1  # the training set is evaluated every so many epochs, and after the last one
    metric: str = ""  # by which epochs and runs are compared; "" is the metric of the task: see `metric_of`
    stop: Stop = field(default_factory=Stop)


@dataclass
class Backend:
    """The library that computes a run, and its device; see `nerva.backends`."""

    name: str = "numpy"
    device: str = "cpu"  # auto, cpu or gpu


@dataclass
class Numerics:
    """Which kernels compute a run; see `nerva.experiment.config.numerics`."""

    mode: str = "auto"


@dataclass
class Tracking:
    """Where runs are logged."""

    enabled: bool = True
    uri: str = ""
    models: str = "best"  # the runs whose model and pictures are logged: all, best or none


@dataclass
class Sweep:
    """The sweep that a run is a point of. A run that was started alone has none, and both are empty."""

    id: str = ""
    name: str = ""


@dataclass
class Config:
    """The configuration of a run.

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
    imports: list[str] = field(default_factory=list)  # user-defined modules that register components
    backend: Backend = field(default_factory=Backend)
    numerics: Numerics = field(default_factory=Numerics)
    force: bool = False  # whether a run that already exists is trained again
    tracking: Tracking = field(default_factory=Tracking)
    experiment_name: str = ""
    question: str = ""  # the question that the experiment asks
    sweep: Sweep = field(default_factory=Sweep)
    objective: str = ""  # what a search optimizes: see `nerva.experiment.config.objective`
    direction: str = ""  # maximize or minimize; "" is the direction of the objective
    results_dir: str = ""

    @property
    def data_dir(self) -> Path:
        """The folder of the prepared datasets."""
        return Path(self.results_dir) / "data"

    @property
    def title(self) -> str:
        """The dataset and the experiment, `mnist-quick`: the name of MLflow's experiment and of the results' folder."""
        return f"{self.data.name}-{self.experiment_name}"

    @property
    def sizes(self) -> list[int]:
        """The number of inputs, followed by the number of outputs of each layer with weights."""
        return [self.data.features, *self.model.hidden, self.data.outputs]


@dataclass
class SweepRequest(Sweep):
    """How the points of a sweep differ from a grid; see `nerva.experiment.sweep.expansion`."""

    zip: list[Any] = field(default_factory=list)  # lists of swept keys whose values go together
    where: str = ""  # an expression of the configuration; points that do not satisfy it are left out
    grids: list[Any] = field(default_factory=list)  # dictionaries: the values of each key


@dataclass
class Request(Config):
    """What `conf/` and overrides describe: the configuration of a run, and which points a sweep has."""

    sweep: SweepRequest = field(default_factory=SweepRequest)
    seeds: int = 0  # the number of seeds of each point; 0: only its own


def specification(component: dict[str, Any]) -> str:
    """The specification of a component, as the engine's parsers read it: `Momentum(mu=0.9)`."""

    def text(value: Any) -> str:
        return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)

    arguments = ", ".join(f"{key}={text(value)}" for key, value in component.items() if key != "name")
    return f"{component.get('name', '')}({arguments})" if arguments else str(component.get("name", ""))
