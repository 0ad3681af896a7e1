"""``datanommer COMMAND``: all commands in one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from datanommer.commands.command import CommandGroup
from datanommer.commands.command_list import COMMANDS, GROUPS
from datanommer.commands.options.database import group_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class _Commands(CommandGroup):
    """Imports only the command that runs: none should wait for what the others need."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        # click would import each command for its help.
        known = COMMANDS.items()
        commands = [
            CompletionItem(name, help=line) for name, line in known if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"datanommer.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.main
        return command


@click.command(cls=_Commands)
@group_options
def main() -> None:
    """Store the messages of a fedmsg bus in PostgreSQL, and find them again."""
