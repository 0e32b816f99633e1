"""Interrupted runs are resumed, and end with the bits of uninterrupted runs."""

import contextlib
import dataclasses
import functools
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nerva.activation_functions import ACTIVATIONS
from nerva.datasets import DataLoader
from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.identify import identify
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run import train as train_module
from nerva.experiment.run.build import Training
from nerva.experiment.run.checkpoint import Checkpoint
from nerva.experiment.run.environment import determining_environment
from nerva.experiment.run.signals import Interrupted
from nerva.layers import LAYERS, Layer, has_weights
from nerva.learning_rate import LEARNING_RATES, LearningRateScheduler, parse_learning_rate
from nerva.loss_functions import LOSSES, parse_loss_function
from nerva.multilayer_perceptron import parse_multilayer_perceptron
from nerva.optimizers import OPTIMIZERS, MomentumOptimizer
from nerva.training_table import table_row
from nerva.utilities import load_dict_from_npz
from tests.helpers import assert_same_results, configured


def run(config: Config, overrides: Sequence[str]) -> RunFolder:
    """Train in this process, even if the run has user-defined modules: the tests interrupt runs here."""
    identity = identify(config)
    folder = RunFolder.of(config.results_dir, identity.run_id)
    train_module.train(config, identity, overrides, folder)
    return folder


EVERYTHING = (
    "model.hidden=[12,9]",
    "model.layers=['Dropout(0.3)',SReLU,BatchNormalization,ReLU,Linear]",
    "train.epochs=4",
    "learning_rate=exponential",
)


class CrashError(Exception):
    """The process ends here, as if it were killed."""


@pytest.fixture
def elsewhere(tmp_path):
    """Train the same run without interruption, in another folder."""
    return lambda *overrides: run(configured(*overrides, f"results_dir={tmp_path}/whole"), [])


def interrupted(monkeypatch, epoch: int, *overrides: str) -> None:
    """Start a run, and interrupt it after an epoch."""
    save = Checkpoint.save

    def saved(self, *arguments) -> None:
        save(self, *arguments)
        if len(self.t.records) == epoch + 1:
            raise Interrupted(2)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", saved)
        patch.setattr(train_module, "_PAUSE", 0)
        with pytest.raises(Interrupted):
            run(configured(*overrides), [])


def test_a_crash_at_every_write(monkeypatch, elsewhere) -> None:
    """The process is killed immediately before or after any file is moved into its place."""
    whole = elsewhere(*EVERYTHING)
    replace, written = Path.replace, 0
    crashes = 0
    for after in (False, True):
        for place in range(1000):
            written = 0

            def crashing(self, target, place=place, after=after):
                nonlocal written
                written += 1
                if written == place + 1 and not after:
                    raise CrashError
                result = replace(self, target)
                if written == place + 1 and after:
                    raise CrashError
                return result

            with monkeypatch.context() as patch:
                patch.setattr(Path, "replace", crashing)
                try:
                    folder = run(configured(*EVERYTHING), [])
                    break
                except CrashError:
                    crashes += 1
        assert_same_results(folder, whole)
        for path in folder.path.iterdir():
            path.unlink()
    # Each attempt comes one write further than the last; there are two or three per epoch.
    assert crashes > 10


def test_an_interruption_after_every_epoch(monkeypatch, elsewhere, caplog) -> None:
    caplog.set_level(logging.INFO)
    for epoch in range(4):
        interrupted(monkeypatch, epoch, *EVERYTHING)
    folder = run(configured(*EVERYTHING), [])
    assert_same_results(folder, elsewhere(*EVERYTHING))
    assert [entry.after_epoch for entry in folder.read_record().continued] == [0, 1, 2, 3]
    assert "resuming after epoch 3" in caplog.text
    # Each epoch is in the log once.
    lines = [line.split("|")[0].split()[-1] for line in folder.log.read_text().splitlines() if line.count("|") == 6]
    assert lines == ["epoch", "0", "1", "2", "3", "4"]


