"""``datanommer-completion``: prints the script that completes all commands in a shell."""

from __future__ import annotations

import click

from datanommer.commands.command import Command
from datanommer.commands.options.database import group_options
from datanommer.commands.shells import SCRIPTS


@click.command(
    cls=Command,
    examples=[
        'eval "$(datanommer-completion bash)"',
        "datanommer-completion zsh > _datanommer",
    ],
)
@click.argument("shell", type=click.Choice(list(SCRIPTS)), metavar="bash|zsh|fish")
@group_options
def main(shell: str) -> None:
    """Print the script that lets Tab complete what you type after a command.

    In bash, put eval "$(datanommer completion bash)" into ~/.bashrc. In zsh, put the same with zsh
    into ~/.zshrc. In fish, put datanommer completion fish | source into
    ~/.config/fish/config.fish. With the RPM, none of this is needed.
    """
    click.echo(SCRIPTS[shell], nl=False)
