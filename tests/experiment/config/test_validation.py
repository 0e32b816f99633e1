"""Validation of configurations."""

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.composition import compose
from nerva.experiment.config.validation import LARGEST_SIZE, validate
from nerva.experiment.identity.identify import identify
from nerva.experiment.run.run import run
from nerva.experiment.sweep.planning import plan_experiment
from nerva.training import MAX_EPOCHS
from tests.helpers import EXPERIMENTS, configured


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_valid_and_has_the_name_of_its_file(name: str) -> None:
    points = plan_experiment(name, ["data=digits"]).points
    assert {point.config.experiment_name for point in points} == {name}


MISTAKES = {
    "train.epochs=0": f"train.epochs should be 1 to {MAX_EPOCHS}, not 0",
    "train.epochs=100000000": f"train.epochs should be 1 to {MAX_EPOCHS}, not 100000000",
    "train.epochs=9223372036854775808": f"train.epochs should be 1 to {MAX_EPOCHS}, not 9223372036854775808",
    f"train.epochs={10**30}": f"train.epochs should be 1 to {MAX_EPOCHS}, not a number of 100 bits",
    "train.batch_size=1201": "train.batch_size should be 1 to 1200, the number of samples that digits has for training",
    "train.batch_size=0": "train.batch_size should be 1 to 1200",
    "train.evaluation_batch_size=0": f"train.evaluation_batch_size should be 1 to {LARGEST_SIZE}, not 0",
    "data.class_names=[a,b]": "data.class_names should be 10 different names, or none, not 2",
    "data.class_names=[a,a,b,c,d,e,f,g,h,i]": "data.class_names should be 10 different names, or none, not 9",
    "data.validation=1500": "data.validation should be 1 to 1499, not 1500",
    "data.features=-1": f"data.features should be 1 to {LARGEST_SIZE}, not -1",
    "data.classes=0": f"data.classes should be 1 to {LARGEST_SIZE}, not 0",
    "data.test=0": "data.test should be 1 to",
    "data.task=ranking": 'data.task should be classification or regression, not "ranking"',
    "data.task=regression": f"data.targets should be 1 to {LARGEST_SIZE}, not 0",
    "train.metric=test_accuracy": "train.metric should be validation_accuracy or validation_loss for digits",
    "train.stop.patience=-1": f"train.stop.patience should be 0 to {MAX_EPOCHS}, not -1",
    "train.stop.min_delta=-0.1": "train.stop.min_delta should be 0 or more, not -0.1",
    "train.stop.min_delta=inf": "train.stop.min_delta should be 0 or more, not inf",
    "objective=best": "objective should be one of best.validation_accuracy",
    "direction=down": 'direction should be maximize or minimize, not "down"',
    "data.sha256=/etc/passwd": 'data.sha256 should be 64 hexadecimal digits, not "/etc/passwd"',
    "seed=-1": "seed should be 0 to 9223372036854775807, not -1",
    "seed=99999999999999999999": "seed should be 0 to 9223372036854775807",
    "learning_rate.lr=-0.1": "learning_rate: lr should be greater than 0 and finite, not -0.1",
    "learning_rate.lr=1e309": "should be greater than 0 and finite, not inf",
    "+optimizer.nu=1": 'there is no "nu"; Momentum takes "mu"',
    "optimizer.mu=fast": '"mu" should be a number, not "fast"',
    "optimizer.mu=2": "optimizer: mu ",
    "optimizer.name=Momentun": 'unknown optimizer "Momentun"; known: Momentum',
    "loss.name=Softmax": 'unknown loss function "Softmax"',
    "model.hidden=[8,8]": "model.layers has 2 layers with weights, ['ReLU', 'Linear'], but model.hidden has 2 sizes",
    "model.hidden=[0]": f"each size in model.hidden should be 1 to {LARGEST_SIZE}, not 0",
    "model.layers=[Relu,Linear]": 'model.layers: unknown layer "Relu"; known: ReLU',
    "model.weights=Xavier": 'model.weights: unknown weight initializer "Xavier"; known: Xavier',
    "model.weights='Normal(0,-1)'": "model.weights: ",
    "model.weights='Uniform(1,nan)'": '"b" should be a number, not "nan"',
    "experiment_name=a/b": "experiment_name names a folder",
    "experiment_name=..": "experiment_name names a folder",
    "numerics.mode=fast": 'numerics.mode should be auto, portable or native, not "fast"',
    "imports=[no_such_module]": 'there is no module "no_such_module" to import',
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_reported(mistake: str) -> None:
    with pytest.raises(NervaError) as raised:
        validate(configured(mistake))
    assert MISTAKES[mistake] in str(raised.value)


def test_a_regression_needs_a_loss_of_numbers() -> None:
    regression = ("data.task=regression", "data.targets=1")
    validate(configured(*regression))
    with pytest.raises(
        NervaError, match=r"loss is SoftmaxCrossEntropy, .* digits is a regression; use loss=squared_error"
    ):
        validate(configured(*regression, "loss=softmax_cross_entropy"))


@pytest.mark.parametrize("shape", ["data.train=1400", "data.features=100"])
def test_a_shape_that_the_data_do_not_have_is_reported_before_a_run_is_written(shape: str, results) -> None:
    config = configured(shape)
    with pytest.raises(NervaError, match=r"Xtrain has shape \(1500, 64\), but"):
        run(config, identify(config))
    assert not list(results.glob("runs/[!.]*"))


def test_a_schedule_that_is_not_finite() -> None:
    config = configured("learning_rate=step_based", "learning_rate.drop_rate=1e10", "learning_rate.change_rate=0.01")
    with pytest.raises(NervaError, match=r"learning_rate: StepBased.* is inf at epoch"):
        validate(config)


def test_the_most_epochs_are_checked_in_constant_time() -> None:
    for schedule in ("constant", "exponential", "multi_step", "step_based", "time_based"):
        validate(configured(f"learning_rate={schedule}", f"train.epochs={MAX_EPOCHS}"))


@pytest.mark.parametrize("name", ["../digits", "a/b", "/etc/passwd", "", ".hidden", "a\n", "x" * 101, "a\0b"])
def test_names_of_files_do_not_lead_into_other_folders(name: str) -> None:
    config = configured()
    config.data.name = name
    with pytest.raises(NervaError, match=r"data\.name should be the name of a file, without folders"):
        validate(config)
    config = compose(["data=mnist"])
    config.data.files["test_images"].archive = name
    with pytest.raises(NervaError, match=r"data\.files\.test_images\.archive should be the name of a file"):
        validate(config)