def test_an_interruption_where_the_training_set_is_not_evaluated(monkeypatch, elsewhere) -> None:
    overrides = ("train.epochs=5", "train.evaluate_training=2", "model.hidden=[8]")
    for epoch in range(5):
        interrupted(monkeypatch, epoch, *overrides)
    folder, whole = run(configured(*overrides), []), elsewhere(*overrides)
    assert_same_results(folder, whole)
    rows = folder.read_metrics()
    assert [row["epoch"] for row in rows if not math.isnan(row["train_loss"])] == [0, 2, 4, 5]
    assert not any(math.isnan(row[name]) for row in rows for name in row if not name.startswith("train_"))
    every_epoch = elsewhere("train.epochs=5", "model.hidden=[8]")
    assert every_epoch.run_id != folder.run_id
    assert every_epoch.read_record().weights == whole.read_record().weights


COMPONENTS = """
from nerva.learning_rate import LEARNING_RATES, LearningRateScheduler
from nerva.optimizers import OPTIMIZERS, GradientDescentOptimizer

class Compounding(LearningRateScheduler):
    "Its learning rates depend on the number of calls, not on the epoch."
    state = ("lr",)
    def __init__(self, lr: float):
        self.lr = lr
    def __call__(self, epoch):
        self.lr *= 0.9
        return self.lr
    def __repr__(self):
        return "Compounding"

class Counting(GradientDescentOptimizer):
    {STATE}
    def __init__(self, x, Dx):
        super().__init__(x, Dx)
        self.count = 0
    def update(self, eta):
        self.count += 1
        super().update(eta / self.count)
    def __repr__(self):
        return "Counting"

LEARNING_RATES.add("Compounding", Compounding)
OPTIMIZERS.add("Counting", Counting)
"""


@pytest.fixture
def components(tmp_path) -> Iterator[Callable[[str], tuple[str, ...]]]:
    """Write a module with user-defined components, one of which declares its state in a given line."""

    def write(state: str) -> tuple[str, ...]:
        (tmp_path / "own.py").write_text(COMPONENTS.replace("{STATE}", state))
        names = ("learning_rate={name:Compounding,lr:0.1}", "optimizer=gradient_descent", "optimizer.name=Counting")
        return ("imports=[own]", "train.epochs=4", *names)

    yield write
    sys.modules.pop("own", None)
    LEARNING_RATES.components.pop("Compounding", None)
    OPTIMIZERS.components.pop("Counting", None)


@pytest.mark.parametrize("state", ['state = ("count",)', 'state = ("count")'])
def test_a_run_with_user_defined_components_is_resumed(monkeypatch, elsewhere, components, state: str) -> None:
    overrides = components(state)
    interrupted(monkeypatch, 2, *overrides)
    assert_same_results(run(configured(*overrides), []), elsewhere(*overrides))


def test_short_epochs_share_a_checkpoint(monkeypatch) -> None:
    written = []
    save = Checkpoint.save

    def saved(self, *arguments) -> None:
        written.append(len(self.t.records))
        save(self, *arguments)

    monkeypatch.setattr(Checkpoint, "save", saved)
    monkeypatch.setattr(train_module, "_PAUSE", 1e9)
    folder = run(configured("train.epochs=5"), [])
    assert written == [1]
    assert len(folder.metrics.read_text().splitlines()) == 7  # the names of the columns, and epochs 0 to 5


