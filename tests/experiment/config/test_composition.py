"""Sweeps: the points that an experiment has."""

import subprocess
import sys

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.composition import expand, split, sweep_of
from nerva.experiment.identity.identify import configuration_id


def test_quick_has_twelve_points() -> None:
    points = expand("quick", ["data=digits"])
    assert len({point.run_id for point in points}) == 12
    assert len({configuration_id(point.config) for point in points}) == 6


@pytest.mark.parametrize("overrides", [["seed=5"], ["learning_rate.lr=0.3,0.4", "seed=range(3)"], ["train.epochs=7"]])
def test_points_are_those_of_hydras_multirun(overrides: list[str], tmp_path) -> None:
    """Hydra's own launcher, asked what it would do, names the same jobs in the same order."""
    program = tmp_path / "program.py"
    program.write_text(
        "import hydra\nfrom hydra.core.hydra_config import HydraConfig\n"
        "import nerva.experiment.config.composition as c\n"
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
    with pytest.raises(NervaError, match=r'there is no experiment "fast".*flagship, quick, single'):
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


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["data=digits", "tracking=off", "results_dir=x", "+experiment=quick", "++force=true"], "quick"),
        (["data=digits", "data.validation=200", "seed=1,2"], "quick data.validation=200 seed=1,2"),
        (
            ["tracking.uri=http://jane:secret@h", "hydra/launcher=basic", "optimizer=momentum"],
            "quick optimizer=momentum",
        ),
    ],
)
def test_the_name_of_a_sweep(overrides: list[str], name: str) -> None:
    assert sweep_of(expand("quick", ["data=digits"]), overrides).name == name
