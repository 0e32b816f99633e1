"""What was swept."""

import pytest

from nerva.errors import NervaError
from nerva.experiment.report.factors import find_key, ordered, swept_values
from tests.helpers import configured


def test_keys_that_differ() -> None:
    configs = [configured(f"learning_rate.lr={lr}", f"seed={seed}") for lr in (0.1, 0.2) for seed in (1, 2)]
    assert swept_values(configs) == {"learning_rate.lr": [0.1, 0.1, 0.2, 0.2], "seed": [1, 2, 1, 2]}
    assert swept_values(configs[:1]) == {}


def test_another_component_is_one_key() -> None:
    """Its arguments are others as well."""
    configs = [configured(f"optimizer={name}") for name in ("momentum", "nesterov")]
    assert swept_values(configs) == {"optimizer": ["Momentum(mu=0.9)", "Nesterov(mu=0.9)"]}


def test_networks_are_shown_by_their_layers() -> None:
    configs = [configured("model.hidden=[8]", "model.layers=[ReLU,Linear]"), configured("model.hidden=[8,8]",
               "model.layers=[ReLU,ReLU,Linear]")]  # fmt: skip
    assert swept_values(configs) == {
        "model.hidden": ["[8]", "[8, 8]"],
        "model.layers": ["ReLU-Linear", "2×ReLU-Linear"],
    }


def test_numbers_come_in_order_before_texts() -> None:
    assert ordered([10, "b", 9, 0.5, "a", 9]) == [0.5, 9, 10, "a", "b"]


def test_a_key_is_found_by_a_part_of_its_name() -> None:
    factors = {"model.hidden": [], "model.layers": [], "seed": []}
    assert find_key(factors, "seed") == "seed"
    assert find_key(factors, "layers") == "model.layers"
    with pytest.raises(NervaError, match=r'"model" can mean model\.hidden or model\.layers'):
        find_key(factors, "model")
    with pytest.raises(
        NervaError, match=r'"loss" was not swept; the keys that were swept are: model\.hidden, model\.layers'
    ):
        find_key(factors, "loss")