def test_a_run_with_undeclared_state_says_that_it_cannot_be_resumed(monkeypatch, elsewhere, components, caplog) -> None:
    caplog.set_level(logging.INFO)
    overrides = components("")
    checkpoints: list[bool] = []
    save = train_module._Progress.save

    def saved(progress) -> None:
        save(progress)
        checkpoints.append(progress.folder.checkpoint.exists())
        if len(checkpoints) == 4:
            raise Interrupted(2)

    with monkeypatch.context() as patch:
        patch.setattr(train_module._Progress, "save", saved)
        patch.setattr(train_module, "_PAUSE", 0)
        with pytest.raises(Interrupted):
            run(configured(*overrides), [])
    # Before the first epoch, nothing has changed yet.
    assert checkpoints == [True, False, False, False]
    message = "restarts from scratch: training changes Counting.count, which is not declared in `state`"
    assert caplog.text.count(message) == 1
    assert "interrupted after no epoch; the same command restarts from scratch" in caplog.text
    folder = run(configured(*overrides), [])
    assert_same_results(folder, elsewhere(*overrides))
    assert folder.read_record().continued == []


def test_a_checkpoint_that_is_damaged_or_from_another_environment_is_not_used(monkeypatch, elsewhere, caplog) -> None:
    whole = elsewhere("train.epochs=4")
    interrupted(monkeypatch, 2, "train.epochs=4")
    (path,) = Path("results").glob("runs/*/checkpoint.npz")
    path.write_bytes(path.read_bytes()[:-100])
    folder = run(configured("train.epochs=4"), [])
    assert "restarts from scratch, because its checkpoint can't be used" in folder.log.read_text()
    assert_same_results(folder, whole)

    folder.record.unlink()
    with monkeypatch.context() as patch:
        environment = determining_environment() | {"kernel": "other"}
        patch.setattr(train_module, "determining_environment", lambda: environment)
        interrupted(patch, 2, "train.epochs=4")
    folder = run(configured("train.epochs=4"), [])
    assert "kernel was other" in folder.log.read_text()
    assert_same_results(folder, whole)
    assert folder.read_record().continued == []


def test_force_trains_a_run_again(caplog) -> None:
    caplog.set_level(logging.INFO)
    folder = run(configured(), [])
    first = folder.record.stat().st_mtime_ns
    weights = folder.weights.read_bytes()
    assert run(configured("force=true"), []).path == folder.path
    assert folder.record.stat().st_mtime_ns > first
    assert folder.weights.read_bytes() == weights
    assert "already exists" not in caplog.text


# What follows is without a run folder: a checkpoint of a small training.

OPTIMIZER_SPECIFICATIONS = [
    "GradientDescent",
    "Momentum(0.9)",
    "Nesterov(0.8)",
    "Adam",
    "AdamW",
    "RMSProp",
    "WeightDecay(Momentum(0.9), 0.001)",
    "ClipNorm(WeightDecay(Adam, 0.001), 0.5)",
]
LAYER_SPECIFICATIONS = [
    *("Linear", "Softmax", "LogSoftmax", "BatchNormalization", "BatchNormalization(0.1)", "Dropout(0.3)", "ReLU"),
    *("LeakyReLU(0.1)", "AllReLU(0.1)", "HyperbolicTangent", "Sigmoid", "SReLU", "ELU", "GELU", "SiLU", "Softplus"),
]
SCHEDULES = [
    *("TimeBased(0.1, 0.1)", "StepBased(0.1, 0.5, 1)", "MultiStepLR(0.1; 1,2; 0.5)", "Exponential(0.1, 0.1)"),
    *("Cosine(0.1, 3)", "WarmUp(Constant(0.1), 2)", "Constant(0.1)"),
]
EPOCHS = 3


def test_every_component_is_tried() -> None:
    tried = {text.partition("(")[0] for text in (*OPTIMIZER_SPECIFICATIONS, *LAYER_SPECIFICATIONS, *SCHEDULES)}
    registries = (OPTIMIZERS, LAYERS, ACTIVATIONS, LEARNING_RATES)
    assert tried >= {name for registry in registries for name in registry.components} - USER_DEFINED


