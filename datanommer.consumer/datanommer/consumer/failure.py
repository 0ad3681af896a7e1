"""Why messages could not be stored, for a line of the log."""

from __future__ import annotations

import logging

import psycopg2
import sqlalchemy as sa

from datanommer.models.database.engine import reason
from datanommer.models.errors import DatabaseUnavailable, DatanommerError

_OF_DATABASE = (psycopg2.Error, sa.exc.DBAPIError, DatabaseUnavailable)
_EXPECTED = (*_OF_DATABASE, DatanommerError)


def explain(error: Exception, log: logging.Logger) -> str:
    """The reason for an error, on one line, without final punctuation.

    Args:
        error: what was raised.
        log: gets the traceback of an error that nobody expects, for a bug report.
    """
    if not isinstance(error, _EXPECTED):
        log.error("This is a bug in datanommer; please report it.", exc_info=error)
    return reason(error).rstrip(".?!")


def exit_code(error: DatanommerError) -> int:
    """The exit code of a consumer that cannot start: 69 if there is no database, else 1.

    Commands exit with 2 if a URL cannot be used. Our systemd units take that for a wrong option,
    and would not restart the consumer.
    """
    return error.exit_code if isinstance(error, DatabaseUnavailable) else 1


def is_of_database(error: Exception) -> bool:
    """Whether the database failed, and not what it was to store."""
    return isinstance(error, _OF_DATABASE)


def cause(error: Exception) -> str:
    """What kind of an error it is, for a log that tells each kind once a minute."""
    return type(getattr(error, "orig", None) or error).__name__
