"""Jobs of Hydra: launchers train the points of a plan, and sweepers choose points by the objectives of others."""

import json
import math
import pickle
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, ClassVar

import hydra_plugins
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper

from nerva.errors import NervaError, RunFailedError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import read_sweeps
from nerva.experiment.sweep import jobs
from nerva.experiment.sweep.application import run_application
from nerva.experiment.sweep.planning import plan_experiment, plan_sweep
from tests.helpers import DIGITS, client_of, logged_in

TRACKED = [override for override in DIGITS if not override.startswith("tracking")]


class Recorded:
    """A plugin of Hydra, as a package in the namespace `hydra_plugins` has one."""

    launched: ClassVar[list[tuple[int, list[list[str]]]]] = []

    def __init__(self, **_: Any) -> None: ...

    def setup(self, *, hydra_context, task_function, config) -> None:
        self.config, self.task, self.context = config, task_function, hydra_context


class Remembering(Recorded, Launcher):
    """A launcher that trains nothing, and fails with an error of its own."""

    def launch(self, job_overrides, initial_job_idx):
        self.launched.append((initial_job_idx, [list(overrides) for overrides in job_overrides]))
        raise RuntimeError("some traceback\nthe queue is full")


class Silent(Recorded, Launcher):
    """A launcher whose jobs return nothing, as if they had trained their runs."""

    def launch(self, job_overrides, initial_job_idx):
        self.launched.append((initial_job_idx, [list(overrides) for overrides in job_overrides]))
        error = NervaError("there is no data")
        return [JobReturn(overrides=o, status=JobStatus.COMPLETED, _return_value=error) for o in job_overrides]


class ThreeRates(Recorded, Sweeper):
    """A sweeper that asks for three points, each of which depends on the objective of the one before."""

    objectives: ClassVar[list[float]] = []

    def sweep(self, arguments):
        launcher = Plugins.instance().instantiate_launcher(self.context, self.task, self.config)
        fixed = [argument for argument in arguments if "interval" not in argument]
        rate = 0.01
        for index in range(3):
            (job,) = launcher.launch([[*fixed, f"learning_rate.lr={rate}"]], initial_job_idx=index)
            try:
                objective = job.return_value
            except RunFailedError:
                objective = math.nan
            self.objectives.append(objective)
            rate = 0.2 if objective < 0.6 else 1e30
        return self.objectives


@pytest.fixture
def plugins(monkeypatch) -> Iterator[None]:
    """The plugins above, as if a package with them were installed."""
    module: Any = ModuleType("hydra_plugins.nerva_tests")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(hydra_plugins, "nerva_tests", module, raising=False)
    kinds = {Remembering: "launcher", Silent: "launcher", ThreeRates: "sweeper"}
    for clazz, group in kinds.items():
        clazz.__module__ = module.__name__
        setattr(module, clazz.__name__, clazz)
        Plugins.instance().register(clazz)
        node = {"_target_": f"{module.__name__}.{clazz.__name__}", "max_batch_size": None, "direction": "maximize"}
        ConfigStore.instance().store(group=f"hydra/{group}", name=clazz.__name__.lower(), node=node)
    Recorded.launched.clear()
    ThreeRates.objectives.clear()
    yield
    for clazz, group in kinds.items():
        del ConfigStore.instance().repo["hydra"][group][f"{clazz.__name__.lower()}.yaml"]


@pytest.mark.parametrize(
    ("argument", "by_hydra"), [("seed=1,2", False), ("hydra.job.chdir=false", True), ("hydra/launcher=basic", True)]
)
def test_hydra_launches_what_asks_for_more_than_one_run_after_another(
    results, monkeypatch, argument: str, by_hydra: bool
) -> None:
    trained = []
    original = jobs.PointTask.__call__
    monkeypatch.setattr(jobs.PointTask, "__call__", lambda self, cfg: trained.append(original(self, cfg)))
    run_application([*DIGITS, "-m", "seed=1,2", argument])
    assert trained == ([None, None] if by_hydra else [])
    assert len(list(results.glob("runs/*/run.json"))) == 2