def training(
    layers: list[str] | None = None,
    optimizer: str = "Momentum(0.9)",
    learning_rate: str | LearningRateScheduler = "Constant(0.01)",
    loss: str = "SoftmaxCrossEntropy",
) -> Training:
    """A small training that was just built."""
    layers = [*(["ReLU"] if layers is None else layers), "Linear"]
    sizes = [8, *[6] * (sum(map(has_weights, layers)) - 1), 3]
    trained = [layer for layer in layers if not layer.startswith("Dropout")]
    initializers = ["XavierNormal"] * (len(sizes) - 1)
    M = parse_multilayer_perceptron(layers, sizes, [optimizer] * len(trained), initializers, np.random.default_rng(1))
    rng = np.random.default_rng(0)
    X, T = rng.random((40, 8), dtype=np.float32), rng.integers(0, 3, 40)
    return Training(
        M,
        parse_loss_function(loss),
        parse_learning_rate(learning_rate) if isinstance(learning_rate, str) else learning_rate,
        DataLoader(X[:25], T[:25], 10, 3, np.random.default_rng(2)),
        *(DataLoader(X[part], T[part], 10, 3) for part in (slice(25), slice(25, 32), slice(32, None))),
    )


def results(t: Training) -> list[Any]:
    """Everything that a training has led to, without times."""
    records = [repr(dataclasses.replace(record, seconds=0)) for record in t.records]
    weights = [{name: x.tobytes() for name, x in arrays.items()} for arrays in (t.M.to_dict(), t.best_weights)]
    return [records, t.best and t.best.epoch, *weights]


def trained(t: Training) -> Training:
    """A training, after its last epoch."""
    with np.errstate(all="ignore"):
        for _ in t.epochs(EPOCHS):
            pass
    return t


def saved(path: Path, t: Training, epoch: int, modules: Set[str] = frozenset()) -> Training:
    """A training after an epoch, with a checkpoint."""
    checkpoint = Checkpoint(path, t, {"kernel": "any"}, modules)
    with np.errstate(all="ignore"):
        for record in t.epochs(EPOCHS):
            checkpoint.save(1.0, [2.0] * len(t.records), [])
            if record.epoch == epoch:
                break
    return t


def resumed(path: Path, t: Training) -> Training:
    """A training that was just built, after its checkpoint was restored."""
    assert Checkpoint(path, t, {"kernel": "any"}).restore() == (1.0, [2.0] * len(t.records), [])
    return t


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_metric_may_be_missing_only_where_the_training_set_is_not_evaluated(tmp_path: Path, epoch: int) -> None:
    path, t, after = tmp_path / "c.npz", training(), training()
    t.evaluate_training = after.evaluate_training = 2
    saved(path, t, 2)
    t.records[epoch] = dataclasses.replace(t.records[epoch], train_loss=None, train_accuracy=None)
    checkpoint = Checkpoint(path, t, {"kernel": "any"})
    checkpoint.save(1.0, [2.0] * len(t.records), [])
    if epoch == 1:
        resumed(path, after)
    else:
        with pytest.raises(NervaError, match="its records are not those of epochs"):
            Checkpoint(path, after, {"kernel": "any"}).restore()


def assert_resumable(path: Path, make: Callable[[], Training]) -> None:
    """Assert that a training has the same results, whatever epoch it is interrupted after."""
    expected = results(trained(make()))
    for epoch in range(EPOCHS):
        interrupted = saved(path, make(), epoch)
        t = resumed(path, make())
        assert results(t) == results(interrupted)
        assert results(trained(t)) == expected


@pytest.mark.parametrize("optimizer", OPTIMIZER_SPECIFICATIONS)
@pytest.mark.parametrize("layer", LAYER_SPECIFICATIONS)
def test_every_layer_with_every_optimizer(tmp_path, layer: str, optimizer: str) -> None:
    assert_resumable(tmp_path / "c.npz", lambda: training([layer, "ReLU", layer], optimizer))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule(tmp_path, schedule: str) -> None:
    assert_resumable(tmp_path / "c.npz", lambda: training(learning_rate=schedule))


