"""The layers of a network, as the paper writes them.

X holds N inputs of size D and Y the N outputs of size K, one sample per row. W is K×D, and b is a vector of size K.
DX, DW, Db, DY and DZ are the gradients of the loss with respect to X, W, b, Y and Z, and have the same shapes.
Inputs and outputs are float32, or float64 if the parameters are float64.

`feedforward` computes Y from X. `backpropagate` computes DX and the gradients of the parameters from DY. `nerva prove`
runs both on symbols and compares the gradients with exact derivatives. The equations and the names of the layers are
those of "Batch Matrix-form Equations and Implementation of Multilayer Perceptrons" (arXiv:2511.11918).
"""

import inspect
from typing import Any

from nerva.activation_functions import ACTIVATIONS, ActivationFunction, SReLUActivation
from nerva.errors import NervaError
from nerva.matrix_operations import (
    Matrix,
    as_real,
    assign,
    bernoulli,
    column_repeat,
    columns_mean,
    columns_sum,
    elements,
    elements_sum,
    hadamard,
    inv_sqrt,
    less,
    less_equal,
    ones,
    row_repeat,
    rows_sum,
    square,
    vector,
    vector_size,
    where,
    zeros,
)
from nerva.optimizers import Attribute, CompositeOptimizer, Optimizer, parse_optimizer
from nerva.softmax_functions import stable_log_softmax, stable_softmax
from nerva.specifications import Registry
from nerva.utilities import parse_function_call
from nerva.weight_initializers import Rng, generator, set_layer_weights


class Layer:
    """A function of X with parameters. It keeps the values of the last batch that backpropagation needs."""

    # The names of attributes. A subclass lists only the states and caches that it adds.
    parameters: tuple[str, ...] = ()  # trained; the gradient of W is DW, and so on
    statistics: tuple[str, ...] = ()  # arrays that training updates without gradients; see BatchNormalizationLayer
    state: tuple[str, ...] = ()  # others that are needed to resume training; see DropoutLayer
    # Those that are computed anew for each batch, besides the gradients of the parameters.
    caches: tuple[str, ...] = ("X", "DX", "Z", "DZ", "needs_DX")

    def __init__(self) -> None:
        self.X: Any = None
        self.DX: Any = None
        self.needs_DX = True  # nobody needs it of the first layer in training, where it would cost a product
        self.optimizer: Optimizer | None = None

    def feedforward(self, X: Matrix) -> Matrix:
        """The outputs Y (N×K) for the inputs X (N×D) during training."""
        raise NotImplementedError

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        """Compute DX and the gradients of the parameters from the last outputs Y and the gradient DY, both N×K."""
        raise NotImplementedError

    def evaluate(self, X: Matrix) -> Matrix:
        """The outputs Y (N×K) for the inputs X (N×D) of a trained network.

        Most layers compute the same as during training. This replaces the values of the last batch, so
        `backpropagate` must be called before.
        """
        return self.feedforward(X)

    def input_size(self) -> int:
        """The number of inputs, D."""
        raise NotImplementedError

    def output_size(self) -> int:
        """The number of outputs, K."""
        raise NotImplementedError

    def set_optimizer(self, optimizer: str) -> None:
        """Create an optimizer for each parameter, from a specification such as `Momentum(0.9)`."""
        make_optimizer = parse_optimizer(optimizer)
        self.optimizer = CompositeOptimizer(
            [make_optimizer(Attribute(self, name), Attribute(self, f"D{name}")) for name in self.parameters]
        )

    def optimize(self, eta: float) -> None:
        """Update the parameters with learning rate eta, if the layer has an optimizer."""
        if self.optimizer:
            self.optimizer.update(eta)

    def _takes(self, X: Matrix) -> Matrix:
        """Return X, with integers converted to float32. Raise a NervaError if X does not have D columns."""
        X = as_real(X)
        if X.ndim != 2 or X.shape[1] != self.input_size():
            raise NervaError(f"layer {self!r} takes N×{self.input_size()} inputs, not inputs of shape {tuple(X.shape)}")
        return X

    def _gave(self, DY: Matrix) -> Matrix:
        """Return DY. Raise a NervaError if it does not have the shape of the last outputs."""
        DY = as_real(DY)
        shape = (self.X.shape[0], self.output_size())
        if DY.shape != shape:
            raise NervaError(f"layer {self!r} gave outputs of shape {shape}, but DY has shape {tuple(DY.shape)}")
        return DY


