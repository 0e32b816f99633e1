"""Composition of configurations by Hydra, and the messages for overrides that it can't compose."""

import subprocess

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.composition import compose
from nerva.experiment.config.overrides import check_overrides, restore_quote, split_overrides
from nerva.experiment.config.schema import specification
from nerva.experiment.identity.identify import identify
from nerva.experiment.paths import conf_dir, options
from tests.helpers import configured


def test_a_configuration() -> None:
    config = configured("model=large", "optimizer=nesterov", "learning_rate=step_based", "seed=7")
    assert config.sizes == [64, 1024, 512, 10]
    assert specification(config.optimizer) == "Nesterov(mu=0.9)"
    assert specification(config.learning_rate) == "StepBased(lr=0.1, drop_rate=0.5, change_rate=5.0)"
    assert (config.title, config.seed) == ("digits-single", 7)


def test_composing_writes_nothing(results, tmp_path) -> None:
    compose([])
    assert not results.exists()
    assert [*tmp_path.iterdir()] == []


MISTAKES = {
    "train.epochs=two": "train.epochs: Value 'two' of type 'str' could not be converted to Integer",
    "train.epoch=3": 'there is no "epoch" in train; did you mean "epochs"?',
    "trian.epochs=3": 'there is no "trian" in the configuration; did you mean "train"?',
    "data=mnits": 'there is no "mnits" in conf/data; did you mean "mnist"?',
    "data=3": "must be a string",
    "+experiment=quik": 'there is no "quik" in conf/experiment; did you mean "quick"?',
    "numerics=fast": 'there is no "fast" in conf/numerics',
    "nonsense": "missing EQUAL",
    "+train.epoch=3": 'there is no "epoch" in train; did you mean "epochs"?',
    "+sed=3": 'there is no "sed" in the configuration; did you mean "seed"?',
    "data.name=mnist": "data.name identifies the dataset and can't be overridden",
    "data.source=idx": "data.source identifies the dataset and can't be overridden",
    "data.title=MNIST": "data.title identifies the dataset and can't be overridden",
    "learning_rate=[1]": "",
    "loss=[1]": "",
    "learning_rate=${oc.select:seed}": "",
    "seed=${oc.env:NO_SUCH_VARIABLE}": "seed: the environment variable NO_SUCH_VARIABLE is not set",
    "seed=${nosuch:1}": "nosuch",
    "tracking=server": "tracking.uri: the environment variable MLFLOW_TRACKING_URI is not set",
    "seed=${seed}": "",
    "model.hidden=" + 1000 * "[" + 1000 * "]": "has brackets nested 1000 deep; 50 is the most",
    "model.weights=" + 20_000 * "x": "has 20,014 characters; 10,000 is the most",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[:40])
def test_mistakes_are_reported(mistake: str) -> None:
    with pytest.raises(NervaError) as raised:
        compose([mistake] if mistake.startswith("data=") else ["data=digits", mistake])
    assert MISTAKES[mistake] in str(raised.value)
    assert str(raised.value).strip()


def test_the_deepest_and_the_longest_override() -> None:
    check_overrides(["a=" + 50 * "[" + 50 * "]", "a=" + 9_998 * "x", "a=" + 100 * "[]"])
    with pytest.raises(NervaError, match="nested 51 deep"):
        check_overrides(["a=" + 51 * "{" + 51 * "}"])


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("", []),
        (" seed=1   train.epochs=2 ", ["seed=1", "train.epochs=2"]),
        ("model.layers=[ReLU, Linear] seed=1,2", ["model.layers=[ReLU, Linear]", "seed=1,2"]),
        ("model.layers=['LeakyReLU(0.1)',Linear]", ["model.layers=['LeakyReLU(0.1)',Linear]"]),
        ("""model.weights='Normal(0, 0.1)' a="b c" """, ["model.weights='Normal(0, 0.1)'", 'a="b c"']),
        ("seed=range(1, 4)", ["seed=range(1, 4)"]),
        ("a=[[1, 2], [3, 4]] b=1", ["a=[[1, 2], [3, 4]]", "b=1"]),
        ("a={b: [1, 2], c: f(1, 2)} d=1", ["a={b: [1, 2], c: f(1, 2)}", "d=1"]),
        ("a=['(', ']'] b=1", ["a=['(', ']']", "b=1"]),
        ("question='[why' b=1", ["question='[why'", "b=1"]),
    ],
)
def test_overrides_in_one_text(text: str, overrides: list[str]) -> None:
    assert split_overrides(text) == overrides


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model.weights='Normal(0,0.1)", "' is missing in model"),
        ('question="why', '" is missing in question="why'),
        ("model.layers=[ReLU", "] is missing"),
        ("seed=range(1", ") is missing"),
        ("a=]", "there is no bracket to close by ]"),
        ("a=(]", "there is no bracket to close by ]"),
        ("a=" + "[]" * 40_000 + "[", "] is missing in a="),
        ("'" + "a" * 90_000, "' is missing in 'aaa"),
    ],
    ids=lambda text: text[:20],
)
def test_a_quote_or_a_bracket_that_is_not_closed(text: str, reason: str) -> None:
    with pytest.raises(NervaError) as raised:
        split_overrides(text)
    assert reason in str(raised.value)
    assert len(str(raised.value)) < 300


def test_every_option_of_every_group_can_be_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")  # for tracking=server
    for group in ("model", "optimizer", "learning_rate", "loss", "numerics", "tracking"):
        assert (conf_dir() / group).is_dir()
        for option in options(group):
            identify(compose(["data=digits", f"{group}={option}"]))


def test_a_file_that_is_not_yaml(tmp_path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "bad.yaml").write_text("# @package _global_\ntrain: [1,\n")
    command = ["nerva", "train", "--config-dir", str(tmp_path / "conf"), "data=digits", "+experiment=bad"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "a configuration file is not YAML" in result.stderr
    assert "bad.yaml" in result.stderr


def test_auto_is_replaced_by_the_dataset_that_was_chosen(results) -> None:
    (results / "data").mkdir(parents=True)
    (results / "data" / "auto.json").write_text('{"chosen": "digits", "reason": "of a test"}')
    config = compose(["data.validation=200"])
    assert (config.data.name, config.data.validation) == ("digits", 200)
    assert config.data.note == "chosen by data=auto: of a test"
    assert identify(config).run_id == identify(compose(["data=digits", "data.validation=200"])).run_id


def test_auto_is_predicted_without_writing(results, monkeypatch) -> None:
    monkeypatch.delenv("NERVA_DATA_DIR", raising=False)
    config = compose([])
    assert config.data.name == "digits"
    assert not results.exists()


@pytest.mark.parametrize(
    ("text", "restored"),
    [
        ('seed=1 question="x', 'seed=1 question="x"'),
        ("seed=1", "seed=1"),
        ("question=\"Adam's rate", 'question="Adam\'s rate"'),
        ('question="Adam\'s rate" seed=1', 'question="Adam\'s rate" seed=1'),
        ("question='x", "question='x'"),
        ("where=\"name == 'x", "where=\"name == 'x'\""),
        ('where=\'name == "" or seed == "x', 'where=\'name == "" or seed == "x"\''),
        ("where=\"name == 'x' and seed", "where=\"name == 'x' and seed\""),
    ],
)
def test_a_quote_that_snakemake_removed_is_restored(text: str, restored: str) -> None:
    assert restore_quote(text) == restored
