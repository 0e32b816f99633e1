"""Networks with user-defined components, which may or may not be compiled, trained with the library of this process.

`NERVA_BACKEND=jax python -m tests.backends.components` prints a line of JSON for each. test_libraries.py compares them.
"""

import copy
import json

import numpy as np

from nerva.activation_functions import ACTIVATIONS, ReLUActivation
from nerva.datasets import DataLoader
from nerva.loss_functions import parse_loss_function
from nerva.matrix_operations import assign, elements_sum, norm, scalar, scale_add
from nerva.multilayer_perceptron import parse_multilayer_perceptron
from nerva.optimizers import OPTIMIZERS, Attribute, GradientDescentOptimizer, parse_optimizer
from nerva.training import train_epoch


class Act(ReLUActivation):
    compilable = True

    def __init__(self):
        pass


@ACTIVATIONS.register("Own")
class Own(ReLUActivation):  # it does not say that it is compilable
    pass


@ACTIVATIONS.register("Inheriting")
class Inheriting(Act):
    pass


@ACTIVATIONS.register("Counting")
class Counting(Act):
    compilable = True
    seen = 0

    def __call__(self, X):
        self.seen += 1
        return super().__call__(X)


@ACTIVATIONS.register("Recording")
class Recording(Act):
    compilable = True
    state = ("batches",)

    def __init__(self):
        self.batches = []

    def __call__(self, X):
        self.batches.append(1)
        return super().__call__(X)

    @property
    def seen(self):
        return len(self.batches)


@ACTIVATIONS.register("Deciding")
class Deciding(Act):
    compilable = True

    def __call__(self, X):
        return X if norm(X) < 0 else super().__call__(X)


@ACTIVATIONS.register("Scaling")
class Scaling(Act):
    compilable = True

    def __call__(self, X):
        return super().__call__(X) / max(float(norm(X)), 1)


@ACTIVATIONS.register("Choosing")
class Choosing(Act):
    compilable = True

    def __call__(self, X):
        return super().__call__(X) * [0.5, 2][int(norm(X) > 1)]


@ACTIVATIONS.register("Masking")
class Masking(Act):
    compilable = True

    def __init__(self):
        self.mask = np.ones(3, np.float32)  # an array that is not declared

    def __call__(self, X):
        return super().__call__(X)


@OPTIMIZERS.register("Decaying")
class Decaying(GradientDescentOptimizer):
    compilable = True
    state = ("scale",)

    def __init__(self, x, Dx):
        super().__init__(x, Dx)
        self.scale = 1.0

    def update(self, eta):
        self.scale = self.scale * 0.9
        self.x = self.x - scalar(eta) * self.scale * self.Dx


@OPTIMIZERS.register("FromInteger")
class FromInteger(Decaying):
    compilable = True

    def __init__(self, x, Dx):
        super().__init__(x, Dx)
        self.scale = 1


@OPTIMIZERS.register("Adding")
class Adding(GradientDescentOptimizer):
    state = ("d",)

    def __init__(self, x, Dx):
        super().__init__(x, Dx)
        self.d = 0 * self.x

    def update(self, eta):
        self.d = assign(self.d, self.Dx)
        self.d = scale_add(0.9, self.d, 1, self.Dx)
        self.x = scale_add(1, self.x, -scalar(eta), self.d)
        self.d = assign(self.d, self.x)


class Duck:  # it is no component: nobody knows its state
    def __init__(self, x):
        self.x, self.t = x, 0

    def update(self, eta):
        self.t += 1
        self.x.owner.W = self.x.owner.W - scalar(eta) / self.t * self.x.owner.DW


class Doubling(DataLoader):
    def __iter__(self):
        for X, T in super().__iter__():
            yield 2 * X, T


def report(name, act="ReLU", optimizer="Adam", loader=DataLoader, between=lambda M: None):
    rng = np.random.default_rng(1)
    M = parse_multilayer_perceptron([act, "Linear"], [3, 3, 3], [optimizer] * 2, ["HeNormal"] * 2, rng)
    between(M)
    X = np.arange(21, dtype=np.float32).reshape(7, 3)[::-1] / 21
    data = loader(X, np.array([0, 1, 0, 1, 1, 0, 2]), 2, 3, np.random.default_rng(2))
    W = M.layers[0].W
    for epoch in range(3):
        train_epoch(M, parse_loss_function("SquaredError"), 0.1, data)
        if epoch == 1:
            between(M)
    float(elements_sum(W))  # its memory is not used for anything else
    assert copy.deepcopy(M).compiled is None
    print(
        json.dumps(
            {
                "name": name,
                "compiled": M.compiled is not None and M.compiled.may_compile,
                "seen": getattr(M.layers[0].act, "seen", None),
                "sum": float(elements_sum(M.layers[1].W)),
            }
        )
    )


def exchange(M):
    layer = M.layers[0]
    layer.optimizer.optimizers[0] = parse_optimizer("Momentum(0.9)")(Attribute(layer, "W"), Attribute(layer, "DW"))


def remove(M):
    M.layers[0].optimizer.optimizers.pop(0)


def quack(M):
    M.layers[0].optimizer.optimizers[0] = Duck(Attribute(M.layers[0], "W"))


if __name__ == "__main__":
    for act in ("ReLU", "Own", "Inheriting", "Counting", "Recording", "Deciding", "Scaling", "Choosing", "Masking"):
        report(act, act)
    for optimizer in ("Decaying", "FromInteger", "Adding"):
        report(optimizer, optimizer=optimizer)
    report("Doubling", loader=Doubling)
    for between in (exchange, remove, quack):
        report(between.__name__, between=between)
