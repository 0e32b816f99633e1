"""Initial weights: their distributions and their reproducibility."""

import numpy as np
import pytest

from nerva.weight_initializers import INITIALIZERS, parse_weight_initializer

INITIAL = {
    # The mean and the standard deviation for K = 300, D = 200.
    "Uniform": (0.5, 1 / 12**0.5),
    "Uniform(a=-1, b=1)": (0, 2 / 12**0.5),
    "Normal": (0, 1),
    "Normal(a=2, b=0.5)": (2, 0.5),
    "XavierUniform": (0, (2 / 500) ** 0.5),
    "XavierNormal": (0, (2 / 500) ** 0.5),
    "HeUniform": (0, (2 / 200) ** 0.5),
    "HeNormal": (0, (2 / 200) ** 0.5),
    "LeCunNormal": (0, (1 / 200) ** 0.5),
    "Zero": (0, 0),
}


@pytest.mark.parametrize("text", INITIAL)
def test_initial_weights(text: str) -> None:
    def weights(seed: int) -> np.ndarray:
        W = np.full((300, 200), np.nan, np.float32)
        parse_weight_initializer(text)(W, rng=np.random.default_rng(seed))
        return W

    mean, std = INITIAL[text]
    W = weights(0)
    assert W.dtype == np.float32
    np.testing.assert_allclose([W.mean(), W.std()], [mean, std], atol=0.02 * max(std, 1e-9) + 0.001)
    np.testing.assert_array_equal(W, weights(0))
    if text != "Zero":
        assert (weights(1) != W).any()


def test_every_initializer_is_tested() -> None:
    assert {text.split("(")[0] for text in INITIAL} == set(INITIALIZERS.components)


def test_an_initializer_without_randomness() -> None:
    W = np.zeros((2, 3), np.float32)
    INITIALIZERS.add("Twos", lambda W: W + 2)
    try:
        assert (parse_weight_initializer("Twos")(W, rng=np.random.default_rng(0)) == 2).all()
    finally:
        del INITIALIZERS.components["Twos"]