def test_the_points_of_the_plan_are_launched(results) -> None:
    """A launcher trains the points of the plan, and none but these."""
    sweep = ["optimizer=momentum,nesterov", "learning_rate.lr=0.1,0.01", "sweep.zip=[[optimizer,learning_rate.lr]]"]
    sweep += ["seeds=2", "sweep.where='seed > 1'"]
    run_application([*DIGITS, "-m", *sweep, "hydra/launcher=basic"])
    plan = plan_sweep([*DIGITS, *sweep])
    assert {path.parent.name for path in results.glob("runs/*/run.json")} == {point.run_id for point in plan.points}
    assert len(plan.points) == 2
    for folder in plan.folders:
        part_of = folder.read_provenance().part_of
        assert part_of
        assert part_of.sweep == plan.sweep


def test_a_launcher_gets_as_many_points_at_once_as_the_sweeper_says(results, plugins) -> None:
    with pytest.raises(NervaError, match="3 of 3 runs could not be trained"):
        run_application([*DIGITS, "-m", "seed=1,2,3", "hydra/launcher=silent", "hydra.sweeper.max_batch_size=2"])
    assert [(start, len(batch)) for start, batch in Recorded.launched] == [(0, 2), (2, 1)]


def test_a_launcher_gets_no_password(results, plugins, monkeypatch, capsys) -> None:
    """Launchers write what they get to files."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setattr(jobs.Launcher, "prepare", lambda self, points: True)
    with pytest.raises(NervaError, match="1 of 1 run could not be trained"):
        run_application([*TRACKED, "-m", "tracking.uri='http://jane:secret@h:9'", "hydra/launcher=silent"])
    assert Recorded.launched == [(0, [["data=digits", "train.epochs=2", "tracking.uri='http://h:9'"]])]
    assert "could not be trained: there is no data" in capsys.readouterr().err


def test_a_launcher_that_fails(results, plugins) -> None:
    with pytest.raises(NervaError, match="the launcher remembering ended early: the queue is full; the same command"):
        run_application([*DIGITS, "-m", "seed=1,2", "hydra/launcher=remembering"])


@pytest.mark.parametrize(
    ("override", "package"),
    [
        ("hydra/launcher=ray", "hydra-ray-launcher"),
        ("hydra/sweeper=nevergrad", "hydra-nevergrad-sweeper"),
    ],
)
def test_a_plugin_that_is_not_installed(results, override: str, package: str) -> None:
    with pytest.raises(NervaError, match=rf"{override} needs a plugin .* pip install {package}"):
        run_application([*DIGITS, "-m", "seed=1,2", override])
    assert not results.exists()


def test_an_unknown_plugin() -> None:
    with pytest.raises(NervaError, match=r'there is no "basicc" in hydra/launcher; did you mean "basic"\?'):
        run_application([*DIGITS, "-m", "seed=1,2", "hydra/launcher=basicc"])


def test_a_run_that_diverges_by_a_launcher(results) -> None:
    with pytest.raises(RunFailedError, match="1 of 2 runs diverged"):
        run_application([*DIGITS, "-m", "learning_rate.lr=1e30,0.1", "hydra/launcher=basic"])
    with pytest.raises(RunFailedError, match=r"failed: .*training diverged \(see "):
        run_application([*DIGITS, "learning_rate.lr=1e30", "hydra.job.chdir=false"])
    assert len(list(results.glob("runs/*/run.json"))) == 2


def test_the_process_that_launches_logs_the_runs(uri, results) -> None:
    run_application([*TRACKED, "-m", "seed=1,2", "hydra/launcher=basic"])
    logged = logged_in(client_of(uri), "digits-single")
    assert {*logged} == {"sweep", *(point.run_id for point in plan_sweep([*TRACKED, "seed=1,2"]).points)}


def test_a_store_that_refuses_does_not_stop_jobs(results, capsys) -> None:
    results.mkdir()
    (results / "mlflow.db").write_text("no database")
    run_application([*TRACKED, "-m", "seed=1,2", "hydra/launcher=basic"])
    assert capsys.readouterr().err.count("training continues, and `nerva track` logs the runs later") == 1
    assert len(list(results.glob("runs/*/run.json"))) == 2


@pytest.mark.parametrize("task", [jobs.PointTask(Sweep("1", "x"), follow=True), jobs.RunTask()])
def test_tasks_can_be_pickled(task) -> None:
    assert pickle.loads(pickle.dumps(task)) == task


INTERVAL = "learning_rate.lr=interval(0,1)"


def test_a_sweeper_gets_the_objectives_of_its_points(results, plugins) -> None:
    """The third run diverges."""
    command = [*DIGITS, "-m", "hydra/sweeper=threerates", INTERVAL, "experiment_name=search"]
    with pytest.raises(RunFailedError, match="1 of 3 runs diverged"):
        run_application(command)
    (record,) = read_sweeps(results, [])
    runs = [RunFolder.of(results, run_id).read_record() for run_id in record.runs]
    assert record.title == "digits-search"
    assert record.sweep.name == f"search train.epochs=2 hydra/sweeper=threerates {INTERVAL}"
    accuracies = [run.best.validation_accuracy for run in runs[:2] if run.best]
    assert ThreeRates.objectives[:2] == accuracies
    assert accuracies[0] < 0.6 < accuracies[1]
    assert math.isnan(ThreeRates.objectives[2])
    # The same command gives the same sweep, and trains nothing again.
    before = {path: path.stat().st_mtime_ns for path in results.glob("runs/*/run.json")}
    with pytest.raises(RunFailedError):
        run_application(command)
    assert before == {path: path.stat().st_mtime_ns for path in results.glob("runs/*/run.json")}
    assert read_sweeps(results, []) == [record]


def test_a_sweep_is_recorded_as_its_trials_come(results, plugins, monkeypatch) -> None:
    recorded = []

    def count(self, point):
        (path,) = results.glob("sweeps/*.json")
        recorded.append(len(json.loads(path.read_text())["runs"]))
        return original(self, point)

    original = jobs.Launcher.launch
    monkeypatch.setattr(jobs.Launcher, "launch", count)
    with pytest.raises(RunFailedError):
        run_application([*DIGITS, "-m", "hydra/sweeper=threerates", INTERVAL])
    assert recorded == [1, 2, 3]


def test_only_a_multirun_can_search(results, plugins) -> None:
    search = ["data=digits", "hydra/sweeper=threerates", INTERVAL]
    for plan in (plan_sweep, lambda overrides: plan_experiment("quick", overrides)):
        with pytest.raises(NervaError, match="hydra/sweeper=threerates chooses points while runs train"):
            plan(search)
    with pytest.raises(NervaError, match=r"interval\(0,1\) is a sweep; add --multirun"):
        run_application(search)
    assert not results.exists()


def test_a_sweeper_of_its_own_knows_no_filter(results, plugins) -> None:
    with pytest.raises(NervaError, match=r"3 seeds; where seed > 1: seeds, sweep\.zip, .* need Hydra's basic sweeper"):
        run_application([*DIGITS, "-m", "hydra/sweeper=threerates", "seeds=3", "sweep.where='seed > 1'"])
    assert not list(results.glob("runs/*"))


def test_a_sweeper_may_not_look_for_the_worst_point(results, plugins) -> None:
    search = [*DIGITS, "-m", "hydra/sweeper=threerates", INTERVAL]
    with pytest.raises(
        NervaError, match=r"best\.validation_loss, less is better, .*add hydra\.sweeper\.direction=minimize"
    ):
        run_application([*search, "objective=best.validation_loss"])
    with pytest.raises(NervaError, match=r"best\.validation_accuracy, more .*direction is minimize"):
        run_application([*search, "hydra.sweeper.direction=minimize"])
    with pytest.raises(NervaError, match=r'objective should be one of best\.validation_accuracy, .*not "accuracy"'):
        run_application([*search, "objective=accuracy"])
    assert not results.exists()
    with pytest.raises(RunFailedError):
        run_application([*search, "objective=last.validation_loss", "direction=maximize"])
    assert ThreeRates.objectives[0] > 1
