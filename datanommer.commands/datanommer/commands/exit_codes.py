"""How a command ends when something goes wrong: with one line for people, and an exit code.

The codes: 0 done, 1 failed, 2 usage, 69 no database, 74 the output failed, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn

import click

from datanommer.models.errors import DatanommerError

OUTPUT_FAILED = 74
INTERRUPTED = 130
_UNAVAILABLE = 69
_LOCKED = (
    "Another session holds a lock that this command needs, and did not release it in time; it may "
    "be an upgrade. Try again later. SELECT pid, query FROM pg_stat_activity shows the sessions."
)
_CANCELLED = (
    "If the statement took longer than the statement_timeout of the session, raise that in the "
    "URL (?options=-c statement_timeout=10min), or with ALTER ROLE ... SET statement_timeout."
)
_CONFLICT = (
    "On a standby, reading for long conflicts with what the primary removes: ask the primary, or "
    "raise max_standby_streaming_delay on the standby, or set hot_standby_feedback = on there."
)


class Command(click.Command):
    """A command that ends with a message and an exit code, not a traceback, on expected errors."""

    def invoke(self, ctx: click.Context) -> Any:
        if sys.stdout is None:  # closed when Python started
            message = "The standard output is closed. Send it to /dev/null if you do not need it."
            self.fail(ctx, message, OUTPUT_FAILED)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit):
            raise  # click itself ends the command
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.filename is not None:
                self.fail(ctx, f"{error.filename} cannot be used: {error.strerror}.", 1)
            self._end_output(ctx, error)
        except DatanommerError as error:
            self.fail(ctx, str(error), error.exit_code)
        except Exception as error:
            failure = _database_failure(error)
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

    def _end_output(self, ctx: click.Context, error: OSError) -> NoReturn:
        # Python must not try to write what is still in the buffer again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            ctx.exit(0)  # the reader has read enough
        reason = error.strerror or error
        self.fail(
            ctx, f"The output cannot be written: {reason}. It is not complete.", OUTPUT_FAILED
        )


class CommandGroup(click.Group):
    """A group whose sub-commands end as a `Command` does."""

    command_class = Command


def _database_failure(error: Exception) -> tuple[str, int] | None:
    """The message and the exit code for an error of the database; None for any other error."""
    # If the error is one of theirs, these are imported already.
    import psycopg2.errors
    from sqlalchemy.exc import DBAPIError

    from datanommer.models.database.engine import reason

    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg2.Error):
        return None
    if isinstance(cause, psycopg2.errors.LockNotAvailable):
        return _LOCKED, _UNAVAILABLE
    if isinstance(cause, psycopg2.errors.QueryCanceled):
        return f"The database ended a statement: {reason(error)}. {_CANCELLED}", _UNAVAILABLE
    # Commands that write try again after it themselves; to those that read, a standby says it.
    if isinstance(cause, psycopg2.errors.SerializationFailure):
        return f"The database ended a statement: {reason(error)}. {_CONFLICT}", _UNAVAILABLE
    if isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError):
        return f"The database does not answer: {reason(error)}", _UNAVAILABLE
    return f"The database refused: {reason(error)}", 1
