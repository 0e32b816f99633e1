"""Interrupted runs go on, and end with the bits of uninterrupted ones."""

import functools
import itertools
import json
import logging
import random
from pathlib import Path

import numpy as np
import pytest

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run import checkpoint
from nerva.experiment.run import train as run_module
from nerva.experiment.run.signals import Interrupted
from nerva.utilities import load_dict_from_npz
from tests.helpers import configured

# Within this process, also if modules are imported: it is here that runs are interrupted.
run = functools.partial(run_module.run, own_process=True)

EVERYTHING = (
    "model.hidden=[12,9]",
    "model.layers=['Dropout(0.3)',SReLU,BatchNormalization,ReLU,Linear]",
    "train.epochs=4",
    "learning_rate=exponential",
)


class CrashError(Exception):
    """The process ends here, as if it had been killed."""


def figures(folder: RunFolder) -> list[dict[str, float]]:
    """The metrics, but for times."""
    return [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in folder.read_metrics()]


def assert_same(folder: RunFolder, whole: RunFolder) -> None:
    assert figures(folder) == figures(whole)
    assert folder.weights.read_bytes() == whole.weights.read_bytes()
    assert folder.best.read_bytes() == whole.best.read_bytes()
    a, b = folder.read_summary(), whole.read_summary()
    assert all(a[key] == b[key] for key in ("status", "reason", "best", "last", "weights"))
    assert not folder.checkpoint.exists()
    assert not list(folder.path.glob(".*"))


@pytest.fixture
def elsewhere(tmp_path):
    """The same runs in another folder, uninterrupted."""
    return lambda *overrides: run(configured(*overrides, f"results_dir={tmp_path}/whole"), [])


def interrupted(monkeypatch, epoch: int, *overrides: str) -> None:
    """Begins a run, and interrupts it at the end of an epoch."""
    save = checkpoint.save

    def saved(path, state, environment) -> None:
        save(path, state, environment)
        if len(state["records"]) == epoch + 1:
            raise Interrupted(2)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", saved)
        with pytest.raises(Interrupted):
            run(configured(*overrides), [])


def test_a_crash_at_every_write(monkeypatch, elsewhere) -> None:
    """Whatever file was being written when the process was killed: before it is in its place, and after."""
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
        assert_same(folder, whole)
        for path in folder.path.iterdir():
            path.unlink()
    # Each attempt came one write further than the last; there are two or three an epoch.
    assert crashes > 10


def test_a_crash_in_every_epoch_and_the_times_that_are_left(monkeypatch, elsewhere, caplog) -> None:
    caplog.set_level(logging.INFO)
    for epoch in range(4):
        interrupted(monkeypatch, epoch, *EVERYTHING)
    folder = run(configured(*EVERYTHING), [])
    assert_same(folder, elsewhere(*EVERYTHING))
    assert [entry["after_epoch"] for entry in folder.read_summary()["continued"]] == [0, 1, 2, 3]
    assert "going on after epoch 3" in caplog.text
    # The log has each epoch once.
    lines = [line.split("|")[0].split()[-1] for line in folder.log.read_text().splitlines() if line.count("|") == 6]
    assert lines == ["epoch", "0", "1", "2", "3", "4"]


OPTIMIZERS = {
    "Nesterov": ["+optimizer.mu=0.8"],
    "Adam": [],
    "AdamW": [],
    "RMSProp": [],
    "WeightDecay": ["+optimizer.optimizer='Momentum(0.9)'", "+optimizer.decay=0.001"],
    "ClipNorm": ["+optimizer.optimizer='Momentum(0.9)'", "+optimizer.norm=0.5"],
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on(monkeypatch, elsewhere, name: str) -> None:
    overrides = ("optimizer=gradient_descent", f"optimizer.name={name}", *OPTIMIZERS[name])
    interrupted(monkeypatch, 1, *overrides)
    assert_same(run(configured(*overrides), []), elsewhere(*overrides))


COMPONENTS = """
from nerva.learning_rate import LEARNING_RATES, LearningRateScheduler
from nerva.optimizers import OPTIMIZERS, GradientDescentOptimizer

class Compounding(LearningRateScheduler):
    "Each call gives less: it has a state that no epoch number tells."
    def __init__(self, lr: float):
        self.lr = lr
        self.history = []
    def __call__(self, epoch):
        self.history.append(self.lr)
        self.lr *= 0.9
        return self.lr
    def __repr__(self):
        return "Compounding"

class Counting(GradientDescentOptimizer):
    def __init__(self, x, Dx):
        super().__init__(x, Dx)
        self.count = 0
        self.kept = {KEPT}
    def update(self, eta):
        self.count += 1
        super().update(eta / self.count)
    def __repr__(self):
        return "Counting"

LEARNING_RATES.add("Compounding", Compounding)
OPTIMIZERS.add("Counting", Counting)
"""


@pytest.fixture
def components(tmp_path, monkeypatch):
    """Components of one's own, with a state of their own."""
    import sys

    from nerva.learning_rate import LEARNING_RATES
    from nerva.optimizers import OPTIMIZERS

    def write(kept: str) -> tuple[str, ...]:
        (tmp_path / "own.py").write_text(COMPONENTS.replace("{KEPT}", kept))
        names = ("learning_rate={name:Compounding,lr:0.1}", "optimizer=gradient_descent", "optimizer.name=Counting")
        return ("imports=[own]", "train.epochs=4", *names)

    yield write
    sys.modules.pop("own", None)
    LEARNING_RATES.components.pop("Compounding", None)
    OPTIMIZERS.components.pop("Counting", None)


def test_components_of_ones_own_go_on(monkeypatch, elsewhere, components) -> None:
    overrides = components("None")
    interrupted(monkeypatch, 2, *overrides)
    assert_same(run(configured(*overrides), []), elsewhere(*overrides))


def test_a_state_that_cannot_be_written_is_told_and_the_run_begins_anew(elsewhere, components, caplog) -> None:
    overrides = components("{1, 2}")
    folder = run(configured(*overrides), [])
    assert "if this run is interrupted, it begins anew" in caplog.text
    assert "kept is a set, which a checkpoint can't hold" in caplog.text
    assert folder.is_whole()


def test_a_checkpoint_that_is_damaged_or_from_elsewhere_is_not_used(monkeypatch, elsewhere, caplog) -> None:
    whole = elsewhere("train.epochs=4")
    interrupted(monkeypatch, 2, "train.epochs=4")
    (path,) = Path("results").glob("runs/*/checkpoint.npz")
    path.write_bytes(path.read_bytes()[:-100])
    folder = run(configured("train.epochs=4"), [])
    assert "begins anew, as its checkpoint can't be used" in folder.log.read_text()
    assert_same(folder, whole)

    folder.summary.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "bits", lambda: {"kernel": "other"})
        interrupted(patch, 2, "train.epochs=4")
    folder = run(configured("train.epochs=4"), [])
    assert "kernel was other" in folder.log.read_text()
    assert_same(folder, whole)
    assert folder.read_summary()["continued"] == []


