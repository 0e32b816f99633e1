"""`nerva completion`."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that lets a shell complete nerva's commands, and the choices of a configuration.

    In ~/.bashrc: eval "$(nerva completion bash)"
    """
    from nerva.cli import nerva

    completion = get_completion_class(shell)
    assert completion is not None
    if shell == "bash":
        # By default, bash splits optimizer=momentum into three words.
        click.echo("COMP_WORDBREAKS=${COMP_WORDBREAKS//=}")
    click.echo(completion(nerva, {}, "nerva", "_NERVA_COMPLETE").source())
