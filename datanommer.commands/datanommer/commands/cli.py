"""``datanommer COMMAND``: all commands in one."""

from __future__ import annotations

from importlib import import_module

import click

from datanommer.commands.command_list import COMMANDS
from datanommer.commands.options import version_option


class _Commands(click.Group):
    """Imports only the command that runs: none should wait for what the others need."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = [click.Command(name, help=line) for name, line in COMMANDS.items()]
        click.Group(commands=listed).format_commands(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"datanommer.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.main
        return command


@click.command(cls=_Commands)
@version_option
def main() -> None:
    """Store the messages of a fedmsg bus in PostgreSQL, and find them again."""
