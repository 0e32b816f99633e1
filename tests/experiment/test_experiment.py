"""Configurations, identities, runs, tracking and comparison: the parts below the command line."""

import csv
import logging
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nerva.experiment import CONF
from nerva.experiment.compare import leaderboard, load, summary, write
from nerva.experiment.compose import compose, expand, split
from nerva.experiment.config import Config, canonical, specification, validate
from nerva.experiment.folder import RunFolder
from nerva.experiment.identity import configuration_id, fingerprint, run_id
from nerva.experiment.run import run
from nerva.utilities import NervaError, load_dict_from_npz

DIGITS = ["data=digits", "train.epochs=2", "tracking=off"]
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch) -> Path:
    """Results go to a folder of the test's own, and the current folder is another."""
    monkeypatch.setenv("NERVA_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def configured(*overrides: str) -> Config:
    return compose([*DIGITS, *overrides])


# --- configurations ---------------------------------------------------------------------------------------------


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
    "model.weights='Uniform(1,nan)'": "finite numbers a ≤ b, not 1.0 and nan",
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


# --- sweeps -----------------------------------------------------------------------------------------------------


def test_quick_has_twelve_points() -> None:
    points = expand("quick", ["data=digits"])
    assert len({point.run_id for point in points}) == 12
    assert len({configuration_id(point.config) for point in points}) == 6


@pytest.mark.parametrize("overrides", [["seed=5"], ["learning_rate.lr=0.3,0.4", "seed=range(3)"], ["train.epochs=7"]])
def test_points_are_those_of_hydras_multirun(overrides: list[str], tmp_path) -> None:
    """Hydra's own launcher, asked what it would do, names the same jobs in the same order."""
    program = tmp_path / "program.py"
    program.write_text(
        "import hydra\nfrom hydra.core.hydra_config import HydraConfig\nimport nerva.experiment.compose as c\n"
        "@hydra.main(version_base='1.3', config_path=str(c.CONF), config_name='config')\n"
        "def main(cfg): print('JOB', *HydraConfig.get().overrides.task)\nmain()\n"
    )
    arguments = ["-m", "+experiment=quick", "data=digits", *overrides]
    command = [sys.executable, str(program), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    jobs = [line.split()[1:] for line in result.stdout.splitlines() if line.startswith("JOB")]
    assert jobs == [point.overrides for point in expand("quick", ["data=digits", *overrides])]


def test_a_sweep_with_a_mistake_in_one_point_is_refused() -> None:
    with pytest.raises(NervaError, match=r"train\.epochs should be 1 or more, not 0"):
        expand("quick", ["data=digits", "train.epochs=5,0"])
    with pytest.raises(NervaError, match=r'there is no experiment "fast".*flagship, quick'):
        expand("fast")
    with pytest.raises(NervaError, match="should have one title, not digits-quick and mnist-quick"):
        expand("quick", ["data=digits,mnist"])
    with pytest.raises(NervaError, match="should have one title, not digits-a and digits-b"):
        expand("quick", ["data=digits", "experiment_name=a,b"])
    with pytest.raises(NervaError, match="should have one results_dir"):
        expand("quick", ["data=digits", "results_dir=a,b"])


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("", []),
        (" seed=1   train.epochs=2 ", ["seed=1", "train.epochs=2"]),
        ("model.layers=[ReLU, Linear] seed=1,2", ["model.layers=[ReLU, Linear]", "seed=1,2"]),
        ("model.layers=['LeakyReLU(0.1)',Linear]", ["model.layers=['LeakyReLU(0.1)',Linear]"]),
        ("""model.weights='Normal(0, 0.1)' a="b c" """, ["model.weights='Normal(0, 0.1)'", 'a="b c"']),
        ("seed=range(1, 4)", ["seed=range(1, 4)"]),
    ],
)
def test_overrides_in_one_text(text: str, overrides: list[str]) -> None:
    assert split(text) == overrides


