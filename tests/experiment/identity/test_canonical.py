"""The canonical form of a configuration."""

import json

import pytest

from nerva.activation_functions import ReLUActivation
from nerva.experiment.config.overrides import split_overrides
from nerva.experiment.identity import canonical
from nerva.experiment.identity.canonical import canonical_form, flat, named_components
from nerva.experiment.identity.fingerprint import fingerprint
from nerva.layers import LinearLayer
from nerva.learning_rate import ConstantScheduler, WarmUpScheduler
from nerva.optimizers import MomentumOptimizer, WeightDecayOptimizer
from tests.helpers import configured

SAME = ["tracking=mlflow", "experiment_name=other", "results_dir=elsewhere", "data.mirrors=[]", "question=Why?"]
SAME += ["force=true", "learning_rate.lr=1e-2", "optimizer.mu=0.90", "model.layers=['ReLU()',Linear]"]
SAME += ["model.weights='HeNormal()'", "data.class_names=[]", "sweep.id=0123", "loss=auto"]
SAME += ["objective=last.test_loss", "direction=maximize"]
SAME += ["train.metric=validation_accuracy", "train.stop.min_delta=0.1", "train.stop.metric=validation_loss"]
OTHER = ["seed=2", "train.epochs=3", "train.batch_size=50", "train.evaluation_batch_size=7", "data.validation=200"]
OTHER += ["optimizer=nesterov", "optimizer.mu=0.8", "learning_rate.lr=0.02", "loss=squared_error"]
OTHER += ["model.hidden=[32]", "model.layers=[Sigmoid,Linear]", "model.weights=XavierNormal"]
OTHER += ["train.metric=validation_loss", "train.stop.patience=1", "train.stop.patience=2"]
OTHER += ["train.stop={patience: 1, min_delta: 0.5}", "train.stop={patience: 1, metric: validation_loss}"]
OTHER += ["data.sha256=" + "0" * 64, "data.sha256=null", "data.sha256=null data.train=1400", "numerics=native"]


@pytest.mark.parametrize("override", SAME)
def test_what_does_not_determine_the_result_is_left_out(override: str) -> None:
    assert canonical_form(configured(override)) == canonical_form(configured())


def test_what_determines_the_result_is_included() -> None:
    forms = [canonical_form(configured())] + [
        canonical_form(configured(*split_overrides(override))) for override in OTHER
    ]
    if configured().numerics.mode == "native":
        forms.pop()
    assert len({json.dumps(form) for form in forms}) == len(forms)


def test_components_have_all_their_arguments_in_their_types() -> None:
    config = configured("model.weights='Normal(b=2)'")
    config.optimizer = {"name": "Adam", "beta1": "1e-1"}
    form = canonical_form(config)
    assert form["optimizer"] == "Adam(beta1=0.1, beta2=0.999, epsilon=1e-08)"
    assert form["weights"] == "Normal(a=0.0, b=2.0)"
    assert form["layers"] == ["ReLU", "Linear"]
    assert (form["learning_rate"], form["loss"]) == ("Constant(lr=0.01)", "SoftmaxCrossEntropy")
    assert json.loads(json.dumps(form)) == form


def test_the_preparation_of_data_counts_if_their_checksum_is_not_declared(tmp_path, monkeypatch) -> None:
    declared, undeclared = configured(), configured("data.sha256=null")
    before = canonical_form(declared), canonical_form(undeclared)
    assert "preparation" not in before[0]["data"]
    assert {"formats", "raw"} == {*before[1]["data"]["preparation"]}
    edited = [tmp_path / path.name for path in canonical.PREPARATION]
    for old, new in zip(canonical.PREPARATION, edited, strict=True):
        new.write_text(old.read_text() + "\nedited = True\n")
    monkeypatch.setattr(canonical, "PREPARATION", edited)
    assert canonical_form(declared) == before[0]
    after = canonical_form(undeclared)["data"]["preparation"]
    assert after == {path.stem: fingerprint(path.read_bytes()) for path in edited}
    assert not {*after.values()} & {*before[1]["data"]["preparation"].values()}


def test_named_components_include_those_inside_others() -> None:
    config = configured()
    config.optimizer = {"name": "WeightDecay", "optimizer": "Momentum(0.9)", "decay": 0.1}
    config.learning_rate = {"name": "WarmUp", "schedule": "Constant(0.1)", "epochs": 1}
    named = named_components(config)
    assert {WeightDecayOptimizer, MomentumOptimizer, WarmUpScheduler, ConstantScheduler} <= {*named}
    assert {ReLUActivation, LinearLayer} <= {*named}


def test_nested_dictionaries_as_one() -> None:
    assert flat({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
