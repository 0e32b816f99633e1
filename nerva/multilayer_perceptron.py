"""The multilayer perceptron: a sequence of layers."""

import json
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from nerva.backends import check_unchanged
from nerva.errors import NervaError
from nerva.layers import Layer, LinearLayer, has_weights, parse_layer
from nerva.matrix_operations import Matrix, assign, first_not_finite, from_numpy, to_numpy
from nerva.npz_files import converted, load_dict_from_npz, save_dict_to_npz, unpacked_limit
from nerva.utilities import pp
from nerva.weight_initializers import Rng


class MultilayerPerceptron:
    """A network of layers, where the output of each is the input of the next."""

    def __init__(self, layers: Sequence[Layer] | None = None, check: bool = False) -> None:
        """
        Args:
            layers: the layers, from input to output.
            check: whether all inputs, parameters and gradients are checked to be finite; the first one that is not
                raises an error that names it.
        """
        check_unchanged()
        self.layers: list[Layer] = list(layers or [])
        self.check = check
        self.compiled: Any = None  # the compiled training step, if the library compiles; see `train_epoch`

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "compiled": None}  # a compiled step can't be copied

    def feedforward(self, X: Matrix) -> Matrix:
        """The outputs (N×K) of the network for the inputs X (N×D) during training.

        Raises:
            NervaError: if a layer's input has the wrong shape or, with `check`, is not finite. The message names it.
        """
        for index, layer in enumerate(self.layers, 1):
            self._check(index, layer, X)
            X = layer.feedforward(X)
        if self.check:
            _check_finite(X, "the output of the network")
        return X

    def _check(self, index: int, layer: Layer, X: Matrix) -> None:
        """With `check`, raise a NervaError if a parameter or the input of a layer is not finite."""
        if self.check:
            for name in layer.parameters:
                _check_finite(getattr(layer, name), f"{name} of layer {index} ({layer!r})")
            _check_finite(X, f"the input of layer {index} ({layer!r})")

    def evaluate(self, X: Matrix) -> Matrix:
        """The outputs (N×K) of the trained network for the inputs X (N×D)."""
        for index, layer in enumerate(self.layers, 1):
            self._check(index, layer, X)
            # A layer written for nerva-numpy has no `evaluate`.
            X = layer.evaluate(X) if isinstance(layer, Layer) else layer.feedforward(X)
        return X

    def backpropagate(self, Y: Matrix, DY: Matrix, inputs: bool = True) -> None:
        """Compute the gradients of all parameters from the last outputs Y and the gradient DY, both N×K.

        Args:
            Y: the last outputs.
            DY: their gradient.
            inputs: whether DX of the first layer, the gradient of the network's inputs, is computed as well.

        Raises:
            NervaError: if DY has the wrong shape or, with `check`, a gradient is not finite. The message names it.
        """
        for index, layer in reversed(list(enumerate(self.layers, 1))):
            layer.needs_DX = inputs or index > 1
            if self.check:
                _check_finite(DY, f"the gradient of the output of layer {index} ({layer!r})")
            layer.backpropagate(Y, DY)
            if self.check:
                for name in layer.parameters:
                    _check_finite(getattr(layer, f"D{name}"), f"D{name} of layer {index} ({layer!r})")
            Y, DY = layer.X, layer.DX

    def optimize(self, eta: float) -> None:
        """Update the parameters of every layer with learning rate eta."""
        for layer in self.layers:
            layer.optimize(eta)

    def linear_layers(self) -> list[LinearLayer]:
        """The layers with weights W and biases b, in order."""
        return [layer for layer in self.layers if isinstance(layer, LinearLayer)]

    def info(self) -> None:
        """Print the weights and biases."""
        for name, x in self.weights_and_bias().items():
            pp(name, x)

    def _names(self, weights_only: bool = False) -> dict[str, tuple[Layer, str]]:
        """The layer and the attribute of each named array: weights and biases are W1, b1, ..., others 2.gamma, ..."""
        names: dict[str, tuple[Layer, str]] = {}
        for index, layer in enumerate(self.linear_layers(), 1):
            names |= {f"{name}{index}": (layer, name) for name in ("W", "b")}
        if not weights_only:
            known = set(names.values())
            for index, other in enumerate(self.layers, 1):
                for name in (*other.parameters, *other.statistics):
                    if (other, name) not in known:
                        names[f"{index}.{name}"] = (other, name)
        return names

    def _load(
        self, names: dict[str, tuple[Layer, str]], data: dict[str, Matrix], filename: str | PathLike[str]
    ) -> None:
        """Copy arrays into those of the layers, or replace these if the dtypes differ."""
        for key, (layer, name) in names.items():
            x = getattr(layer, name)
            if key not in data:
                raise NervaError(f"{filename} has no {key}; it has {', '.join(data)}")
            if data[key].shape != x.shape:
                raise NervaError(f"{filename}: {key} has shape {data[key].shape}, but {tuple(x.shape)} is expected")
            array = converted(data[key], to_numpy(x).dtype, f"{filename}: {key}")
            setattr(layer, name, assign(x, from_numpy(array)))

    def _load_file(self, names: dict[str, tuple[Layer, str]], filename: str | PathLike[str]) -> None:
        shapes = {key: tuple(getattr(layer, name).shape) for key, (layer, name) in names.items()}
        self._load(names, load_dict_from_npz(filename, shapes), filename)

    def weights_and_bias(self) -> dict[str, Matrix]:
        """The weights and biases (not copies), as W1, b1, W2, b2, ..."""
        return {key: getattr(layer, name) for key, (layer, name) in self._names(weights_only=True).items()}

    def load_weights_and_bias(self, filename: str | PathLike[str]) -> None:
        """Read the weights and biases from an `.npz` file with the names W1, b1, W2, b2, ...

        Raises:
            NervaError: if the file cannot be read, or an array is missing or has another shape.
        """
        self._load_file(self._names(weights_only=True), filename)

    def save_weights_and_bias(self, filename: str | PathLike[str]) -> None:
        """Write the weights and biases to a compressed `.npz` file with the names W1, b1, W2, b2, ...

        Other parameters are not written; see `save`.
        """
        save_dict_to_npz(filename, {key: to_numpy(x) for key, x in self.weights_and_bias().items()})

    def state(self) -> dict[str, Matrix]:
        """All parameters and statistics: weights and biases as W1, b1, ..., those of layer 2 as 2.gamma, ..."""
        return {key: getattr(layer, name) for key, (layer, name) in self._names().items()}

    def load_state(self, data: dict[str, Matrix], filename: str | PathLike[str] = "the state") -> None:
        """Set all parameters and statistics.

        Args:
            data: NumPy arrays, as `to_dict` returns them.
            filename: the origin of the arrays, for messages.

        Raises:
            NervaError: if an array is missing or has another shape.
        """
        self._load(self._names(), data, filename)

    def to_dict(self) -> dict[str, Matrix]:
        """The whole network as NumPy arrays: its state, and its layers' specifications and sizes as `architecture`.

        Raises:
            NervaError: if the specification that a layer prints does not describe the layer.
        """
        for index, layer in enumerate(self.layers, 1):
            _check_specification(index, layer)
        layers = [[repr(layer), layer.input_size(), layer.output_size()] for layer in self.layers]
        return {"architecture": np.array([json.dumps(layers)]), **{key: to_numpy(x) for key, x in self.state().items()}}

    def save(self, filename: str | PathLike[str]) -> None:
        """Write the whole network to a compressed `.npz` file. `load_weights_and_bias` can read it as well."""
        save_dict_to_npz(filename, self.to_dict())


