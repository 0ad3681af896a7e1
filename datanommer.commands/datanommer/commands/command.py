"""What all commands share: how they parse their arguments, show their help, and end.

When something goes wrong, a command ends with one line for people, and an exit code.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import click

from datanommer.commands import interruption
from datanommer.commands.exit_codes import OUTPUT_FAILED, of_database_failure
from datanommer.models.errors import DatanommerError


class _Context(click.Context):
    """A context that offers the help as ``-h`` as well."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"help_option_names": ["--help", "-h"], **options})


class Command(click.Command):
    """A command that ends with a message and an exit code, not a traceback, on expected errors.

    Args:
        examples: command lines to show in the help.
    """

    context_class = _Context

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _refuse_repeated(self, ctx, args)
        with _showing_itself(ctx):
            return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        if sys.stdout is None:  # closed when Python started
            message = "The standard output is closed. Send it to /dev/null if you do not need it."
            self.fail(ctx, message, OUTPUT_FAILED)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit):
            raise  # click itself ends the command
        except OSError as error:
            if error.filename is not None:
                self.fail(ctx, f"{error.filename} cannot be used: {error.strerror}.", 1)
            self.fail(ctx, *_of_output_failure(ctx, error))
        except DatanommerError as error:
            self.fail(ctx, str(error), error.exit_code)
        except Exception as error:
            interruption.give_way()  # a cancelled statement is no failure
            failure = of_database_failure(error)
            if failure is None:
                raise
            self.fail(ctx, *failure)
        return result

    def fail(self, ctx: click.Context, message: str, exit_code: int) -> NoReturn:
        """End the command with an error.

        Args:
            ctx: of the command.
            message: what went wrong and what to do next.
            exit_code: the exit code.
        """
        click.echo(f"Error: {message}", err=True)
        ctx.exit(exit_code)


@contextlib.contextmanager
def _showing_itself(ctx: click.Context) -> Iterator[None]:
    """End with a message and an exit code if the help or the version cannot be written."""
    try:
        try:
            yield
        except click.exceptions.Exit:
            if sys.stdout is not None:
                sys.stdout.flush()
            raise
    except OSError as error:
        message, exit_code = _of_output_failure(ctx, error)
        click.echo(f"Error: {message}", err=True)
        ctx.exit(exit_code)


def _of_output_failure(ctx: click.Context, error: OSError) -> tuple[str, int]:
    """The message and the exit code for an output that cannot be written.

    If the reader has read enough, the command ends with 0.
    """
    # Otherwise Python would try to write the rest of its buffer again when it exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        ctx.exit(0)
    reason = error.strerror or error
    return f"The output cannot be written: {reason}. It is not complete.", OUTPUT_FAILED


def _refuse_repeated(command: click.Command, ctx: click.Context, args: Sequence[str]) -> None:
    """Refuse an option that is given twice where only the last value would count."""
    if ctx.resilient_parsing:
        return
    seen = set()
    _, _, params = command.make_parser(ctx).parse_args(list(args))
    for param in params:
        is_single = isinstance(param, click.Option) and not (param.multiple or param.is_flag)
        if is_single and param in seen:
            raise click.UsageError(f"{param.opts[-1]} is given twice. Leave one out.", ctx)
        seen.add(param)


class CommandGroup(click.Group):
    """A group of `Command`s that suggests the right name after a typo."""

    command_class = Command
    context_class = _Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _refuse_repeated(self, ctx, args)
        with _showing_itself(ctx):
            return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        # click 8.4 does this itself, but only for commands that are imported already.
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            for nearest in difflib.get_close_matches(args[0], self.list_commands(ctx), n=1):
                ctx.fail(f"No such command {args[0]!r}. Did you mean {nearest!r}?")
        return super().resolve_command(ctx, args)
