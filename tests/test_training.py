"""The training loop: its records, learning, and reproducibility."""

import re
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import r2_score

from nerva.activation_functions import ReLUActivation
from nerva.datasets import DataLoader, create_npz_dataloaders
from nerva.layers import ActivationLayer, LinearLayer
from nerva.learning_rate import ConstantScheduler
from nerva.loss_functions import SquaredErrorLossFunction, StableSoftmaxCrossEntropyLossFunction
from nerva.multilayer_perceptron import MultilayerPerceptron
from nerva.training import (
    compute_accuracy,
    compute_loss,
    evaluate,
    evaluate_regression,
    stochastic_gradient_descent,
    stochastic_gradient_descent_plain,
    train,
    training_epochs,
)


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    X, T = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return {"Xtrain": X[:1500], "Ttrain": T[:1500], "Xtest": X[1500:], "Ttest": T[1500:]}


def network(seed: int, sizes: tuple[int, ...] = (64, 32, 10)) -> MultilayerPerceptron:
    rng = np.random.default_rng(seed)
    M = MultilayerPerceptron()
    M.layers = [ActivationLayer(D, K, ReLUActivation()) for D, K in pairwise(sizes[:-1])]
    M.layers.append(LinearLayer(*sizes[-2:]))
    for layer in M.layers:
        layer.set_optimizer("Momentum(0.9)")
        layer.set_weights("XavierNormal", rng)
    return M


def loaders(data: dict[str, np.ndarray], seed: int) -> tuple[DataLoader, DataLoader]:
    rng = np.random.default_rng(seed)
    return DataLoader(data["Xtrain"], data["Ttrain"], 100, 10, rng), DataLoader(data["Xtest"], data["Ttest"], 100, 10)


LOSS = StableSoftmaxCrossEntropyLossFunction()


def test_the_example_in_the_readme_of_nerva_numpy(mnist_dir, tmp_path, capsys) -> None:
    """The example with other imports and a seed, on a part of MNIST, for one epoch."""
    import gzip

    def idx(name: str, header: int, samples: int) -> np.ndarray:
        content = gzip.decompress((mnist_dir / "mnist" / name).read_bytes())
        return np.frombuffer(content, np.uint8, offset=header).reshape(-1, 784 if header == 16 else 1)[:samples]

    np.savez(
        tmp_path / "mnist-flattened.npz",
        Xtrain=idx("train-images-idx3-ubyte.gz", 16, 10000) / np.float32(255),
        Ttrain=idx("train-labels-idx1-ubyte.gz", 8, 10000).ravel(),
        Xtest=idx("t10k-images-idx3-ubyte.gz", 16, 1000) / np.float32(255),
        Ttest=idx("t10k-labels-idx1-ubyte.gz", 8, 1000).ravel(),
    )
    rng = np.random.default_rng(1)

    M = MultilayerPerceptron()
    M.layers = [
        ActivationLayer(784, 1024, ReLUActivation()),
        ActivationLayer(1024, 512, ReLUActivation()),
        LinearLayer(512, 10),
    ]
    for layer in M.layers:
        layer.set_optimizer("Momentum(0.9)")
        layer.set_weights("XavierNormal", rng)

    loss = StableSoftmaxCrossEntropyLossFunction()
    learning_rate = ConstantScheduler(0.01)
    epochs = 1

    train_loader, test_loader = create_npz_dataloaders(str(tmp_path / "mnist-flattened.npz"), batch_size=100)

    records = stochastic_gradient_descent(M, epochs, loss, learning_rate, train_loader, test_loader)

    assert records[-1].test_accuracy > 0.8
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split(" | ") == [
        "epoch",
        *(f"{name:>12}" for name in ("lr", "loss", "train_acc", "test_acc", "time (s)")),
    ]
    assert [len(line) for line in lines[:-1]] == [len(lines[0])] * 6
    assert re.fullmatch(r" {4}1 \| {5}0\.010000 \| +\d\.\d{6} \| +0\.\d{6} \| +0\.\d{6} \| +\d+\.\d{6}", lines[4])
    assert lines[-1].startswith("Total training time: ")


def test_records(digits) -> None:
    train_loader, test_loader = loaders(digits, 1)
    records = list(training_epochs(network(1), 3, LOSS, ConstantScheduler(0.1), train_loader, test_loader, test_loader))
    assert [record.epoch for record in records] == [0, 1, 2, 3]
    assert records[0].seconds == 0
    assert records[-1].test_accuracy > 0.85
    assert records[-1].train_loss < records[0].train_loss
    for record in records:
        assert (record.validation_loss, record.validation_accuracy) == (record.test_loss, record.test_accuracy)


def test_the_loop_prints_nothing(digits, capsys) -> None:
    list(training_epochs(network(1), 1, LOSS, ConstantScheduler(0.1), *loaders(digits, 1)))
    assert capsys.readouterr() == ("", "")