@pytest.mark.parametrize("loss", LOSSES.components)
def test_every_loss(tmp_path, loss: str) -> None:
    """Those that take probabilities diverge at once: then there is nothing to train after the interruption either."""
    assert_resumable(tmp_path / "c.npz", lambda: training(loss=loss))


class Compounding(LearningRateScheduler):
    """The learning rate depends on the earlier calls."""

    state = ("lr", "history", "rng")

    def __init__(self, bits: type[np.random.BitGenerator]) -> None:
        self.lr: Any = 0.1
        self.history: list[float] = []
        self.rng = np.random.Generator(bits(5))
        self.rng.integers(9, dtype=np.int32)  # half of 64 bits is left

    def __call__(self, epoch: int) -> float:
        self.history.append(float(self.lr))
        self.lr = np.float64(self.lr * 0.9 * self.rng.uniform(0.5, 1))
        return float(self.lr)


class Inner:
    """Not of the engine's classes: a component because of its state."""

    state = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Counting(MomentumOptimizer):
    """The step size depends on the number of steps, and on an average that is created in the first step."""

    state = ("average", "scale", "inner", "notes", "later")
    caches = ("last",)

    def __init__(self, x: Any, Dx: Any) -> None:
        super().__init__(x, Dx, 0.5)
        self.average: Any = None
        self.scale = np.float32(1)
        self.inner = [Inner()]
        self.notes: dict[str, Any] = {}
        self.last: Any = None

    def update(self, eta: float) -> None:
        self.last = self.Dx
        self.inner[0].count += 1
        self.scale = self.scale * np.float32(0.99)
        self.notes["steps"] = [self.inner[0].count, None, True, "text", float("inf")]
        self.average = self.Dx.copy() if self.average is None else self.average + self.Dx
        self.later = 1 + getattr(self, "later", 0)
        super().update(eta * float(self.scale) * float(np.abs(self.average).max()) / self.inner[0].count / self.later)


class Tied(Layer):
    """Both names stand for the same array, and its first row belongs to it."""

    parameters = ("W",)
    state = ("same", "row")

    def __init__(self, D: int) -> None:
        super().__init__()
        self.W = self.same = np.full((2, D), 1, np.float32)
        self.row = self.W[0]
        self.DW = np.zeros((2, D), np.float32)

    def feedforward(self, X: Any) -> Any:
        self.X = X
        self.row *= np.float32(0.99)
        return X * self.same.sum(axis=0)

    def backpropagate(self, Y: Any, DY: Any) -> None:
        self.DW = np.tile((DY * self.X).sum(axis=0), (2, 1))
        self.DX = DY * self.W.sum(axis=0)

    def input_size(self) -> int:
        return int(self.W.shape[1])

    output_size = input_size

    def __repr__(self) -> str:
        return "Tied"


USER_DEFINED = {"Counting", "Tied"}


@pytest.fixture
def registered() -> Iterator[None]:
    OPTIMIZERS.add("Counting", Counting)
    LAYERS.add("Tied", Tied)
    yield
    del OPTIMIZERS.components["Counting"], LAYERS.components["Tied"]


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_user_defined_components(tmp_path, registered, bits: str) -> None:
    def make() -> Training:
        return training(["Tied", "ReLU"], "Counting", Compounding(getattr(np.random, bits)))

    assert_resumable(tmp_path / "c.npz", make)
    t = resumed(tmp_path / "c.npz", make())
    tied = t.M.layers[0]
    assert tied.same is tied.W
    assert np.shares_memory(tied.row, tied.W)
    assert type(t.learning_rate.lr) is np.float64
    assert len(t.learning_rate.history) == 3
    (optimizer,) = tied.optimizer.optimizers
    assert (type(optimizer.scale), optimizer.inner[0].count, optimizer.later) == (np.float32, 6, 6)


