"""Completion in a shell."""

import pytest

from tests.helpers import Command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run: Command, shell: str) -> None:
    assert "_NERVA_COMPLETE" in run("nerva", "completion", shell).stdout


def test_bash_completes_verbs(run: Command) -> None:
    result = run("nerva", _NERVA_COMPLETE="bash_complete", COMP_WORDS="nerva tra", COMP_CWORD="1")
    assert result.stdout.split() == ["plain,train", "plain,track"]


def test_bash_completes_choices_of_a_configuration(run: Command) -> None:
    """In a real bash, with what `nerva completion bash` prints."""
    script = (
        'eval "$(nerva completion bash)"; '
        'COMP_WORDS=(nerva train "optimizer=ne"); COMP_CWORD=2; COMP_LINE="nerva train optimizer=ne"; '
        '_nerva_completion nerva; echo "${COMPREPLY[@]}"'
    )
    result = run("bash", "-c", script)
    assert result.stdout.split() == ["optimizer=nesterov"], result.stderr
