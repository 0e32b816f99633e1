"""The programs and commands of docs/engine.md, as they are written there."""

import re
from pathlib import Path

import pytest

from nerva.activation_functions import ACTIVATIONS
from nerva.layers import LAYERS
from nerva.learning_rate import LEARNING_RATES
from nerva.loss_functions import LOSSES
from nerva.optimizers import OPTIMIZERS
from nerva.weight_initializers import INITIALIZERS
from tests.docs.blocks import blocks, commands, read
from tests.helpers import Command

PAGE = "docs/engine.md"
# The other blocks are excerpts of the code.
PROGRAMS = [text for text in blocks(PAGE, "python") if text.startswith(("import", "from"))]
TRAINING, CHOICE, COMPONENTS = PROGRAMS


@pytest.mark.long
def test_the_commands_and_the_program_that_trains(run: Command, tmp_path: Path) -> None:
    for command in commands(PAGE):
        result = run("bash", "-c", command)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
    counts = re.search(r"(\d+) of (\d+) gradients proved", result.stdout)
    assert counts is not None
    assert counts.group(1) == counts.group(2)
    (tmp_path / "network.npz").unlink()
    (tmp_path / "program.py").write_text(TRAINING)
    result = run("python", "program.py")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "network.npz").exists()


def test_the_user_defined_components(run: Command, tmp_path: Path) -> None:
    (tmp_path / "proof.py").write_text(
        COMPONENTS + "\nfrom nerva.proof import prove_activation\n"
        "assert all(result.proved for result in prove_activation(PowerActivation()))\nprint('proved')\n"
    )
    result = run("python", "proof.py", NERVA_BACKEND="sympy")
    assert result.stdout == "proved\n", result.stderr
    program = COMPONENTS + (
        "\nimport numpy as np\nY = M.feedforward(np.ones((2, 64), np.float32))\n"
        "M.backpropagate(Y, Y)\nM.optimize(0.1)\n"
        "assert repr(M.layers[0]) == 'Power(n=2)'\nassert M.layers[0].W.dtype == np.float32\nprint('done')\n"
    )
    (tmp_path / "program.py").write_text(program)
    result = run("python", "program.py")
    assert result.stdout == "done\n", result.stderr


def test_a_run_with_the_user_defined_components(run: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COMPONENTS)
    overrides = (
        "imports=[mine]",
        "model.layers=[Power,Linear]",
        "optimizer=gradient_descent",
        "optimizer.name=SignDescent",
    )
    result = run(
        "nerva", "train", "data=digits", *overrides, "learning_rate.lr=0.001", "train.epochs=2", "tracking=off"
    )
    assert result.returncode == 0, result.stderr
    assert "can't be resumed" not in result.stdout + result.stderr


@pytest.mark.parametrize("registry", [ACTIVATIONS, LAYERS, LEARNING_RATES, LOSSES, OPTIMIZERS, INITIALIZERS])
def test_every_component_is_documented(registry) -> None:
    for name in registry.components:
        assert f"`{name}" in read(PAGE), name