def test_a_component_is_not_resumed_as_another(tmp_path) -> None:
    path = tmp_path / "c.npz"
    saved(path, training(), 1)
    for other, message in (
        (training(optimizer="Adam"), r"c\.npz is not a checkpoint of this run: it has"),
        (training(["ReLU", "ReLU"]), "this run: it "),
        (training(["SReLU"]), "this run: it "),
    ):
        with pytest.raises(NervaError, match=message):
            Checkpoint(path, other, {"kernel": "any"}).restore()
    with pytest.raises(NervaError, match="this run: kernel was any, and is another"):
        Checkpoint(path, training(), {"kernel": "another"}).restore()


def counting() -> Callable[[int], float]:
    count = 0

    def step(epoch: int) -> float:
        nonlocal count
        count += 1
        return 0.1 / count

    return step


class Undeclared(MomentumOptimizer):
    """What it changes is given by the test."""

    __slots__ = ("slot",)

    def __init__(self, x: Any, Dx: Any) -> None:
        super().__init__(x, Dx, 0.5)
        self.value: Any = None
        self.helper = [Helper()]
        self.slot = 0
        self.cycle: list[Any] = [self]
        self.cycle.append(self.cycle)
        self.function = functools.partial(max, 1)
        self.lock: Any = None

    def update(self, eta: float) -> None:
        super().update(eta)
        change(self)


class Helper:
    count = 0


class Declared(Undeclared):
    state = ("value", "slot")


def change(optimizer: Any) -> None:
    """Replaced by the tests."""


CHANGES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda o: None,
    "value": lambda o: setattr(o, "value", [1]),
    "new": lambda o: setattr(o, "new", 1),
    "helper": lambda o: setattr(o.helper[0], "count", 1),
    "slot": lambda o: setattr(o, "slot", 1),
    "cycle": lambda o: o.cycle.append(1),
    "function": lambda o: setattr(o, "function", functools.partial(max, 2)),
    "delta_x": lambda o: setattr(o, "delta_x", o.delta_x.astype(np.float64)),
    "mu": lambda o: setattr(o, "mu", 0.4),
}


@pytest.mark.parametrize("name", CHANGES)
def test_undeclared_state_is_found(tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.setitem(OPTIMIZERS.components, "Undeclared", Undeclared)
    monkeypatch.setitem(globals(), "change", CHANGES[name])
    path = tmp_path / "c.npz"
    if name == "nothing":
        assert_resumable(path, lambda: training(optimizer="Undeclared"))
        return
    with pytest.raises(NervaError, match=rf"Undeclared\.{name}"):
        saved(path, training(optimizer="Undeclared"), 1)
    assert not path.exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1}, "value is a set, which a checkpoint can't hold"),
        ([(1, 2)], "value is a list, which a checkpoint can't hold"),
        ({1: 2}, "value is a dict, which a checkpoint can't hold"),
        (np.array([object()]), "value is a ndarray, which a checkpoint can't hold"),
        (b"bytes", "value is a bytes, which a checkpoint can't hold"),
        (2**64, "value is a int, which a checkpoint can't hold"),
        (np.random.default_rng(1), "value was None when it was built, and is a generator with PCG64"),
    ],
)
def test_declared_state_that_a_checkpoint_cannot_hold(tmp_path, monkeypatch, value: Any, message: str) -> None:
    monkeypatch.setitem(OPTIMIZERS.components, "Declared", Declared)
    monkeypatch.setitem(globals(), "change", lambda o: setattr(o, "value", value))
    with pytest.raises(NervaError, match=rf"Declared\.{message}"):
        saved(tmp_path / "c.npz", training(optimizer="Declared"), 1)