def test_the_same_seeds_give_the_same_bits(digits) -> None:
    def weights(network_seed: int, order_seed: int) -> list[np.ndarray]:
        M = network(network_seed)
        list(training_epochs(M, 2, LOSS, ConstantScheduler(0.1), *loaders(digits, order_seed)))
        return list(M.weights_and_bias().values())

    for x, y in zip(weights(0, 0), weights(0, 0), strict=True):
        np.testing.assert_array_equal(x, y)
    assert (weights(0, 0)[0] != weights(0, 1)[0]).any()
    assert (weights(0, 0)[0] != weights(1, 0)[0]).any()


def test_evaluation(digits) -> None:
    M, (train_loader, _) = network(1), loaders(digits, 1)
    loss, accuracy = evaluate(M, train_loader, LOSS)
    assert (compute_loss(M, train_loader, LOSS), compute_accuracy(M, train_loader)) == (loss, accuracy)
    Y = M.feedforward(digits["Xtrain"])
    assert accuracy == pytest.approx((Y.argmax(axis=1) == digits["Ttrain"]).mean())
    picked = Y - Y.max(axis=1, keepdims=True)
    logs = picked - np.log(np.exp(picked).sum(axis=1, keepdims=True))
    assert loss == pytest.approx(-logs[np.arange(1500), digits["Ttrain"]].mean(), rel=1e-5)


def test_the_plain_loop_trains_on_the_last_partial_batch() -> None:
    M = network(1, (2, 2))
    X = np.array([[0, 0], [0, 0], [1, 1]], np.float32)
    before = M.layers[0].W.copy()
    stochastic_gradient_descent_plain(M, X, np.array([0, 0, 1]), LOSS, ConstantScheduler(0.1), 1, 2, shuffle=False)
    # Only the third sample, alone in the second batch, has inputs that are not 0.
    assert (before != M.layers[0].W).all()


@pytest.mark.parametrize("column", [False, True])
def test_the_plain_loop_learns(digits, column: bool) -> None:
    M = network(1)
    T = digits["Ttrain"][:, None] if column else digits["Ttrain"]
    rng = np.random.default_rng(1)
    stochastic_gradient_descent_plain(M, digits["Xtrain"], T, LOSS, ConstantScheduler(0.1), 3, 100, True, rng)
    assert compute_accuracy(M, loaders(digits, 1)[1]) > 0.85


def test_train_by_specifications(digits, tmp_path, capsys) -> None:
    np.savez(tmp_path / "digits.npz", **digits)
    network(5).save_weights_and_bias(tmp_path / "weights.npz")
    arguments = (["ReLU", "Linear"], [64, 32, 10], ["Nesterov(0.9)"] * 2, ["HeNormal"] * 2, 50, 2)
    files = (str(tmp_path / "weights.npz"), str(tmp_path / "digits.npz"))
    _, records = train(*arguments, "SoftmaxCrossEntropy", "Constant(0.1)", *files, False, np.random.default_rng(1))
    assert records[0].train_loss == pytest.approx(evaluate(network(5), loaders(digits, 1)[0], LOSS)[0], rel=1e-5)
    assert records[-1].test_accuracy > 0.8
    assert "Total training time" in capsys.readouterr().out


def test_r2_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    X, T = rng.random((70, 5), dtype=np.float32), rng.random((70, 3), dtype=np.float32)
    T[:, 2] = 0.5  # a target that does not vary
    M = network(1, (5, 8, 3))
    loss = SquaredErrorLossFunction()
    mean_loss, r2 = evaluate_regression(M, DataLoader(X, T, 16), loss)
    Y = M.evaluate(X)
    assert r2 == pytest.approx(r2_score(T, Y), rel=1e-6)
    assert mean_loss == pytest.approx(float(loss(Y, T)) / 70, rel=1e-5)
    assert evaluate_regression(M, DataLoader(X, Y, 16), loss)[1] == pytest.approx(1)
    mean = MultilayerPerceptron()
    mean.layers = [LinearLayer(5, 3)]
    mean.layers[0].W[:], mean.layers[0].b[:] = 0, T.mean(axis=0)
    assert evaluate_regression(mean, DataLoader(X, T, 16), loss)[1] == pytest.approx(1 / 3, abs=1e-6)


def test_a_regression_learns_and_measures_r2_instead_of_accuracies() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 4)).astype(np.float32)
    T = np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:3]
    parts = [DataLoader(X[part], T[part], 20, rng=rng) for part in (slice(200), slice(200, None))]
    M = network(1, (4, 32, 1))
    *_, last = training_epochs(M, 30, SquaredErrorLossFunction(), ConstantScheduler(0.01), *parts, regression=True)
    assert last.train_accuracy is last.validation_accuracy is last.test_accuracy is None
    assert last.train_r2 > 0.8
    assert last.validation_r2 is None
    assert last.test_r2 == evaluate_regression(M, parts[1], SquaredErrorLossFunction())[1] > 0.7