# The largest size of an architecture, in bytes.
_MAX_ARCHITECTURE = 1 << 20


def read_architecture(filename: str | PathLike[str]) -> list[tuple[str, int, int]]:
    """The specification, the number of inputs and the number of outputs of each layer in a network file.

    Raises:
        NervaError: if the file is damaged, or was not written by `MultilayerPerceptron.save`.
    """
    text = load_dict_from_npz(filename, {"architecture": None}, _MAX_ARCHITECTURE)["architecture"]
    try:
        layers = [(specification, D, K) for specification, D, K in json.loads(str(text[0]))]
    except (IndexError, ValueError, TypeError, RecursionError) as error:
        raise NervaError(f"{filename} is not a file of a whole network: its architecture: {error}") from None
    for specification, D, K in layers:
        if type(specification) is not str or type(D) is not int or type(K) is not int or D < 1 or K < 1:
            raise NervaError(
                f"{filename} is not a file of a whole network: a layer of its architecture should be a specification "
                "and two sizes, which are 1 or more"
            )
    return layers


def load_multilayer_perceptron(filename: str | PathLike[str], rng: Rng = None) -> MultilayerPerceptron:
    """The network that `MultilayerPerceptron.save` wrote, without optimizers.

    Args:
        filename: the file.
        rng: the generator of dropout layers.

    Raises:
        NervaError: if the file cannot be read, holds no whole network, or has an unknown layer.
    """
    layers = read_architecture(filename)
    try:
        # The layers are created before their arrays are read, so that their sizes are checked here.
        size = 4 * sum(D * K if has_weights(specification) else D for specification, D, K in layers)
        if size > (limit := unpacked_limit(filename)):
            raise NervaError(f"its layers would take {size} bytes, and {limit} are allowed for a file of its size")
        M = MultilayerPerceptron([parse_layer(specification, D, K, rng) for specification, D, K in layers])
    except NervaError as error:
        raise NervaError(f"{filename} is not a file of a whole network: {error}") from None
    M._load_file(M._names(), filename)
    return M