@pytest.mark.parametrize("text", ["model.weights='Normal(0,0.1)", "model.layers=[ReLU", "seed=range(1"])
def test_overrides_that_are_not_closed(text: str) -> None:
    with pytest.raises(NervaError, match="a quote or a bracket is not closed"):
        split(text)


# --- identity ---------------------------------------------------------------------------------------------------


def test_what_does_not_matter_does_not_count(tmp_path) -> None:
    same = ["tracking=mlflow", "experiment_name=other", f"results_dir={tmp_path}", "data.mirrors=[]"]
    same += ["learning_rate.lr=1e-2", "optimizer.mu=0.90", "model.layers=['ReLU()',Linear]"]
    assert {run_id(configured(override)) for override in same} == {run_id(configured())}


def test_what_matters_counts() -> None:
    other = ["seed=2", "train.epochs=3", "train.batch_size=50", "train.evaluation_batch_size=7", "data.validation=200"]
    other += ["optimizer=nesterov", "optimizer.mu=0.8", "learning_rate.lr=0.02", "loss=squared_error"]
    other += ["model.hidden=[32]", "model.layers=[Sigmoid,Linear]", "model.weights=XavierNormal", "data.sha256=0"]
    ids = [run_id(configured())] + [run_id(configured(override)) for override in other]
    assert len(set(ids)) == len(other) + 1


def test_the_seed_does_not_count_for_a_configuration() -> None:
    assert configuration_id(configured("seed=2")) == configuration_id(configured())
    assert configuration_id(configured("train.epochs=3")) != configuration_id(configured())


def test_canonical_values_are_json() -> None:
    assert canonical(configured())["optimizer"] == "Momentum(mu=0.9)"
    assert canonical(configured("optimizer=gradient_descent"))["optimizer"] == "GradientDescent()"


SOURCE = '"""Doc."""\ndef f(x, y=1):\n    """Doc."""\n    return x - y  # why\n'
SAME = ["def f(x, y = 1):\n    return (x -\n            y)\n", "# c\n\ndef f(x,y=1): return x-y"]
OTHER = ["def f(x, y=1): return x + y", "def f(x, y=1.0): return x - y", "def f(x, y=True): return x - y"]
OTHER += ["def f(x, y=None): return x - y", "def f(x, y='1'): return x - y", "def g(x, y=1): return x - y", "pass"]


def test_fingerprints() -> None:
    assert {fingerprint(source) for source in SAME} == {fingerprint(SOURCE)}
    assert len({fingerprint(source) for source in [SOURCE, *OTHER]}) == len(OTHER) + 1


# --- runs -------------------------------------------------------------------------------------------------------


def test_a_run(results, caplog) -> None:
    caplog.set_level(logging.INFO)
    config = configured("experiment_name=test")
    folder = run(config, ["data=digits"])
    assert folder.path == results / "runs" / run_id(config)
    assert folder.is_whole()
    rows = folder.read_metrics()
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    what = folder.read_summary()
    assert (what["status"], what["reason"], what["overrides"]) == ("finished", None, ["data=digits"])
    assert what["best"]["validation_accuracy"] == max(row["validation_accuracy"] for row in rows)
    assert what["last"]["test_loss"] == rows[-1]["test_loss"]
    assert what["data"]["sha256"] == config.data.sha256
    weights = load_dict_from_npz(folder.weights)
    assert weights.pop("architecture").tolist() == ['[["ReLU", 64, 64], ["Linear", 64, 10]]']
    assert {name: w.dtype for name, w in weights.items()} == dict.fromkeys(("W1", "b1", "W2", "b2"), np.float32)
    assert folder.read_config()["optimizer"] == {"name": "Momentum", "mu": 0.9}
    log = folder.log.read_text()
    assert "1200 samples for training, 300 for validation, 297 for testing" in log
    assert len([line for line in log.splitlines() if "0.010000" in line]) == 3


