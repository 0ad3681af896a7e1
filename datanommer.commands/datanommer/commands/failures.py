"""How a command ends when something goes wrong: one line for people, and an exit code.

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
    "Another session holds a lock on what this needs, such as an upgrade, and did not let go of "
    "it in time. Try again when it has; SELECT pid, query FROM pg_stat_activity shows who it is."
)
_CANCELLED = (
    "Where the statement took longer than the statement_timeout of the session, raise that "
    "in the URL (?options=-c statement_timeout=10min), or with ALTER ROLE ... SET "
    "statement_timeout."
)


class Command(click.Command):
    """A command that ends without a traceback for what can go wrong around it."""

    def invoke(self, ctx: click.Context) -> Any:
        if sys.stdout is None:  # closed when Python started
            told = "The standard output is closed. Send it to /dev/null if nobody wants it."
            self.fail(ctx, told, OUTPUT_FAILED)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.filename is not None:
                self.fail(ctx, f"{error.filename} cannot be used: {error.strerror}.", 1)
            self._end_output(ctx, error)
        except DatanommerError as error:
            self.fail(ctx, str(error), error.exit_code)
        except Exception as error:
            reason = _database_failure(error)
            if reason is None:
                raise
            self.fail(ctx, *reason)
        return result

    def fail(self, ctx: click.Context, reason: str, exit_code: int) -> NoReturn:
        """End the command.

        Args:
            ctx: of the command.
            reason: what went wrong and what to do next, for people.
            exit_code: what to end with.
        """
        click.echo(f"Error: {reason}", err=True)
        ctx.exit(exit_code)

    def _end_output(self, ctx: click.Context, error: OSError) -> NoReturn:
        # What is still in the buffer must not be tried again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            ctx.exit(0)  # the reader has what it wanted
        reason = error.strerror or error
        self.fail(
            ctx, f"The output cannot be written: {reason}. It is not complete.", OUTPUT_FAILED
        )


def _database_failure(error: Exception) -> tuple[str, int] | None:
    """What to say of an error of the database, and the exit code; None for any other."""
    # Imported by now, if the error is theirs.
    import psycopg2.errors
    from sqlalchemy.exc import DBAPIError

    from datanommer.models.database import reason

    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg2.Error):
        return None
    if isinstance(cause, psycopg2.errors.LockNotAvailable):
        return _LOCKED, _UNAVAILABLE
    if isinstance(cause, psycopg2.errors.QueryCanceled):
        return f"The database ended a statement: {reason(error)}. {_CANCELLED}", _UNAVAILABLE
    if isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError):
        return f"The database does not answer: {reason(error)}", _UNAVAILABLE
    return f"The database refused: {reason(error)}", 1
