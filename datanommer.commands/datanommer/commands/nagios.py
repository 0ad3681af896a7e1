"""A command that can answer a monitor, by the conventions of Nagios plug-ins.

Source of the conventions: https://nagios-plugins.org/doc/guidelines.html, section "Plugin Return
Codes": one line on standard output; exit codes 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""

from __future__ import annotations

from typing import NoReturn

import click

from datanommer.commands.command import Command
from datanommer.commands.output.formatting import printable

#: The names of the states; their indices are the exit codes.
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
OK, WARNING, CRITICAL, UNKNOWN = range(len(STATES))
#: The option that makes a command answer a monitor.
CHECK_OPTION = "--check"


class MonitoredCommand(Command):
    """A command with ``--check``, which then answers UNKNOWN if it fails.

    A monitor would take the usual exit codes of a failure (1) and of wrong usage (2) for WARNING
    and CRITICAL.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[CHECK_OPTION] = CHECK_OPTION in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            self._fail_check(ctx, error)
            raise

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            self._fail_check(ctx, error)
            raise

    def _fail_check(self, ctx: click.Context, error: click.UsageError) -> None:
        """End the command if it has ``--check``."""
        if ctx.meta[CHECK_OPTION]:
            self.fail(ctx, error.format_message(), error.exit_code)

    def fail(self, ctx: click.Context, message: str, exit_code: int) -> NoReturn:
        """End the command with an error; with ``--check``, as UNKNOWN."""
        if not ctx.meta[CHECK_OPTION]:
            super().fail(ctx, message, exit_code)
        answer(ctx, UNKNOWN, message)


def answer(ctx: click.Context, state: int, text: str, performance: str = "") -> NoReturn:
    """Print the line for the monitor, and end the command.

    Args:
        ctx: of the command.
        state: the index of one of `STATES`.
        text: the rest of the line.
        performance: performance data, such as ``waiting=0;;100``, if there is any.
    """
    # Monitors read what follows a bar as performance data.
    line = f"{STATES[state]}: {printable(text).replace('|', '/')}"
    click.echo(f"{line} | {performance}" if performance else line)
    ctx.exit(state)
