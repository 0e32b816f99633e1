"""The multilayer perceptron: layers, one after the other."""

from collections.abc import Sequence
from os import PathLike

from nerva.layers import Layer, LinearLayer, parse_linear_layer
from nerva.matrix_operations import Matrix
from nerva.utilities import NervaError, load_dict_from_npz, pp, save_dict_to_npz
from nerva.weight_initializers import Rng


class MultilayerPerceptron:
    """A network of layers, where the output of each is the input of the next."""

    def __init__(self, layers: Sequence[Layer] | None = None) -> None:
        self.layers: list[Layer] = list(layers or [])

    def feedforward(self, X: Matrix) -> Matrix:
        """The network's outputs (N×K) for the inputs X (N×D)."""
        for layer in self.layers:
            X = layer.feedforward(X)
        return X

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        """Computes the gradients of all parameters from the last outputs Y and the gradient DY, both N×K."""
        for layer in reversed(self.layers):
            layer.backpropagate(Y, DY)
            Y, DY = layer.X, layer.DX

    def optimize(self, eta: float) -> None:
        """Lets every layer make a step with learning rate eta."""
        for layer in self.layers:
            layer.optimize(eta)

    def linear_layers(self) -> list[LinearLayer]:
        """The layers with weights W and biases b, in order."""
        return [layer for layer in self.layers if isinstance(layer, LinearLayer)]

    def info(self) -> None:
        """Prints the weights and biases."""
        for name, x in self.weights_and_bias().items():
            pp(name, x)

    def weights_and_bias(self) -> dict[str, Matrix]:
        """The weights and biases themselves, as W1, b1, W2, b2, …"""
        return {
            f"{name}{index}": x
            for index, layer in enumerate(self.linear_layers(), 1)
            for name, x in (("W", layer.W), ("b", layer.b))
        }

    def load_weights_and_bias(self, filename: str | PathLike[str]) -> None:
        """Reads the weights and biases from an `.npz` file with the names W1, b1, W2, b2, …

        Raises:
            NervaError: if the file can't be read, or an array is missing or has another shape.
        """
        data = load_dict_from_npz(filename)
        for name, x in self.weights_and_bias().items():
            if name not in data:
                raise NervaError(f"{filename} has no {name}; it has {', '.join(data)}")
            if data[name].shape != x.shape:
                raise NervaError(f"{filename}: {name} is {data[name].shape}, but the network's is {x.shape}")
            x[...] = data[name]

    def save_weights_and_bias(self, filename: str | PathLike[str]) -> None:
        """Writes the weights and biases to a compressed `.npz` file with the names W1, b1, W2, b2, …"""
        save_dict_to_npz(filename, self.weights_and_bias())


def parse_multilayer_perceptron(
    layer_specifications: Sequence[str],
    linear_layer_sizes: Sequence[int],
    optimizers: Sequence[str],
    linear_layer_weight_initializers: Sequence[str],
    rng: Rng = None,
) -> MultilayerPerceptron:
    """The network that specifications describe.

    Args:
        layer_specifications: one a layer, such as `["ReLU", "Linear"]`.
        linear_layer_sizes: the number of inputs, and then the number of outputs of each layer.
        optimizers: one a layer, such as `["Momentum(0.9)", "GradientDescent"]`.
        linear_layer_weight_initializers: one a layer, such as `["HeNormal", "XavierNormal"]`.
        rng: where the randomness of the weights comes from.

    Raises:
        NervaError: if the numbers of specifications don't fit, or a specification can't be parsed.
    """
    n = len(layer_specifications)
    for what, count, expected in (
        ("sizes", len(linear_layer_sizes), n + 1),
        ("optimizers", len(optimizers), n),
        ("weight initializers", len(linear_layer_weight_initializers), n),
    ):
        if count != expected:
            raise NervaError(f"{n} layers need {expected} {what}, not {count}")
    return MultilayerPerceptron(
        [
            parse_linear_layer(layer, D, K, optimizer, weights, rng)
            for layer, D, K, optimizer, weights in zip(
                layer_specifications,
                linear_layer_sizes,
                linear_layer_sizes[1:],
                optimizers,
                linear_layer_weight_initializers,
                strict=False,
            )
        ]
    )