class LinearLayer(Layer):
    """The linear layer: Y = X Wᵀ + 1 b."""

    parameters: tuple[str, ...] = ("W", "b")

    def __init__(self, D: int, K: int) -> None:
        super().__init__()
        self.W = zeros(K, D)
        self.DW = zeros(K, D)
        self.b = zeros(K)
        self.Db = zeros(K)

    def feedforward(self, X: Matrix) -> Matrix:
        X = self.X = self._takes(X)
        N, _ = X.shape
        W = self.W
        b = self.b

        Y = X @ W.T + row_repeat(b, N)

        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        DY = self._gave(DY)
        X = self.X
        W = self.W

        DW = DY.T @ X
        Db = columns_sum(DY)
        DX = DY @ W if self.needs_DX else None

        self.DW = assign(self.DW, DW)
        self.Db = assign(self.Db, Db)
        self.DX = DX

    def input_size(self) -> int:
        return int(self.W.shape[1])

    def output_size(self) -> int:
        return int(self.W.shape[0])

    def set_weights(self, weight_initializer: str, rng: Rng = None) -> None:
        """Initialize W by a specification such as `XavierNormal`, and b with zeros.

        Args:
            weight_initializer: the specification.
            rng: the generator of the weights. Without it, they are not reproducible.
        """
        set_layer_weights(self, weight_initializer, rng)

    def __repr__(self) -> str:
        return "Linear"


class ActivationLayer(LinearLayer):
    """The activation layer: Y = act(Z), Z = X Wᵀ + 1 b."""

    def __init__(self, D: int, K: int, act: ActivationFunction) -> None:
        super().__init__(D, K)
        self.Z: Any = None
        self.DZ: Any = None
        self.act = act

    def feedforward(self, X: Matrix) -> Matrix:
        X = self.X = self._takes(X)
        N, _ = X.shape
        W = self.W
        b = self.b
        act = self.act

        Z = X @ W.T + row_repeat(b, N)
        Y = act(Z)

        self.Z = Z
        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        DY = self._gave(DY)
        X = self.X
        W = self.W
        Z = self.Z
        act = self.act

        DZ = hadamard(DY, act.gradient(Z))
        DW = DZ.T @ X
        Db = columns_sum(DZ)
        DX = DZ @ W if self.needs_DX else None

        self.DZ = DZ
        self.DW = assign(self.DW, DW)
        self.Db = assign(self.Db, Db)
        self.DX = DX

    def __repr__(self) -> str:
        return repr(self.act)


class SReLULayer(ActivationLayer):
    """The activation layer with SReLU, whose parameters x = (al, tl, ar, tr) are trained as well."""

    parameters = ("W", "b", "x")
    caches = ("Dal", "Dtl", "Dar", "Dtr")
    act: SReLUActivation

    def __init__(self, D: int, K: int, act: SReLUActivation) -> None:
        super().__init__(D, K, act)
        self.Dal: Any = 0
        self.Dtl: Any = 0
        self.Dar: Any = 0
        self.Dtr: Any = 0

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        super().backpropagate(Y, DY)
        Z = self.Z
        al, tl, ar, tr = elements(self.act.x)

        left, right = less_equal(Z, tl), less(Z, tr)
        Al = where(left, Z - tl, 0, like=Z)
        Tl = where(left, 1 - al, 0, like=Z)
        Ar = where(left, 0, where(right, 0, Z - tr, like=Z), like=Z)
        Tr = where(left, 0, where(right, 0, 1 - ar, like=Z), like=Z)

        Dal = elements_sum(hadamard(DY, Al))
        Dtl = elements_sum(hadamard(DY, Tl))
        Dar = elements_sum(hadamard(DY, Ar))
        Dtr = elements_sum(hadamard(DY, Tr))

        self.Dal, self.Dtl, self.Dar, self.Dtr = Dal, Dtl, Dar, Dtr
        self.Dx = assign(self.Dx, vector([Dal, Dtl, Dar, Dtr], dtype=self.x.dtype))

    @property
    def x(self) -> Matrix:
        """The parameters al, tl, ar and tr of the activation function."""
        return self.act.x

    @x.setter
    def x(self, value: Matrix) -> None:
        self.act.x = value

    @property
    def Dx(self) -> Matrix:
        """The gradients of these parameters."""
        return self.act.Dx

    @Dx.setter
    def Dx(self, value: Matrix) -> None:
        self.act.Dx = value