def test_arrays_that_training_makes_share_memory(tmp_path, monkeypatch) -> None:
    """Their values would be restored, but a later change of one of them would no longer change the other."""
    monkeypatch.setitem(OPTIMIZERS.components, "Declared", Declared)
    for shared in (lambda o: o.x, lambda o: o.delta_x[:1], lambda o: o.Dx):
        monkeypatch.setitem(globals(), "change", lambda o, shared=shared: setattr(o, "value", shared(o)))
        with pytest.raises(NervaError, match=r"Declared\.value was None .* that shares its memory with layers\.0\."):
            saved(tmp_path / "c.npz", training(optimizer="Declared"), 1)


def test_functions_and_types_that_cannot_be_examined(tmp_path, monkeypatch) -> None:
    path = tmp_path / "c.npz"
    with pytest.raises(NervaError, match="training may change learning_rate, which is not declared in `state`"):
        saved(path, training(learning_rate=counting()), 1)
    monkeypatch.setitem(OPTIMIZERS.components, "Undeclared", Undeclared)
    monkeypatch.setitem(globals(), "change", lambda o: setattr(o, "lock", (x for x in ())))
    with pytest.raises(NervaError, match=r"training may change Undeclared\.lock, .* can't be checked"):
        saved(path, training(optimizer="Undeclared"), 1)


def test_files_that_are_not_checkpoints(tmp_path) -> None:
    """Damaged files, files of earlier versions, and files in which something was changed."""
    path = tmp_path / "c.npz"

    def make() -> Training:
        return training(["BatchNormalization(0.1)", "Dropout(0.5)"], "Adam")

    def refused(message: str) -> None:
        with pytest.raises(NervaError, match=rf"c\.npz is not .*{message}"):
            Checkpoint(path, make(), {"kernel": "any"}).restore()

    saved(path, make(), 1)
    data, arrays = path.read_bytes(), load_dict_from_npz(path)
    for size in (0, 3, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        refused("a readable .npz file")
    np.savez(path, tree=np.array("[{}, []]"), **{"0": np.zeros(3)})
    refused("a checkpoint of this run: it has no json, so another version of nerva wrote it")
    for name, array in arrays.items():
        np.savez(path, **{key: x for key, x in arrays.items() if key != name})
        refused("the weights of the best epoch" if name.startswith("best") else name)
        for other in (np.zeros(5), np.zeros(()), np.zeros((0, 3)), array.astype("S3"), np.full_like(array, 1, "f2")):
            np.savez(path, **arrays | {name: other})
            refused("" if name == "json" else name)
    np.savez(path, **arrays | {"layers.0.W": np.zeros(3)})
    refused(r"it has layers\.0\.W")
    np.savez(path, **arrays | {"json": np.frombuffer(b"[" * 100000, np.uint8)})
    refused("a checkpoint of this run: maximum recursion depth")


def test_each_value_in_the_json_of_a_checkpoint_is_checked(tmp_path) -> None:
    path = tmp_path / "c.npz"
    saved(path, training([], "Adam"), 1)
    arrays = load_dict_from_npz(path)
    text = arrays["json"].tobytes()
    for place in places(json.loads(text)):
        for other in (None, "text", -1, 0.0, 1e300, 10**400, [], {}, [[]], {"a": 1}):
            content = json.loads(text)
            around = functools.reduce(lambda part, key: part[key], place[:-1], content)
            before, around[place[-1]] = around[place[-1]], other
            np.savez(path, **arrays | {"json": np.frombuffer(json.dumps(content).encode(), np.uint8)})
            checkpoint = Checkpoint(path, training([], "Adam"), {"kernel": "any"})
            if type(before) in (int, float) and type(other) in (int, float):
                # Not every number can be told from another.
                with contextlib.suppress(NervaError):
                    checkpoint.restore()
                    trained(checkpoint.t)
                    list(map(table_row, checkpoint.t.records))
            elif before != other:
                with pytest.raises(NervaError, match=r"c\.npz is not a checkpoint of this run: "):
                    checkpoint.restore()


def places(value: Any, *place: Any) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value in JSON."""
    if place:
        yield place
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[key], *place, key)