def test_best_weights_are_those_of_the_best_epoch() -> None:
    # So high a rate that some epochs make it worse.
    folder = run(configured("learning_rate.lr=0.3", "train.epochs=8", "optimizer.mu=0.95", "model.hidden=[16]"), [])
    what = folder.read_summary()
    best = what["best"]["epoch"]
    assert 0 < best < 8, "this test needs a run whose last epoch is not its best"
    shorter = run(
        configured("learning_rate.lr=0.3", f"train.epochs={best}", "optimizer.mu=0.95", "model.hidden=[16]"), []
    )
    for name, w in load_dict_from_npz(folder.best).items():
        np.testing.assert_array_equal(w, load_dict_from_npz(shorter.weights)[name])
    assert folder.weights.read_bytes() != folder.best.read_bytes()


def test_a_run_repeats_and_is_made_once(results, tmp_path, monkeypatch, caplog) -> None:
    caplog.set_level(logging.INFO)
    first = run(configured(), [])
    again = run(configured(), [])
    assert "is there already" in caplog.text
    assert again.summary.stat().st_mtime_ns == first.summary.stat().st_mtime_ns
    monkeypatch.setenv("NERVA_RESULTS_DIR", str(tmp_path / "elsewhere"))
    other = run(configured(), [])
    assert other.path != first.path
    assert other.weights.read_bytes() == first.weights.read_bytes()
    drop = {"seconds", "time"}
    for a, b in zip(first.read_metrics(), other.read_metrics(), strict=True):
        assert {k: v for k, v in a.items() if k not in drop} == {k: v for k, v in b.items() if k not in drop}


@pytest.mark.parametrize("missing", ["run.json", "weights.npz", "metrics.csv", "best.npz", "config.yaml"])
def test_a_run_that_is_not_whole_is_made_again(missing: str) -> None:
    folder = run(configured(), [])
    before = folder.weights.read_bytes()
    (folder.path / missing).unlink()
    assert not folder.is_whole()
    assert run(configured(), []).is_whole()
    assert folder.weights.read_bytes() == before


def test_a_run_that_diverges_ends_as_failed(caplog) -> None:
    folder = run(configured("learning_rate.lr=1e30"), [])
    what = folder.read_summary()
    assert what["status"] == "failed"
    assert what["reason"] == "the loss is nan after epoch 1: training diverged"
    assert what["best"] is None
    assert what["last"]["train_loss"] == "nan"
    assert len(folder.read_metrics()) == 2
    assert "training diverged" in folder.log.read_text()


def test_a_run_that_is_not_finite_from_the_start() -> None:
    good = run(configured(), [])
    bad = run(configured("model.weights='Uniform(0,1e38)'"), [])
    assert bad.read_summary()["reason"].endswith("after epoch 0: training diverged")
    comparison = load([good, bad], "digits-test")
    assert list(comparison.board["failed"]) == [0, 1]
    assert comparison.runs["validation_accuracy"].isna().tolist() == [False, True]


def test_spellings_of_a_number_are_one_configuration() -> None:
    folders = [
        run(configured("learning_rate.lr=1", "seed=1"), []),
        run(configured("learning_rate.lr=1.0", "seed=2"), []),
    ]
    assert len(load(folders, "digits-test").board) == 1


def test_unfinished_files_of_a_run_that_was_killed_are_removed() -> None:
    folder = run(configured(), [])
    folder.summary.unlink()
    (folder.path / ".metrics.csv.4711.tmp.csv").write_text("half")
    run(configured(), [])
    assert not list(folder.path.glob(".*"))


@pytest.mark.parametrize("name", ["run.json", "metrics.csv"])
def test_damaged_folders_are_told(name: str) -> None:
    folder = run(configured(), [])
    (folder.path / name).write_text("{}")
    with pytest.raises(NervaError, match=rf"{name} .*; delete .*{folder.run_id}"):
        load([folder], "digits-test")