class SoftmaxLayer(LinearLayer):
    """The softmax layer: Y = softmax(Z), Z = X Wᵀ + 1 b.

    The paper writes diag(DY Yᵀ) in DZ. rows_sum(DY ⊙ Y) is the same vector, without an N×N matrix.
    """

    def __init__(self, D: int, K: int) -> None:
        super().__init__(D, K)
        self.Z: Any = None
        self.DZ: Any = None

    def feedforward(self, X: Matrix) -> Matrix:
        X = self.X = self._takes(X)
        N, _ = X.shape
        W = self.W
        b = self.b

        Z = X @ W.T + row_repeat(b, N)
        Y = stable_softmax(Z)

        self.Z = Z
        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        DY = self._gave(DY)
        _, K = Y.shape
        X = self.X
        W = self.W

        DZ = hadamard(Y, DY - column_repeat(rows_sum(hadamard(DY, Y)), K))
        DW = DZ.T @ X
        Db = columns_sum(DZ)
        DX = DZ @ W if self.needs_DX else None

        self.DZ = DZ
        self.DW = assign(self.DW, DW)
        self.Db = assign(self.Db, Db)
        self.DX = DX

    def __repr__(self) -> str:
        return "Softmax"


class LogSoftmaxLayer(LinearLayer):
    """The log-softmax layer: Y = log(softmax(Z)), Z = X Wᵀ + 1 b."""

    def __init__(self, D: int, K: int) -> None:
        super().__init__(D, K)
        self.Z: Any = None
        self.DZ: Any = None

    def feedforward(self, X: Matrix) -> Matrix:
        X = self.X = self._takes(X)
        N, _ = X.shape
        W = self.W
        b = self.b

        Z = X @ W.T + row_repeat(b, N)
        Y = stable_log_softmax(Z)

        self.Z = Z
        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        DY = self._gave(DY)
        _, K = Y.shape
        X = self.X
        W = self.W
        Z = self.Z

        DZ = DY - hadamard(stable_softmax(Z), column_repeat(rows_sum(DY), K))
        DW = DZ.T @ X
        Db = columns_sum(DZ)
        DX = DZ @ W if self.needs_DX else None

        self.DZ = DZ
        self.DW = assign(self.DW, DW)
        self.Db = assign(self.Db, Db)
        self.DX = DX

    def __repr__(self) -> str:
        return "LogSoftmax"


