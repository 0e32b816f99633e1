"""Plans: the points of a sweep, as Hydra's multirun expands them."""

import dataclasses
import random
import subprocess
import sys
from contextlib import suppress

import pytest

from nerva.errors import NervaError
from nerva.experiment.identity import identify as identify_module
from nerva.experiment.records.sweep_record import read_sweeps
from nerva.experiment.sweep.planning import plan_command, plan_experiment, plan_shared, plan_sweep
from tests.helpers import DIGITS

QUICK = ["+experiment=quick", "data=digits"]


def test_quick_has_twelve_points(results) -> None:
    plan = plan_experiment("quick", ["data=digits"])
    assert len({point.run_id for point in plan.points}) == 12
    assert len({point.identity.configuration_id for point in plan.points}) == 6
    assert {point.config.sweep.id for point in plan.points} == {plan.sweep.id}
    assert plan.sweep.name == "quick"
    assert plan.results == results / "digits-quick"
    assert [folder.path for folder in plan.folders] == [results / "runs" / point.run_id for point in plan.points]
    assert not results.exists()


@pytest.mark.parametrize("overrides", [["seed=5"], ["learning_rate.lr=0.3,0.4", "seed=range(3)"], ["train.epochs=7"]])
def test_points_are_those_of_the_multirun_of_hydra(overrides: list[str], tmp_path) -> None:
    """Hydra itself names the same jobs in the same order."""
    program = tmp_path / "program.py"
    program.write_text(
        "import hydra\nfrom hydra.core.hydra_config import HydraConfig\n"
        "import nerva.experiment.config.composition\nfrom nerva.experiment.paths import conf_dir\n"
        "@hydra.main(version_base='1.3', config_path=str(conf_dir()), config_name='config')\n"
        "def main(cfg): print('JOB', *HydraConfig.get().overrides.task)\nmain()\n"
    )
    command = [sys.executable, str(program), "-m", *QUICK, *overrides]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    jobs = [tuple(line.split()[1:]) for line in result.stdout.splitlines() if line.startswith("JOB")]
    assert jobs == [point.overrides for point in plan_experiment("quick", ["data=digits", *overrides]).points]


def test_each_point_is_validated_once(monkeypatch) -> None:
    validated = []
    validate = identify_module.validate

    def count(config) -> None:
        validated.append(config)
        validate(config)

    monkeypatch.setattr(identify_module, "validate", count)
    plan = plan_sweep([*QUICK, "seed=1,2,1"])
    assert len(validated) == 3 * 6
    assert len(plan.points) == 2 * 6  # a point that was asked for twice is one run


def test_a_sweep_with_a_mistake_in_one_point_is_refused() -> None:
    with pytest.raises(NervaError, match=r"train\.epochs should be 1 to \d+, not 0"):
        plan_experiment("quick", ["data=digits", "train.epochs=5,0"])
    with pytest.raises(NervaError, match=r'there is no experiment "fast".*flagship, quick, single'):
        plan_experiment("fast")
    with pytest.raises(NervaError, match="should have one title, not digits-quick and mnist-quick"):
        plan_experiment("quick", ["data=digits,mnist"])
    with pytest.raises(NervaError, match="should have one title, not digits-a and digits-b"):
        plan_experiment("quick", ["data=digits", "experiment_name=a,b"])
    with pytest.raises(NervaError, match="should have one results_dir"):
        plan_experiment("quick", ["data=digits", "results_dir=a,b"])


@pytest.mark.parametrize(
    ("overrides", "name", "modified"),
    [
        (["data=digits", "tracking=off", "results_dir=x", "++force=true"], "quick", False),
        (["data=digits", "data.validation=200", "seed=1,2"], "quick data.validation=200 seed=1,2", True),
        (["data=digits", "tracking.uri=http://jane:secret@h", "hydra/launcher=basic"], "quick", False),
        (["data=digits", "optimizer=momentum"], "quick optimizer=momentum", True),
    ],
)
def test_a_modified_experiment_has_a_name_and_a_folder_of_its_own(
    overrides: list[str], name: str, modified: bool
) -> None:
    plan = plan_experiment("quick", overrides)
    assert (plan.sweep.name, plan.modified) == (name, modified)
    assert plan.results.name == (f"digits-quick-{plan.sweep.id}" if modified else "digits-quick")


