"""Composing many points gives for each of them what Hydra's own `compose` gives."""

import re
from typing import Any

import hydra
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nerva.errors import NervaError
from nerva.experiment.config.composition import Composer, initialized
from nerva.experiment.config.hydra_errors import translated

CHOICES = (
    *("model=small", "model=large", "optimizer=momentum", "optimizer=nesterov", "learning_rate=step_based"),
    *("loss=squared_error", "+experiment=quick", "+experiment=flagship", "tracking=off", "numerics=portable"),
    *("~loss", "~optimizer", "optimizer=none", "+model=large", "++model=large", "model=[small]", "model=3"),
    *("data=mnist", "optimizer@loss=momentum", "+optimizer@loss=nesterov", "override=1", "model/x=1"),
)
VALUES = (
    *("seed=1", "seed=2", "seed='3'", "seed=x", "seed=null", "seed=1.0", "seed=${train.epochs}", "seed=${seed}"),
    *("+seed=4", "++seed=5", "~seed", "~seed=1", "seed=1,2", "seed=range(3)", "+seeds=1", "++seeds=[1,2]"),
    *("train.epochs=1", "train.epochs=2", "train={epochs: 3}", "train={epochs: 3, batch_size: 7}", "train=null"),
    *("train.batch_size=${train.epochs}", "+train.epoch=1", "++train.epochs=9", "~train.epochs", "~train", "train=1"),
    *("model.hidden=[5]", "model.hidden=[]", "model.hidden=[5,6]", "model.hidden=${model.hidden}", "model.hidden=5"),
    *("+model.hidden=[7]", "++model.hidden=[7]", "model.layers=[ReLU,Linear]", "model.layers=[${loss.name}]"),
    *("optimizer.mu=0.5", "+optimizer.mu=0.5", "++optimizer.mu=0.25", "~optimizer.mu", "optimizer.name=Adam"),
    *("optimizer={name: Adam}", "optimizer={name: Adam, beta1: 0.8}", "+optimizer={x: 1}", "optimizer.mu={a: 1}"),
    *("learning_rate.lr=0.3", "learning_rate.lr=${oc.env:NERVA_TEST_LR}", "learning_rate.lr=${oc.env:NO_SUCH}"),
    *("learning_rate.lr=${learning_rate}", "learning_rate.lr=[1]", "learning_rate={lr: 2}", "learning_rate.x=1"),
    *("data.mirrors=[a,b]", "data.validation=100", "data.files={}", "data.files.x={}", "data.class_names=[a]"),
    *("question='a b'", "question=${experiment_name}", "question=${hydra:job.name}", "question=${now:%Y}x"),
    *("question=${oc.decode:'1'}", "experiment_name=${data.name}", "results_dir=${question}", "imports=[a]"),
    *(
        "hydra.mode=RUN",
        "hydra.job.name=x",
        "hydra.nothing=1",
        "+hydra.x=1",
        "~hydra",
        "hydra={}",
        "hydra/launcher=basic",
    ),
    *("tracking.uri=${seed}", "tracking.enabled=maybe", "sweep={id: a}", "sweep.id=${sweep.name}", "force=true"),
    *("x", "=", "a=", "seed=", "seed@a=1", "seed@:b=1", "a.b.c=1", "+a.b.c=1", "model.hidden.0=3", "model.hidden[0]=3"),
)


def outcome(composed: Any) -> Any:
    """What a way to compose gives: the values with their types, or the message of the error."""
    try:
        with translated():
            cfg = composed()
            return OmegaConf.to_container(cfg), OmegaConf.to_object(cfg)
    except Exception as error:
        # Hydra's own key is not in a configuration of ours, so that it is no suggestion either.
        return type(error), re.sub("hydra, ", "", str(error))


@pytest.fixture(autouse=True)
def _environment(monkeypatch) -> None:
    monkeypatch.setenv("NERVA_TEST_LR", "0.7")


def check(composer: Composer, overrides: list[str]) -> None:
    """Compare both ways for one point."""
    expected = outcome(lambda: hydra.compose("config", overrides))
    found = outcome(lambda: composer.compose(overrides))
    if found[0] is expected[0] is NervaError and any("hydra" in override for override in overrides):
        return  # of several mistakes, one is reported; a mistake in Hydra's own part may come first or last
    assert found == expected, overrides


@pytest.mark.long
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(CHOICES), max_size=2),
    st.lists(st.lists(st.sampled_from(VALUES), max_size=4), min_size=2, max_size=3),
)
def test_a_composer_gives_what_hydra_gives(choices: list[str], values: list[list[str]]) -> None:
    with initialized():
        composer = Composer()
        for value in [*values, values[0]]:
            check(composer, ["data=digits", *choices, *value])


@pytest.mark.long
@pytest.mark.parametrize("override", [*CHOICES, *VALUES])
def test_every_override_after_another(override: str) -> None:
    with initialized():
        composer = Composer()
        for overrides in ([override], ["seed=8", override], ["seed=9", override], [override, "train.epochs=7"]):
            check(composer, overrides)


def test_the_points_of_a_sweep_share_what_hydra_has_composed(monkeypatch) -> None:
    calls = []
    original = hydra.compose

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(hydra, "compose", counted)
    with initialized():
        composer = Composer()
        for seed in range(5):
            for optimizer in ("momentum", "nesterov"):
                config, _ = composer.configuration(["data=digits", f"optimizer={optimizer}", f"seed={seed}"])
                assert (config.seed, config.optimizer["name"].lower()) == (seed, optimizer)
    assert len(calls) == 2