class BatchNormalizationLayer(Layer):
    """The batch normalization layer: Y = 1 gamma ⊙ Z + 1 beta, where Z is X with mean 0 and variance 1 in each column.

    The mean and the variance are those of the batch. A small epsilon is added to the variance, so that Z is 0 in a
    constant column. With a momentum, `evaluate` uses running averages of both; without one, those of its batch.

    The paper writes (N 𝕀 - 1 1ᵀ) DZ and diag(Zᵀ DZ) in DX. The code computes the same without an N×N matrix.
    """

    parameters = ("beta", "gamma")
    caches = ("inv_sqrt_Sigma",)

    def __init__(self, D: int, momentum: float | None = None) -> None:
        """
        Args:
            D: the number of inputs, and of outputs.
            momentum: the weight of a batch in the running averages, 0 < momentum ≤ 1; None: no averages are kept.
        """
        super().__init__()
        if momentum is not None and not 0 < momentum <= 1:
            raise NervaError(f"momentum should be greater than 0 and at most 1, not {momentum}")
        self.Z: Any = None
        self.DZ: Any = None
        self.gamma = ones(D)
        self.Dgamma = zeros(D)
        self.beta = zeros(D)
        self.Dbeta = zeros(D)
        self.inv_sqrt_Sigma = zeros(D)
        self.momentum = momentum
        self.statistics = () if momentum is None else ("running_mean", "running_Sigma")
        self.running_mean: Any = None if momentum is None else zeros(D)
        self.running_Sigma: Any = None if momentum is None else ones(D)

    def feedforward(self, X: Matrix) -> Matrix:
        X = self.X = self._takes(X)
        N, _ = X.shape
        gamma = self.gamma
        beta = self.beta

        mean = columns_mean(X)
        R = X - row_repeat(mean, N)
        Sigma = columns_sum(square(R)) / N
        inv_sqrt_Sigma = inv_sqrt(Sigma)
        Z = hadamard(row_repeat(inv_sqrt_Sigma, N), R)
        Y = hadamard(row_repeat(gamma, N), Z) + row_repeat(beta, N)

        self.inv_sqrt_Sigma = assign(self.inv_sqrt_Sigma, inv_sqrt_Sigma)
        self.Z = Z
        if self.momentum is not None:
            # N / (N - 1) makes the estimate of the variance unbiased.
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_Sigma = (1 - self.momentum) * self.running_Sigma + self.momentum * Sigma * N / max(N - 1, 1)
        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        DY = self._gave(DY)
        N, _ = self.X.shape
        Z = self.Z
        gamma = self.gamma
        inv_sqrt_Sigma = self.inv_sqrt_Sigma

        DZ = hadamard(row_repeat(gamma, N), DY)
        Dbeta = columns_sum(DY)
        Dgamma = columns_sum(hadamard(DY, Z))
        DX = hadamard(
            row_repeat(inv_sqrt_Sigma / N, N),
            N * DZ - row_repeat(columns_sum(DZ), N) - hadamard(Z, row_repeat(columns_sum(hadamard(Z, DZ)), N)),
        )

        self.DZ = DZ
        self.Dbeta = assign(self.Dbeta, Dbeta)
        self.Dgamma = assign(self.Dgamma, Dgamma)
        self.DX = DX

    def evaluate(self, X: Matrix) -> Matrix:
        if self.momentum is None:
            return self.feedforward(X)
        X = self._takes(X)
        N, _ = X.shape
        Z = hadamard(row_repeat(inv_sqrt(self.running_Sigma), N), X - row_repeat(self.running_mean, N))
        return hadamard(row_repeat(self.gamma, N), Z) + row_repeat(self.beta, N)

    def input_size(self) -> int:
        return vector_size(self.gamma)

    def output_size(self) -> int:
        return vector_size(self.gamma)

    def __repr__(self) -> str:
        return "BatchNormalization" + ("" if self.momentum is None else f"(momentum={float(self.momentum)})")


class DropoutLayer(Layer):
    """The dropout layer: Y = X ⊙ R / (1 - p), where each element of R is 0 with probability p, and 1 otherwise.

    The outputs are divided by 1 - p during training, so that `evaluate` returns X unchanged (inverted dropout).
    """

    state = ("rng",)
    caches = ("R",)

    def __init__(self, D: int, p: float = 0.5, rng: Rng = None) -> None:
        """
        Args:
            D: the number of inputs, and of outputs.
            p: the probability that an element is dropped, 0 ≤ p < 1.
            rng: the generator of R. Without it, R is not reproducible.
        """
        super().__init__()
        if not 0 <= p < 1:
            raise NervaError(f"p should be 0 or more and less than 1, not {p}")
        self.D = D
        self.p = p
        self.rng = generator(rng)
        self.R: Any = None

    def feedforward(self, X: Matrix) -> Matrix:
        X = self.X = self._takes(X)
        p = self.p

        R = bernoulli(1 - p, self.rng, like=X)
        Y = hadamard(X, R) / (1 - p)

        self.R = R
        return Y

    def backpropagate(self, Y: Matrix, DY: Matrix) -> None:
        DY = self._gave(DY)
        R = self.R
        p = self.p

        DX = hadamard(DY, R) / (1 - p)

        self.DX = DX

    def evaluate(self, X: Matrix) -> Matrix:
        return self._takes(X)

    def input_size(self) -> int:
        return self.D

    def output_size(self) -> int:
        return self.D

    def __repr__(self) -> str:
        return f"Dropout(p={float(self.p)})"