def test_metrics_come_back_bit_for_bit(results) -> None:
    folder = run(configured(), [])
    with folder.metrics.open() as file:
        texts = list(csv.DictReader(file))
    for text, row in zip(texts, folder.read_metrics(), strict=True):
        assert repr(row["train_loss"]) == text["train_loss"]


def test_a_run_that_has_not_ended_is_told(results) -> None:
    with pytest.raises(NervaError, match="has not ended"):
        RunFolder.of(results, "0" * 12).read_summary()


# --- tracking ---------------------------------------------------------------------------------------------------


def test_runs_are_logged_once(results) -> None:
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    uri = f"sqlite:///{results}/mlflow.db"
    good, bad = run(configured(), []), run(configured("learning_rate.lr=1e30"), [])
    assert track([good], "digits-test", uri, results) == 1
    assert track([good, bad], "digits-test", uri, results) == 1
    assert track([good, bad], "digits-test", uri, results) == 0
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits-test")
    runs = {r.data.tags["nerva.run_id"]: r for r in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 2

    logged = runs[good.run_id]
    assert logged.info.status == "FINISHED"
    assert logged.data.params["optimizer.mu"] == "0.9"
    assert logged.data.params["model.hidden"] == "[64]"
    assert logged.data.tags["nerva.data.sha256"] == good.read_summary()["data"]["sha256"]
    assert logged.data.tags["nerva.sweep"] == "digits-test"
    history = client.get_metric_history(logged.info.run_id, "validation/accuracy")
    assert [(m.step, m.value) for m in history] == [
        (row["epoch"], row["validation_accuracy"]) for row in good.read_metrics()
    ]
    assert logged.data.metrics["best/test_accuracy"] == good.read_summary()["best"]["test_accuracy"]
    names = {artifact.path for artifact in client.list_artifacts(logged.info.run_id)}
    assert names == {"config.yaml", "run.json", "metrics.csv", "weights.npz", "best.npz", "run.log"}
    local = client.download_artifacts(logged.info.run_id, "weights.npz")
    assert Path(local).read_bytes() == good.weights.read_bytes()
    assert logged.info.artifact_uri.startswith((results / "mlartifacts" / "digits-test").as_uri())

    assert runs[bad.run_id].info.status == "FAILED"
    assert "training diverged" in runs[bad.run_id].data.tags["mlflow.note.content"]


def test_what_was_left_half_logged_is_logged_again(results) -> None:
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    uri = f"sqlite:///{results}/mlflow.db"
    folder = run(configured(), [])
    track([], "digits-test", uri, results)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits-test").experiment_id
    client.create_run(experiment, tags={"nerva.run_id": folder.run_id})  # and then its process was killed
    assert track([folder], "digits-test", uri, results) == 1
    assert [r.info.status for r in client.search_runs([experiment])] == ["FINISHED"]


def test_a_long_run_is_logged_whole(results) -> None:
    """More metrics than MLflow takes at once."""
    from mlflow import MlflowClient

    from nerva.experiment.tracking import track

    folder = run(configured("train.epochs=130", "model=linear"), [])
    uri = f"sqlite:///{results}/mlflow.db"
    track([folder], "digits-test", uri, results)
    client = MlflowClient(uri)
    logged = client.search_runs([client.get_experiment_by_name("digits-test").experiment_id])[0]
    for name in ("train/loss", "time/seconds", "test/accuracy"):
        assert [m.step for m in client.get_metric_history(logged.info.run_id, name)] == list(range(131))


def test_a_store_that_cannot_be_had_is_told(results) -> None:
    from nerva.experiment.tracking import track

    results.mkdir()
    (results / "mlflow.db").write_text("this is no database, but long enough to be taken for one at first sight")
    with pytest.raises(NervaError, match=r"mlflow\.db"):
        track([], "digits-test", f"sqlite:///{results}/mlflow.db", results)


# --- comparison -------------------------------------------------------------------------------------------------

RUNS = pd.DataFrame(
    [
        ("a", 1, "finished", 0.90, 0.80),
        ("a", 2, "finished", 0.94, 0.82),
        ("b", 1, "finished", 0.99, 0.99),
        ("b", 2, "failed", 0.10, 0.10),
        ("c", 1, "finished", 0.95, 0.70),
        ("c", 2, "finished", 0.93, 0.72),
        ("d", 1, "failed", 0.10, 0.10),
    ],
    columns=["configuration", "seed", "status", "validation_accuracy", "test_accuracy"],
).assign(training_seconds=1.0, configuration_id=lambda runs: runs["configuration"])


def test_leaderboard() -> None:
    board = leaderboard(RUNS)
    # By validation accuracy, whatever the test accuracy; those with failed runs behind those without.
    assert list(board["configuration"]) == ["c", "a", "b", "d"]
    assert list(board["rank"]) == [1, 2, 3, 4]
    assert list(board["failed"]) == [0, 0, 1, 1]
    best = board.iloc[0]
    assert best["validation_accuracy"] == pytest.approx(0.94)
    assert best["validation_accuracy_std"] == pytest.approx(0.01 * 2**0.5)
    assert board.iloc[2]["validation_accuracy"] == 0.99
    assert math.isnan(board.iloc[2]["validation_accuracy_std"])
    assert math.isnan(board.iloc[3]["validation_accuracy"])


def compared(results: Path, *varied: str) -> tuple[str, pd.DataFrame]:
    folders = [run(configured(*overrides.split()), []) for overrides in varied]
    comparison = load(folders, "digits-test")
    written = write(comparison, results / "digits-test")
    assert all(path.stat().st_size > 100 for path in written)
    assert not list((results / "digits-test").glob(".*"))
    return summary(comparison, results / "digits-test"), pd.read_csv(results / "digits-test" / "leaderboard.csv")


def test_comparison(results) -> None:
    text, table = compared(results, "seed=1", "seed=2", "optimizer=nesterov", "learning_rate.lr=1e30")
    assert "digits-test: 4 runs of 3 configurations on scikit-learn digits" in text
    assert "failed       Momentum(mu=0.9), Constant(lr=1e+30), seed 1: the loss is nan after epoch 1" in text
    assert list(table["row"]).count("configuration") == 3
    assert list(table["row"]).count("run") == 4
    first = table[(table["row"] == "configuration") & (table["configuration"] == "Momentum(mu=0.9), Constant(lr=0.01)")]
    runs = table[(table["row"] == "run") & (table["configuration"] == first["configuration"].item())]
    assert first["validation_accuracy"].item() == pytest.approx(runs["validation_accuracy"].mean())
    assert first["test_accuracy_std"].item() == pytest.approx(runs["test_accuracy"].std())
    assert table[table["status"] == "failed"]["rank"].item() == 3


def test_comparison_of_one_run(results) -> None:
    text, table = compared(results, "seed=1")
    assert "(one seed)" in text
    assert "best         sizes 64-64-10, Momentum(mu=0.9), Constant(lr=0.01)" in text
    assert len(table) == 2


def test_comparison_where_all_failed(results) -> None:
    text, _ = compared(results, "learning_rate.lr=1e30", "learning_rate.lr=1e31")
    assert "best         none: all runs failed" in text


def test_comparison_of_more_configurations_than_colours(results) -> None:
    _, table = compared(results, *(f"train.batch_size={n}" for n in range(100, 110)))
    assert list(table[table["row"] == "configuration"]["rank"]) == list(range(1, 11))


def test_comparison_of_nothing() -> None:
    with pytest.raises(NervaError, match="digits-test has no runs to compare"):
        load([], "digits-test")


def test_the_same_runs_give_the_same_files(results) -> None:
    compared(results, "seed=1", "seed=2")
    first = {path.name: path.read_bytes() for path in (results / "digits-test").iterdir()}
    compared(results, "seed=1", "seed=2")
    assert first == {path.name: path.read_bytes() for path in (results / "digits-test").iterdir()}