def _check_specification(index: int, layer: Layer) -> None:
    """Raise a NervaError if the specification that a layer prints does not describe a layer of its class."""
    try:
        again: Layer | None = parse_layer(repr(layer), layer.input_size(), layer.output_size())
    except NervaError:
        again = None
    if type(again) is not type(layer) or type(getattr(again, "act", None)) is not type(getattr(layer, "act", None)):
        raise NervaError(
            f"layer {index} can't be saved: {layer!r} does not name a {type(layer).__name__} with its activation; "
            "register its class, and let __repr__ give its specification"
        )


def _check_finite(X: Matrix, what: str) -> None:
    found = first_not_finite(X)
    if found is not None:
        place = "row {}, column {}".format(*found) if len(found) == 2 else f"place {found[0]}"
        raise NervaError(f"{what} has {float(X[found])} in {place}")


def parse_multilayer_perceptron(
    layer_specifications: Sequence[str],
    linear_layer_sizes: Sequence[int],
    optimizers: Sequence[str],
    linear_layer_weight_initializers: Sequence[str],
    rng: Rng = None,
) -> MultilayerPerceptron:
    """The network that specifications describe.

    Args:
        layer_specifications: one specification per layer, such as `["ReLU", "BatchNormalization", "Linear"]`.
        linear_layer_sizes: the number of inputs, followed by the number of outputs of each layer with weights.
        optimizers: one specification per layer with parameters, such as
            `["Momentum(0.9)", "Adam", "GradientDescent"]`; of the layers above, all but Dropout have parameters.
        linear_layer_weight_initializers: one specification per layer with weights, such as
            `["HeNormal", "XavierNormal"]`.
        rng: the generator of the weights and of dropout.

    Raises:
        NervaError: if the numbers of specifications do not match, or a specification cannot be parsed.
    """
    sized = [has_weights(text) for text in layer_specifications]
    sizes, initializers = list(linear_layer_sizes), list(linear_layer_weight_initializers)
    for what, count, expected in (
        ("sizes", len(sizes), sum(sized) + 1),
        ("weight initializers", len(initializers), sum(sized)),
    ):
        if count != expected:
            raise NervaError(f"{sum(sized)} layers with weights need {expected} {what}, not {count}")
    if any(size < 1 for size in sizes):
        raise NervaError(f"the sizes of layers should be 1 or more, not {sizes}")
    layers = []
    D = sizes.pop(0)
    for text, weights in zip(layer_specifications, sized, strict=True):
        layer = parse_layer(text, D, sizes.pop(0) if weights else D, rng)
        if isinstance(layer, LinearLayer):
            layer.set_weights(initializers.pop(0), rng)
        layers.append(layer)
        D = layer.output_size()
    trained = [layer for layer in layers if layer.parameters]
    if len(trained) != len(optimizers):
        raise NervaError(f"{len(trained)} layers with parameters need {len(trained)} optimizers, not {len(optimizers)}")
    for layer, optimizer in zip(trained, optimizers, strict=True):
        layer.set_optimizer(optimizer)
    return MultilayerPerceptron(layers)
