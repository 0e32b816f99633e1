"""The launcher, as a notebook and `nerva train` use it."""

from collections.abc import Iterator

import pytest

from nerva.errors import NervaError, RunFailedError
from nerva.experiment.config.schema import Config
from nerva.experiment.identity import identify as identify_module
from nerva.experiment.sweep import launcher as launcher_module
from nerva.experiment.sweep.application import run_application
from nerva.experiment.sweep.launcher import Launcher
from nerva.experiment.sweep.planning import plan_sweep
from tests.helpers import DIGITS, client_of, logged_in


@pytest.fixture
def validated(monkeypatch) -> Iterator[list[Config]]:
    """The configurations that are validated during a test."""
    configs: list[Config] = []
    validate = identify_module.validate

    def count(config: Config) -> None:
        configs.append(config)
        validate(config)

    monkeypatch.setattr(identify_module, "validate", count)
    return configs


@pytest.mark.parametrize(
    ("arguments", "times"), [([], 1), (["-m", "seed=1,2"], 2), (["-m", "+experiment=quick", "train.epochs=1"], 12)]
)
def test_a_configuration_is_validated_once(validated, results, arguments: list[str], times: int) -> None:
    run_application([*DIGITS, *arguments])
    assert len(validated) == times
    assert len(list(results.glob("runs/*/run.json"))) == times


def test_a_notebook_launches_points(results) -> None:
    plan = plan_sweep([*DIGITS, "seed=1,2"])
    launcher = Launcher()
    records = [launcher.launch(point) for point in plan.points]
    assert [record.run_id for record in records] == [point.run_id for point in plan.points]
    assert all(folder.is_complete() for folder in plan.folders)


def test_a_run_that_fails(results) -> None:
    with pytest.raises(RunFailedError, match="training diverged"):
        run_application([*DIGITS, "learning_rate.lr=1e30"])


def test_a_sweep_needs_multirun(results) -> None:
    with pytest.raises(NervaError, match=r"seed=1,2 is a sweep; add --multirun \(-m\)"):
        run_application([*DIGITS, "seed=1,2"])


def test_a_pickled_configuration_is_not_read(results, tmp_path) -> None:
    with pytest.raises(NervaError, match="--experimental-rerun reads a pickle"):
        run_application([*DIGITS, "--experimental-rerun", str(tmp_path / "config.pickle")])


def test_one_mistake_stops_a_sweep_before_its_first_run(results) -> None:
    with pytest.raises(NervaError, match=r"train\.epochs should be 1 to 1000000, not 0"):
        run_application([*DIGITS, "-m", "train.epochs=1,0"])
    assert not results.exists()


def test_the_runs_of_a_sweep_are_logged_together(results, monkeypatch) -> None:
    logged = []
    monkeypatch.setattr(launcher_module, "track", lambda folders, *_, **__: logged.append(len(folders)))
    run_application([*(o for o in DIGITS if not o.startswith("tracking")), "-m", "seed=1,2,3"])
    assert logged == [3]
    # If they take longer, they are logged meanwhile.
    monkeypatch.setattr(launcher_module, "_SECONDS_BETWEEN_LOGS", 0)
    run_application([*(o for o in DIGITS if not o.startswith("tracking")), "-m", "seed=4,5", "experiment_name=other"])
    assert logged == [3, 1, 1]


def test_a_damaged_folder_does_not_keep_other_experiments_from_being_logged(results, capsys) -> None:
    run_application([*DIGITS, "-m", "seed=1,2"])
    damaged = plan_sweep([*DIGITS, "seed=2"]).points[0].folder
    damaged.metrics.write_text("x")
    tracked = [o for o in DIGITS if not o.startswith("tracking")]
    run_application([*tracked, "-m", "experiment_name=one,two", "seed=2,3"])
    error = capsys.readouterr().err
    assert error.count(f"{damaged.metrics} is damaged") == 2
    assert "training continues" not in error
    for title in ("digits-one", "digits-two"):
        assert len(logged_in(client_of(f"sqlite:///{results}/mlflow.db"), title)) == 2  # a run, and the sweep


def test_a_sweep_over_stores_logs_to_each(results, tmp_path) -> None:
    tracked = [o for o in DIGITS if not o.startswith("tracking")]
    stores = [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "two")]
    run_application([*tracked, "-m", f"tracking.uri={','.join(stores)}"])
    for store in stores:
        assert len(logged_in(client_of(store), "digits-single")) == 2


def test_flags_that_do_not_go_together(results) -> None:
    with pytest.raises((NervaError, ValueError, SystemExit), match="Only one of"):
        run_application([*DIGITS, "-m", "-r", "seed=1,2"])
    assert not results.exists()
