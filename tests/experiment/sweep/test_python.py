"""The Python entry point: `compose`, `plan`, `launch`, `runs` and `replay` of `nerva.experiment`."""

import json
import logging
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

from nerva.data import load_prepared
from nerva.errors import NervaError
from nerva.experiment import compose, launch, plan, replay, runs
from nerva.experiment.config import numerics
from nerva.experiment.records.files import file_checksum
from nerva.experiment.sweep import launcher as launcher_module
from nerva.experiment.sweep.planning import plan_sweep
from nerva.experiment.sweep.results import Runs
from tests.helpers import DIGITS, MINE, USER_DEFINED, configured, trained

SMALL = [*DIGITS, "model.hidden=[8]"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A results folder with a sweep of six runs, one of which diverged. It must not be changed."""
    results = tmp_path_factory.mktemp("kept") / "results"
    overrides = [*SMALL, f"results_dir={results}", "experiment_name=mine", "learning_rate.lr=0.1,0.01,1e30", "seed=1,2"]
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.delenv("NERVA_RESULTS_DIR", raising=False)
        launch(overrides, progress=False)
    return results


@pytest.fixture
def six(kept) -> Runs:
    return runs(kept)


@pytest.fixture
def copied(kept, results):
    """A copy of these results, which a test may change."""
    shutil.copytree(kept, results)
    return results


def test_overrides_are_a_text_or_a_list() -> None:
    assert compose("data=digits seed=3 model.layers=[ReLU, Linear]").model.layers == ["ReLU", "Linear"]
    assert compose(["data=digits", "seed=3"]) == compose("data=digits seed=3")
    assert compose("data=digits").seed == 1
    assert len(plan("data=digits seed=1,2").points) == 2
    for wrong in (3, ["seed=1", 2], {"seed": 1}, b"seed=1"):
        with pytest.raises(NervaError, match="overrides should be a text or a list of texts"):
            plan(wrong)


def test_a_plan_is_that_of_the_command_line() -> None:
    sweep = "+experiment=quick data=digits seed=5"
    assert plan(sweep) == plan_sweep(sweep.split())
    assert plan("data=digits").sweep.id == ""
    handlers = [*logging.getLogger().handlers]
    assert plan("data=digits").points[0].identity == plan_sweep(["data=digits"]).points[0].identity
    assert logging.getLogger().handlers == handlers  # that is up to the user's program


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("data=digits seed=1,2", "seed=1,2 is a sweep of 2 points, and compose gives one configuration; use plan"),
        ("data=digits train.epochs=0", "train.epochs should be 1 to 1000000, not 0"),
        ("optimizer=momentun", 'did you mean "momentum"'),
        ("+experiment=quik data=digits", 'did you mean "quick"'),
    ],
)
def test_wrong_overrides(overrides: str, message: str) -> None:
    with pytest.raises(NervaError) as caught:
        compose(overrides)
    assert message in str(caught.value)


def test_runs_are_trained_once_and_by_all_kinds_of_arguments(results, capsys) -> None:
    first = launch([*SMALL, "seed=1,2"])
    assert "2 of 2 runs done" in capsys.readouterr().err
    written = [run.folder.record.stat().st_mtime_ns for run in first]
    again = launch(plan([*SMALL, "seed=2,1"]), progress=False)
    assert [run.id for run in again] == [first[1].id, first[0].id]
    config = compose(SMALL)
    config.seed = 2
    (alone,) = launch(config, progress=False)
    assert alone.id == first[1].id
    assert [run.folder.record.stat().st_mtime_ns for run in first] == written
    assert capsys.readouterr().err == ""
    assert [run.id for run in runs(sweep=plan([*SMALL, "seed=1,2"]).sweep.id)] == [run.id for run in first]


def test_a_run_that_diverges_does_not_end_the_others(results) -> None:
    with pytest.warns(UserWarning, match="1 of 2 runs diverged: ") as caught:
        launched = launch([*SMALL, "learning_rate.lr=1e30,0.1"], progress=False)
    assert caught[0].filename == __file__
    assert [run.record.status for run in launched] == ["failed", "finished"]
    assert "training diverged" in repr(launched[0])
    assert launched.best() is launched[1]


def test_a_run_that_can_not_be_trained_does_not_end_the_others(results, monkeypatch, capsys) -> None:
    original = launcher_module.run

    def refuse(config, *arguments, **options):
        if config.seed == 1:
            raise NervaError("there is no memory for it")
        return original(config, *arguments, **options)

    monkeypatch.setattr(launcher_module, "run", refuse)
    with pytest.raises(NervaError, match="1 of 2 runs could not be trained"):
        launch([*SMALL, "seed=1,2"], progress=False)
    assert "there is no memory for it" in capsys.readouterr().err
    assert [run.config.seed for run in runs()] == [2]


@pytest.mark.skipif(bool(numerics.obstacle()), reason="portable numerics are not supported")
def test_the_process_is_pinned_by_the_first_call(tmp_path) -> None:
    code = (
        "import sys\nfrom nerva.experiment import compose, plan\nfrom nerva.experiment.config import numerics\n"
        "assert 'numpy' not in sys.modules\n{call}\nprint(numerics.pinned())"
    )
    for call, mode in (
        ("compose('data=digits')", "portable"),
        ("plan(['data=digits', 'numerics=native'])", "native"),
        ("import numpy; plan('data=digits')", ""),
    ):
        environment = {k: v for k, v in numerics.environment("native").items() if k not in numerics._VARIABLES}
        command = [sys.executable, "-c", code.format(call=call)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert result.stdout == f"{mode}\n", result.stderr


def test_unknown_names() -> None:
    import nerva.experiment

    with pytest.raises(AttributeError, match=r"module 'nerva\.experiment' has no attribute 'lanch'"):
        nerva.experiment.lanch  # noqa: B018
    assert {"compose", "launch", "plan", "replay", "runs"} <= {*dir(nerva.experiment)}


def test_a_table_has_one_row_per_run(six) -> None:
    table = six.to_frame()
    assert len(table) == len(six) == 6
    assert list(table.columns[:5]) == ["run_id", "configuration_id", "status", *six.swept]
    assert six.swept == ["learning_rate.lr", "seed"]
    assert table["configuration_id"].nunique() == 3
    for row, run in zip(table.to_dict("records"), six, strict=True):
        assert row["run_id"] == run.id
        assert row["learning_rate.lr"] == run.config.learning_rate["lr"]
        assert row["optimizer"] == "Momentum(mu=0.9)"
        assert row["model.hidden"] == "[8]"
        assert row["data"] == "digits"
        assert row["folder"] == str(run.folder.path)
        assert row["last_test_loss"] == run.record.last.test_loss or np.isnan(row["last_test_loss"])
        best = run.record.best
        assert (row["validation_accuracy"] == best.validation_accuracy) if best else np.isnan(row["train_loss"])
    assert table["best_epoch"].isna().sum() == 2
    assert six[:0].to_frame().empty


def test_the_metrics_are_tidy(six) -> None:
    table = six.filter(status="finished").metrics()
    assert list(table.columns[:4]) == ["run_id", "learning_rate.lr", "seed", "epoch"]
    assert len(table) == 4 * 3
    run = six.best()
    own = table[table["run_id"] == run.id].reset_index(drop=True)
    pd.testing.assert_frame_equal(own[list(run.metrics().columns)], run.metrics())
    assert list(run.metrics()["epoch"]) == [0, 1, 2]
    assert six[:0].metrics().empty


def test_swept_schedules_are_beside_the_learning_rate(results) -> None:
    launched = launch([*SMALL, "learning_rate=constant,time_based"], progress=False)
    assert launched.swept == ["learning_rate"]
    table = launched.metrics()
    assert table["schedule"].nunique() == 2
    assert table["learning_rate"].dtype == float


def test_filters(six) -> None:
    assert len(six.filter(seed=1)) == 3
    assert len(six.filter(seed=[1, 2], lr=0.1)) == 2
    assert len(six.filter(**{"learning_rate.lr": {0.1, 0.01}})) == 4
    assert len(six.filter(lambda run: run.record.failed, seed=2)) == 1
    assert len(six.filter(validation_accuracy=lambda accuracy: accuracy >= 0)) == 4
    assert len(six.filter(optimizer="Adam")) == 0
    with pytest.raises(NervaError, match='there is no column "sed"; the columns are: run_id, '):
        six.filter(sed=1)
    with pytest.raises(NervaError, match=r'"name" can mean optimizer\.name or learning_rate\.name or loss\.name'):
        six.filter(name="Momentum")
    with pytest.raises(NervaError, match="a condition should be a function of a run"):
        six.filter(3)
    with pytest.raises(NervaError, match='there are no runs, and so no column "seed"'):
        six[:0].filter(seed=1)


def test_the_best_run(six) -> None:
    table = six.to_frame().set_index("run_id")
    assert six.best().id == table["validation_accuracy"].idxmax()
    assert six.best("validation_loss").id == table["validation_loss"].idxmin()
    assert six.best("last_train_loss").id == table[table["status"] == "finished"]["last_train_loss"].idxmin()
    with pytest.raises(NervaError, match="optimizer is not a column of numbers"):
        six.best("optimizer")
    with pytest.raises(NervaError, match=r"none of 2 runs of .* has finished"):
        six.filter(status="failed").best()


def test_runs_are_indexed_and_shown(six) -> None:
    assert six[six[3].id] is six[3]
    assert len(six[1:3]) == 2
    with pytest.raises(NervaError, match="there is no run 000000000000 among 6 runs"):
        six["000000000000"]
    assert repr(six).endswith(", 2 failed>")
    assert six._repr_html_().count(six[0].id) >= 1


def test_the_network_of_the_best_epoch(six, kept) -> None:
    run = six.best()
    arrays, _ = load_prepared(run.config.data, kept / "data")
    predicted = run.load().evaluate(arrays["Xtest"]).argmax(axis=1)
    assert (predicted == arrays["Ttest"]).mean() == pytest.approx(run.record.best.test_accuracy)


def test_which_runs_are_read(kept, six, monkeypatch) -> None:
    (sweep,) = [path.stem for path in kept.glob("sweeps/*.json")]
    for asked in (
        {"experiment": "mine"},
        {"sweep": sweep},
        {"sweep": sweep[-8:], "data": "digits"},
        {"data": "digits"},
    ):
        assert {run.id for run in runs(kept, **asked)} == {run.id for run in six}
    monkeypatch.setenv("NERVA_RESULTS_DIR", str(kept))
    assert len(runs()) == 6
    for asked, message in (
        ({"experiment": "quick"}, 'for the experiment "quick"; recorded are: digits-mine'),
        ({"experiment": "ine"}, 'for the experiment "ine"'),
        ({"sweep": "0" * 8}, f'for the sweep "00000000"; recorded are: {sweep[-8:]} \\(digits-mine\\)'),
        ({"data": "mnist"}, 'no runs on the dataset "mnist"; there are some on: digits'),
        ({"results": kept / "nowhere"}, "there is no folder .*nowhere"),
        ({"results": kept / "data"}, "no run in .* has ended; train some first"),
    ):
        with pytest.raises(NervaError, match=message):
            runs(**asked)


def test_damaged_runs_are_named_and_left_out(copied, six) -> None:
    bad = six[0].id
    (copied / "runs" / bad / "metrics.csv").write_text("epoch\n")
    with pytest.warns(UserWarning, match=f"1 of 6 runs of .* left out:\n  {bad}: .*metrics.csv is damaged") as caught:
        assert bad not in [run.id for run in runs()]
    assert caught[0].filename == __file__
    # A run that is still training is not damaged.
    (copied / "runs" / bad / "run.json").unlink()
    assert len(runs(experiment="mine")) == 5
    for path in copied.glob("runs/*/config.yaml"):
        path.write_text("x: [")
    with pytest.raises(NervaError, match=r"5 of 5 runs of .* left out"):
        runs()


def test_weights_that_were_changed_are_not_loaded(copied, six) -> None:
    run = runs()[six.best().id]
    other = next(other for other in six if other.id != run.id)
    shutil.copy(run.folder.path.parent / other.id / "weights.npz", run.folder.best)
    with pytest.raises(NervaError, match=r"best\.npz was changed after the run had ended"):
        run.load()


def test_a_replay_and_its_differences(copied, six) -> None:
    run = runs()[six.best().id]
    for named in (run, run.id, run.folder.path):
        assert replay(named).identical
    record = json.loads(run.folder.record.read_text())
    record["last"]["test_loss"] += 1
    run.folder.record.write_text(json.dumps(record))
    verdict = replay(run)
    assert not verdict.identical
    assert verdict.run_id == run.id
    assert any("test_loss" in line for line in verdict.differences)
    with pytest.raises(NervaError, match="there is no run 000000000000"):
        replay("0" * 12, overrides="tracking=off")


@pytest.mark.long
def test_recorded_code_runs_only_if_it_is_trusted(results, tmp_path, monkeypatch) -> None:
    """In another process, so that its modules are not those of this one."""
    (tmp_path / "helper.py").write_text("FACTOR = 1.0\nopen('executed', 'a').close()\n")
    (tmp_path / "mine.py").write_text(MINE)
    train = ["-c", f"from nerva.experiment import launch\nlaunch({[*SMALL, *USER_DEFINED]!r}).best().load()"]
    environment = numerics.environment("native") | {"NERVA_RESULTS_DIR": str(results)}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)

    # A network whose modules the caller has named is loaded.
    result = python(*train)
    assert result.returncode == 0, result.stderr
    (tmp_path / "executed").unlink()
    program = (
        "from nerva.experiment import replay, runs\n(run,) = runs()\n"
        "try: run.load()\nexcept ValueError as error: print(error)\n"
        "print(*replay(run).differences[:2], sep='\\n')\n"
    )
    result = python("-c", program)
    assert "needs user-defined modules: mine; their text is in" in result.stdout, result.stderr
    assert "recorded modules run only with --trust (in Python, trust=True)\nit imports mine" in result.stdout
    assert not (tmp_path / "executed").exists()
    # The recorded texts are enough, if they are trusted.
    (tmp_path / "mine.py").unlink()
    (tmp_path / "helper.py").unlink()
    result = python("-c", "from nerva.experiment import runs\nprint(len(runs().best().load(trust=True).layers))")
    assert result.stdout == "2\n", result.stderr


def test_each_file_is_checked_once(copied, six, monkeypatch) -> None:
    """However many tables are asked for: a thousand runs take two seconds."""
    from nerva.experiment.report import loading

    counted = []
    monkeypatch.setattr(loading, "file_checksum", lambda path: counted.append(path) or file_checksum(path))
    table = runs(experiment="mine")
    table.to_frame(), table.metrics(), table.best()
    assert len(counted) == len({*counted}) == 3 * len(six)


def test_an_alone_run_is_found_by_its_experiment(results) -> None:
    folder = trained(configured("model.hidden=[8]"))
    assert [run.id for run in runs(experiment="single")] == [folder.run_id]
