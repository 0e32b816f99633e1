"""The layers of a network, as the paper writes them.

X holds N inputs of size D and Y the N outputs of size K, one sample a row. W is K×D and b a vector of K.
DX, DW, Db, DY and DZ are the gradients of the loss with respect to X, W, b, Y and Z, of the same shapes.
A layer takes and gives float32; if its parameters are float64, float64.
"""

from typing import Any

from nerva.activation_functions import ActivationFunction, parse_activation
from nerva.matrix_operations import Matrix, assign, columns_sum, hadamard, row_repeat, zeros
from nerva.optimizers import Attribute, CompositeOptimizer, Optimizer, parse_optimizer
from nerva.weight_initializers import Rng, set_layer_weights


class Layer:
    """A function of X with parameters, which keeps what backpropagation needs of the last batch."""

    # The names of the trainable parameters. The gradient of W is DW, and so on.
    parameters: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.X: Any = None
        self.DX: Any = None
        self.optimizer: Optimizer | None = None

    def feedforward(self, X: Matrix) -> Matrix:
        """The outputs Y (N×K) for the inputs X (N×D)."""
        raise NotImplementedError

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        """Computes DX and the parameters' gradients from the last outputs Y and the gradient DY, both N×K."""
        raise NotImplementedError

    def set_optimizer(self, optimizer: str) -> None:
        """Gives each parameter an optimizer of its own, by a specification such as `Momentum(0.9)`."""
        make_optimizer = parse_optimizer(optimizer)
        self.optimizer = CompositeOptimizer(
            [make_optimizer(Attribute(self, name), Attribute(self, f"D{name}")) for name in self.parameters]
        )

    def optimize(self, eta: float) -> None:
        """Lets the optimizer, if there is one, make a step with learning rate eta."""
        if self.optimizer:
            self.optimizer.update(eta)


class LinearLayer(Layer):
    """Y = X Wᵀ + 1 b."""

    parameters = ("W", "b")

    def __init__(self, D: int, K: int) -> None:
        super().__init__()
        self.W = zeros(K, D)
        self.DW = zeros(K, D)
        self.b = zeros(K)
        self.Db = zeros(K)

    def feedforward(self, X: Matrix) -> Matrix:
        self.X = X
        N, _ = X.shape
        W = self.W
        b = self.b

        Y = X @ W.T + row_repeat(b, N)

        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        X = self.X
        W = self.W

        DW = DY.T @ X
        Db = columns_sum(DY)
        DX = DY @ W

        self.DW = assign(self.DW, DW)
        self.Db = assign(self.Db, Db)
        self.DX = DX

    def input_size(self) -> int:
        """D."""
        return int(self.W.shape[1])

    def output_size(self) -> int:
        """K."""
        return int(self.W.shape[0])

    def set_weights(self, weight_initializer: str, rng: Rng = None) -> None:
        """Fills W as a specification such as `XavierNormal` says, and b with zeros.

        Args:
            weight_initializer: the specification.
            rng: where the randomness comes from. Without it, the weights can't be had again.
        """
        set_layer_weights(self, weight_initializer, rng)


class ActivationLayer(LinearLayer):
    """Y = act(X Wᵀ + 1 b)."""

    def __init__(self, D: int, K: int, act: ActivationFunction) -> None:
        super().__init__(D, K)
        self.Z: Any = None
        self.DZ: Any = None
        self.act = act

    def feedforward(self, X: Matrix) -> Matrix:
        self.X = X
        N, _ = X.shape
        W = self.W
        b = self.b
        act = self.act

        Z = X @ W.T + row_repeat(b, N)
        Y = act(Z)

        self.Z = Z
        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        X = self.X
        W = self.W
        Z = self.Z
        act = self.act

        DZ = hadamard(DY, act.gradient(Z))
        DW = DZ.T @ X
        Db = columns_sum(DZ)
        DX = DZ @ W

        self.DZ = DZ
        self.DW = assign(self.DW, DW)
        self.Db = assign(self.Db, Db)
        self.DX = DX


def parse_linear_layer(
    text: str, D: int, K: int, optimizer: str, weight_initializer: str, rng: Rng = None
) -> LinearLayer:
    """The layer that a specification names: `Linear`, or an activation such as `ReLU`.

    Args:
        text: the layer's specification.
        D: the number of inputs.
        K: the number of outputs.
        optimizer: the specification of its optimizer.
        weight_initializer: the specification of its initial weights.
        rng: where the randomness of the weights comes from.

    Raises:
        NervaError: if a specification has another shape, or a name is unknown.
    """
    layer = LinearLayer(D, K) if text == "Linear" else ActivationLayer(D, K, parse_activation(text))
    layer.set_optimizer(optimizer)
    layer.set_weights(weight_initializer, rng)
    return layer