# A layer with the parameters D and K has weights; a layer with D alone has D outputs. The name of an activation denotes
# a layer with that activation. It is registered here only if that layer has its own class.
LAYERS: Registry[Layer] = Registry("layer", given=("D", "K", "rng"))
LAYERS.add("Linear", LinearLayer)
LAYERS.add("Softmax", SoftmaxLayer)
LAYERS.add("LogSoftmax", LogSoftmaxLayer)
LAYERS.add("BatchNormalization", BatchNormalizationLayer)
LAYERS.add("Dropout", DropoutLayer)


@LAYERS.register("SReLU")
def _srelu(D: int, K: int, al: float = 0.0, tl: float = 0.0, ar: float = 0.0, tr: float = 1.0) -> SReLULayer:
    return SReLULayer(D, K, SReLUActivation(al, tl, ar, tr))


def has_weights(text: str) -> bool:
    """Whether the layer that a specification names has weights, and hence its own number of outputs.

    Raises:
        NervaError: if the specification cannot be parsed, or names no known layer or activation.
    """
    name = parse_function_call(text).name
    return layer_registry(text) is ACTIVATIONS or "K" in inspect.signature(LAYERS.components[name]).parameters


def layer_registry(text: str) -> Registry[Any]:
    """The registry in which the name of a layer's specification is looked up: LAYERS or, failing that, ACTIVATIONS.

    Raises:
        NervaError: if the specification cannot be parsed, or names no known layer or activation.
    """
    name = parse_function_call(text).name
    LAYERS.check(name, ACTIVATIONS)
    return LAYERS if name in LAYERS.components else ACTIVATIONS


def parse_layer(text: str, D: int, K: int, rng: Rng = None) -> Layer:
    """The layer that a specification names, without an optimizer and with zero weights.

    Args:
        text: `Linear`, `Softmax`, `LogSoftmax`, `BatchNormalization`, `Dropout(p=0.5)`,
            `SReLU(al=0, tl=0, ar=0, tr=1)`, or an activation such as `ReLU`.
        D: the number of inputs.
        K: the number of outputs; a layer without weights has D outputs.
        rng: the generator of a layer with randomness, such as Dropout.

    Raises:
        NervaError: if the specification cannot be parsed, a name is unknown, or a value is out of range.
    """
    if layer_registry(text) is ACTIVATIONS:
        return ActivationLayer(D, K, ACTIVATIONS.parse(text))
    given = {"D": D, "K": K, "rng": rng}
    takes = inspect.signature(LAYERS.components[parse_function_call(text).name]).parameters
    return LAYERS.bind(text)(**{key: value for key, value in given.items() if key in takes})


def parse_linear_layer(
    text: str, D: int, K: int, optimizer: str, weight_initializer: str, rng: Rng = None
) -> LinearLayer:
    """The layer with weights that a specification names: `Linear`, `Softmax`, or an activation such as `ReLU`.

    Args:
        text: the specification of the layer.
        D: the number of inputs.
        K: the number of outputs.
        optimizer: the specification of its optimizer.
        weight_initializer: the specification of its initial weights.
        rng: the generator of the weights.

    Raises:
        NervaError: if a specification cannot be parsed, a name is unknown, or the layer has no weights.
    """
    layer = parse_layer(text, D, K, rng)
    if not isinstance(layer, LinearLayer):
        raise NervaError(f'"{text}" is not a layer with weights')
    layer.set_optimizer(optimizer)
    layer.set_weights(weight_initializer, rng)
    return layer
