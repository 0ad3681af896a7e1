"""A command that can answer a monitor, by the conventions of Nagios plug-ins.

Source of the conventions: https://nagios-plugins.org/doc/guidelines.html, section "Plugin Return
Codes": one line on standard output; exit codes 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""

from __future__ import annotations

from typing import NoReturn

import click

from datanommer.commands.failures import Command
from datanommer.commands.text import printable

#: The names of the exit codes from 0 on.
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
OK, WARNING, CRITICAL, UNKNOWN = range(len(STATES))
#: The option that asks for the answer.
OPTION = "--check"


class MonitoredCommand(Command):
    """A command with ``--check``, which answers UNKNOWN where it cannot do its work.

    The exit codes of failures and of wrong usage would tell a monitor of warnings that there are
    not.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[OPTION] = OPTION in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not ctx.meta[OPTION]:
                raise
            self.fail(ctx, error.format_message(), error.exit_code)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not ctx.meta[OPTION]:
                raise
            self.fail(ctx, error.format_message(), error.exit_code)

    def fail(self, ctx: click.Context, reason: str, exit_code: int) -> NoReturn:
        """End the command; with ``--check``, as UNKNOWN."""
        if not ctx.meta[OPTION]:
            super().fail(ctx, reason, exit_code)
        answer(ctx, UNKNOWN, reason)


def answer(ctx: click.Context, state: int, text: str) -> NoReturn:
    """Print the line for the monitor, and end.

    Args:
        ctx: of the command.
        state: the index of one of `STATES`.
        text: what there is to say.
    """
    # What follows a bar, monitors take for figures.
    click.echo(f"{STATES[state]}: {printable(text).replace('|', '/')}")
    ctx.exit(state)
