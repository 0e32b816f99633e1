"""The manual's programs and commands, as they stand there."""

import re
from pathlib import Path

import pytest

from nerva.activation_functions import ACTIVATIONS
from nerva.layers import LAYERS
from nerva.learning_rate import LEARNING_RATES
from nerva.loss_functions import LOSSES
from nerva.optimizers import OPTIMIZERS
from nerva.weight_initializers import INITIALIZERS
from tests.helpers import ROOT, Command

MANUAL = (ROOT / "docs" / "manual.md").read_text()
PROGRAMS = [text for text in re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL) if text.startswith("import numpy")]
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", MANUAL, re.DOTALL)


def test_commands_and_the_program_that_trains(run: Command, tmp_path: Path) -> None:
    for command in COMMANDS.splitlines():
        result = run("bash", "-c", command)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    counts = re.search(r"(\d+) of (\d+) gradients proved", result.stdout)
    assert counts is not None
    assert counts.group(1) == counts.group(2)
    (tmp_path / "network.npz").unlink()
    (tmp_path / "program.py").write_text(PROGRAMS[0])
    result = run("python", "program.py")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "network.npz").exists()


def test_the_components_of_ones_own(run: Command, tmp_path: Path) -> None:
    program = PROGRAMS[1] + (
        "\nfrom nerva.proof import prove_activation\nimport sympy\n"
        "act = PowerActivation()\nassert all(result.proved for result in prove_activation(act))\n"
        "Y = M.feedforward(np.ones((2, 64), np.float32))\nM.backpropagate(Y, Y)\nM.optimize(0.1)\n"
        "assert repr(M.layers[0]) == 'Power(n=2)'\nassert M.layers[0].W.dtype == np.float32\nprint('done')\n"
    )
    (tmp_path / "program.py").write_text(program)
    result = run("python", "program.py")
    assert result.stdout == "done\n", result.stderr


def test_there_are_two_programs() -> None:
    assert len(PROGRAMS) == 2


@pytest.mark.parametrize("registry", [ACTIVATIONS, LAYERS, LEARNING_RATES, LOSSES, OPTIMIZERS, INITIALIZERS])
def test_every_component_is_in_the_manual(registry) -> None:
    for name in registry.components:
        assert f"`{name}" in MANUAL, name