def test_a_sweep_that_is_too_large_or_empty() -> None:
    for overrides in (["seed=range(1,1000000000)"], ["seed=range(1,1000)", "train.epochs=range(1,1000)"]):
        with pytest.raises(
            NervaError, match=r"with (seed|train.epochs), the sweep has more points than the limit of 100,000"
        ):
            plan_sweep([*DIGITS, *overrides])
    with pytest.raises(NervaError, match=r"the sweep has no points: .*seed=glob"):
        plan_sweep([*DIGITS, "seed=glob(*)"])


def test_one_run_may_belong_to_two_experiments(results) -> None:
    plan = plan_sweep([*DIGITS, "experiment_name=a,b"])
    assert len(plan.points) == 2
    assert len({folder.path for folder in plan.folders}) == 1
    plan.record()
    assert {record.title for record in read_sweeps(results)} == {"digits-a", "digits-b"}


def test_a_sweep_is_identified_by_its_runs() -> None:
    first, reordered, other = (plan_sweep([*DIGITS, f"seed={seeds}"]).sweep.id for seeds in ("1,2", "2,1", "1,3"))
    assert first == reordered != other


def test_a_sweep_over_datasets_has_a_record_of_each(results) -> None:
    plan = plan_sweep(["data=digits,mnist", "seed=1,2", "question=Why"])
    plan.record()
    plan.record()
    records = read_sweeps(results)
    assert {record.title: len(record.runs) for record in records} == {"digits-single": 2, "mnist-single": 2}
    assert {record.question for record in records} == {"Why"}
    assert [run for record in records for run in record.runs] == [point.run_id for point in plan.points]


def test_a_command_is_a_run_or_a_sweep() -> None:
    (point,) = plan_command(DIGITS, multirun=False).points
    assert point.overrides == tuple(DIGITS)
    assert point.config.sweep.id == ""
    assert len(plan_command([*DIGITS, "seed=1,2"], multirun=True).points) == 2
    assert len(plan_command(QUICK, multirun=False).points) == 12  # the experiment asks for it
    with pytest.raises(NervaError, match=r"seed=1,2 is a sweep; add --multirun"):
        plan_command([*DIGITS, "seed=1,2"], multirun=False)
    assert plan_command(DIGITS, multirun=False).points == [dataclasses.replace(point)]


def test_auto_keeps_the_overrides_that_were_asked_for(results) -> None:
    (results / "data").mkdir(parents=True)
    (results / "data" / "auto.json").write_text('{"chosen": "digits", "reason": "of a test"}')
    (point,) = plan_sweep(["data=auto", "seed=2"]).points
    assert point.asked == ("data=auto", "seed=2")
    assert {*point.overrides} == {"data=digits", "seed=2"}