def test_force_makes_a_run_again(caplog) -> None:
    caplog.set_level(logging.INFO)
    folder = run(configured(), [])
    first = folder.summary.stat().st_mtime_ns
    weights = folder.weights.read_bytes()
    assert run(configured("force=true"), []).path == folder.path
    assert folder.summary.stat().st_mtime_ns > first
    assert folder.weights.read_bytes() == weights
    assert "is there already" not in caplog.text


def test_other_programs_may_clear_files_away_meanwhile(monkeypatch) -> None:
    """As Snakemake does after a job that failed."""
    save = run_module._Progress.save

    def clearing(progress) -> None:
        save(progress)
        for path in (progress.folder.config, progress.folder.provenance, progress.folder.metrics):
            path.unlink(missing_ok=True)

    monkeypatch.setattr(run_module._Progress, "save", clearing)
    folder = run(configured(), [])
    assert folder.is_whole()
    assert len(folder.read_metrics()) == 3


class Layered:
    def __init__(self) -> None:
        self.x = np.zeros(3, np.float32)
        self.same = self.x
        self.rng = np.random.default_rng(0)
        self.mt = np.random.Generator(np.random.MT19937(0))
        self.extra = None
        self.scale = np.float32(0)
        self.pair = (1, [self.x, "a"])
        self.me = self


def test_what_a_checkpoint_holds(tmp_path) -> None:
    old = Layered()
    old.x[:] = [1, np.nan, -0.0]
    old.extra = {"history": [1.5, float("inf")], "matrix": np.eye(2)}
    old.scale = np.float32(0.1)
    old.rng.random(5)
    old.mt.random(5)
    checkpoint.save(tmp_path / "c.npz", {"o": old, "n": 3}, {})
    new = Layered()
    x = new.x
    state = checkpoint.restore(tmp_path / "c.npz", {"o": new, "n": 0}, {})
    assert (state["n"], state["o"]) == (3, new)
    assert new.x is x
    assert new.same is x
    assert new.pair[1][0] is x
    assert x.tobytes() == old.x.tobytes()
    assert new.extra["history"] == [1.5, float("inf")]
    np.testing.assert_array_equal(new.extra["matrix"], np.eye(2))
    assert (new.scale, type(new.scale)) == (np.float32(0.1), np.float32)
    assert (new.rng.random(), new.mt.random()) == (old.rng.random(), old.mt.random())
    assert new.me is new


class Shared:
    """What is made while training may be shared, too."""

    def __init__(self) -> None:
        self.history = self.last = self.buffer = None
        self.step = counting()


def counting():
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return count

    return step


def test_what_is_shared_stays_shared_and_functions_keep_what_they_remember(tmp_path) -> None:
    old = Shared()
    old.history = old.last = [1.0]
    assert (old.step(), old.step()) == (1, 2)
    checkpoint.save(tmp_path / "c.npz", {"o": old}, {})
    new = Shared()
    checkpoint.restore(tmp_path / "c.npz", {"o": new}, {})
    assert new.history == [1.0]
    assert new.last is new.history
    assert new.step() == 3


class Stack(list):
    """A list of a kind of its own."""


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {1}}, "a is a set"),
        ({"a": [{2: 3}]}, r"a\[0\] has the key 2"),
        ({"a": np.array([object()])}, "a is an array of objects"),
        ({"a": b"bytes"}, "a is a bytes"),
        ({"a": random.Random(1)}, "a is a Random"),
        ({"a": Stack()}, "a is a Stack"),
        ({"a": itertools.count()}, "a is a count"),
        ({"a": (x := np.zeros(4)), "b": x[:2]}, "b shares its memory with a"),
    ],
)
def test_what_it_cannot_hold(tmp_path, state, message: str) -> None:
    with pytest.raises(NervaError, match=message):
        checkpoint.save(tmp_path / "c.npz", state, {})
    assert not list(tmp_path.glob("*.npz"))


def test_other_objects_are_refused(tmp_path) -> None:
    checkpoint.save(tmp_path / "c.npz", {"a": Layered()}, {})
    with pytest.raises(NervaError, match=r"a is a builtins\.int, and was a"):
        checkpoint.restore(tmp_path / "c.npz", {"a": 1}, {})
    arrays = load_dict_from_npz(tmp_path / "c.npz")
    assert json.loads(str(arrays["tree"]))[0] == {}
