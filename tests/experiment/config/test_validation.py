"""Configurations: what is valid, and what is said of the rest."""

import subprocess

import pytest

from nerva.errors import NervaError
from nerva.experiment import CONF
from nerva.experiment.config.composition import compose, expand
from nerva.experiment.config.schema import specification, validate
from nerva.experiment.identity.identify import run_id
from nerva.experiment.run.train import run
from tests.helpers import EXPERIMENTS, configured


def test_a_configuration() -> None:
    config = configured("model=large", "optimizer=nesterov", "learning_rate=step_based", "seed=7")
    validate(config)
    assert config.sizes == [64, 1024, 512, 10]
    assert specification(config.optimizer) == "Nesterov(mu=0.9)"
    assert specification(config.learning_rate) == "StepBased(lr=0.1, drop_rate=0.5, change_rate=5.0)"
    assert (config.title, config.seed) == ("digits-single", 7)


def test_every_option_of_every_group_is_valid() -> None:
    for group in ("model", "optimizer", "learning_rate", "loss", "tracking"):
        for path in sorted((CONF / group).glob("*.yaml")):
            config = compose(["data=digits", f"{group}={path.stem}"])
            validate(config)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_valid_and_named_like_its_file(name: str) -> None:
    points = expand(name, ["data=digits"])
    assert {point.config.experiment_name for point in points} == {name}
    for point in points:
        validate(point.config)


MISTAKES = {
    "train.epochs=0": "train.epochs should be 1 or more, not 0",
    "train.epochs=two": "train.epochs: Value 'two' of type 'str' could not be converted to Integer",
    "train.epoch=3": 'there is no "epoch" in train; did you mean "epochs"?',
    "trian.epochs=3": 'there is no "trian" in the configuration; did you mean "train"?',
    "train.batch_size=1201": "train.batch_size should be 1 to 1200, the samples that digits has for training",
    "train.batch_size=0": "train.batch_size should be 1 to 1200",
    "data.class_names=[a,b]": "data.class_names should be 10 different names, or none, not 2",
    "data.class_names=[a,a,b,c,d,e,f,g,h,i]": "data.class_names should be 10 different names, or none, not 9",
    "data.validation=1500": "data.validation should be 1 to 1499, not 1500",
    "data=mnits": 'there is no "mnits" in conf/data; did you mean "mnist"?',
    "data=3": "must be a string",
    "seed=-1": "seed should be 0 to 9223372036854775807, not -1",
    "learning_rate.lr=-0.1": "learning_rate: lr should be greater than 0 and finite, not -0.1",
    "learning_rate.rate=0.1": 'there is no "rate" in learning_rate',
    "+optimizer.nu=1": 'there is no "nu"; Momentum takes "mu"',
    "optimizer.mu=fast": '"mu" should be a number, not "fast"',
    "optimizer.mu=2": "optimizer: mu is the part of the last step that is kept: 0 to 1, not 2",
    "optimizer.name=Momentun": 'unknown optimizer "Momentun"; known: Momentum',
    "loss.name=Softmax": 'unknown loss function "Softmax"',
    "model.hidden=[8,8]": "model.layers has 2 layers with weights, ['ReLU', 'Linear'], but model.hidden has 2 sizes",
    "model.hidden=[0]": "each size in model.hidden should be 1 or more, not 0",
    "model.layers=[Relu,Linear]": 'model.layers: unknown layer "Relu"; known: ReLU',
    "model.weights=Xavier": 'model.weights: unknown weight initializer "Xavier"; known: Xavier',
    "experiment_name=a/b": "experiment_name names a folder",
    "+experiment=quik": 'there is no "quik" in conf/experiment; did you mean "quick"?',
    "nonsense": "missing EQUAL",
    "+train.epoch=3": 'there is no "epoch" in train; did you mean "epochs"?',
    "+seeds=3": 'there is no "seeds" in the configuration; did you mean "seed"?',
    "data.name=mnist": "data.name says what the data are",
    "data.train=1400": r"Xtrain has shape (1500, 64), but (1400, 64) is declared",
    "data.features=100": r"Xtrain has shape (1500, 64), but (1500, 100) is declared",
    "model.weights='Normal(0,-1)'": "the standard deviation should be 0 or more",
    "model.weights='Uniform(1,nan)'": '"b" should be a number, not "nan"',
    "learning_rate.lr=1e309": "should be greater than 0 and finite, not inf",
    "seed=99999999999999999999": "seed should be 0 to 9223372036854775807",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_before_anything_is_written(mistake: str, results) -> None:
    with pytest.raises(NervaError) as raised:
        run(compose([mistake] if mistake.startswith("data=") else ["data=digits", mistake]), [])
    assert MISTAKES[mistake] in str(raised.value)
    assert not list(results.glob("runs/[!.]*"))


def test_a_schedule_that_grows_beyond_all_numbers() -> None:
    config = configured("learning_rate=step_based", "learning_rate.drop_rate=1e10", "learning_rate.change_rate=0.01")
    with pytest.raises(NervaError, match=r"learning_rate: StepBased.* is too large for a number at epoch 0"):
        validate(config)


def test_a_file_that_is_no_yaml(tmp_path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "bad.yaml").write_text("# @package _global_\ntrain: [1,\n")
    command = ["nerva", "train", "--config-dir", str(tmp_path / "conf"), "data=digits", "+experiment=bad"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "a configuration file is not YAML" in result.stderr
    assert "bad.yaml" in result.stderr


def test_auto_is_replaced_by_what_was_chosen(results) -> None:
    (results / "data").mkdir(parents=True)
    (results / "data" / "auto.json").write_text('{"chosen": "digits", "reason": "of a test"}')
    config = compose([])
    assert config.data.name == "digits"
    assert config.data.note == "chosen by data=auto: of a test"
    assert run_id(config) == run_id(compose(["data=digits"]))