HOSTILE = [
    "train.epochs=9223372036854775808",
    f"train.epochs={10**30}",
    "train.epochs=100000000",
    "train.epochs=1e400",
    "learning_rate=[1]",
    "loss=[1]",
    "optimizer=[]",
    "learning_rate=${oc.select:seed}",
    "seed=${oc.env:HOME}",
    "seed=${oc.create:{}}",
    "seed=${oc.decode:[}",
    "model.hidden=" + "[" * 1000 + "]" * 1000,
    "model.hidden=" + "[" * 40 + "]" * 40,
    "seed=range(1,1000000000000)",
    "seed=shuffle(range(1,1000000000000))",
    "learning_rate.lr=range(0.1,0.2,1e-300)",
    "learning_rate.lr=range(0.1,0.2,0)",
    "learning_rate.lr=interval(0.1,0.2)",
    "model.layers=[[ReLU],[Linear]]",
    "data.class_names=[[a]]",
    "imports=[[mine]]",
    "seed=glob(*)",
    "seed=sort(1,2",
    "data.features=-1",
    "data.sha256=/etc/passwd",
    "data.mirrors=1",
    "data.files={x:{archive:../../etc/passwd}}",
    "+data.files={x:{archive:../../etc/passwd}}",
    "optimizer={name:[1]}",
    "optimizer={name:{a:1}}",
    "~optimizer",
    "~data",
    "~optimizer.name",
    "+hydra.run.dir=/tmp/x",
    "hydra.sweeper.params={seed:[1]}",
    "hydra.mode=NOWHERE",
    "hydra/launcher=nosuch",
    "hydra=1",
    "imports=[os.path]",
    "imports=['']",
    "imports=[..]",
    "imports=[a/b]",
    "imports=['mine; import os']",
    "model.layers=[]",
    "model.layers=[1]",
    "model.layers=[null,Linear]",
    "model.weights=null",
    "model=null",
    "train=null",
    "data=null",
    "seed=null",
    "seed=true",
    "seed=0x10",
    "results_dir=null",
    "experiment_name=null",
    "question={a:1}",
    "+experiment=[quick]",
    "+experiment=../quick",
    "learning_rate.lr={a:1}",
    "learning_rate.lr=[1,2]",
    "learning_rate.lr=null",
    "optimizer.mu=null",
    "optimizer.mu=''",
    "",
    "=",
    "a",
    "\0",
    "\ud800=1",
    "seed=\ud800",
    "question=\u202e",
]


@pytest.mark.parametrize("override", HOSTILE, ids=lambda text: ascii(text)[:40])
def test_hostile_overrides_are_planned_or_refused(override: str) -> None:
    planned_or_refused([*DIGITS, override])


def planned_or_refused(overrides: list[str]) -> None:
    """Plan overrides: any error but a NervaError is a bug."""
    with suppress(NervaError):
        assert plan_sweep(overrides).points


WORDS = [
    "seed", "train", "epochs", "data", "optimizer", "mu", "learning_rate", "lr", "model", "hidden", "layers", "loss",
    "name", "=", ".", ",", "+", "++", "~", "@", ":", "/", "[", "]", "{", "}", "(", ")", "'", '"', "\\", "$", "${", " ",
    "1", "-1", "0", "2", "1e309", "nan", "null", "true", "???", "ReLU", "Momentum", "Linear", "quick", "range(1,3)",
    "choice(1,2)", "${seed}", "${oc.env:HOME}", "${hydra:job.name}", "é", "\t",
]  # fmt: skip
SEEDS = ["seed=1", "train.epochs=2", "optimizer.mu=0.5", "model.hidden=[8,8]", "model.layers=[ReLU,Linear]"]
SEEDS += ["learning_rate={name:Constant,lr:0.1}", "loss.name=SquaredError", "+experiment=quick", "seed=1,2"]


@pytest.mark.long
def test_mutated_overrides_are_planned_or_refused() -> None:
    rng = random.Random(11)
    for _ in range(200):
        text = rng.choice(SEEDS)
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(text) + 1)
            text = text[:start] + rng.choice(WORDS) + text[start + rng.randint(0, 2) :]
        print(ascii(text))  # the last line shows the override that failed
        planned_or_refused([*DIGITS, text])


@pytest.mark.parametrize(
    ("override", "modified"),
    [("hydra.sweeper.params.seed=1", True), ("experiment_name=flagship", True), ("hydra.verbose=false", False)],
)
def test_what_modifies_an_experiment(override: str, modified: bool) -> None:
    plan = plan_experiment("quick", ["data=digits", "optimizer=momentum", "learning_rate.lr=0.1", override])
    assert plan.modified  # by the optimizer
    assert (override in plan.sweep.name) == modified


def test_what_the_points_of_an_experiment_share_is_one_point() -> None:
    shared = plan_shared("quick", ["data=digits", "train.epochs=3"], settle=False)
    (point,) = shared.points
    assert (shared.config.title, shared.config.train.epochs, shared.config.seed) == ("digits-quick", 3, 1)
    assert point.run_id == plan_sweep(["data=digits", "train.epochs=3", "train.batch_size=50"]).points[0].run_id
