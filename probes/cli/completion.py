"""``probes completion``: what makes the shell complete verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    For bash: `eval "$(probes completion bash)"` in ~/.bashrc; zsh alike in ~/.zshrc; fish: `probes completion fish | source`.
    """
    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(context.find_root().command, {}, "probes", "_PROBES_COMPLETE").source())
