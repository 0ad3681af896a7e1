"""What the exit codes of the commands mean. Those of a monitor are in `nagios`."""

from __future__ import annotations

from datanommer.commands.interruption import INTERRUPTED

#: The command has done its work, and found that what it looked at is invalid, damaged or lost.
INVALID = 65
OUTPUT_FAILED = 74
UNAVAILABLE = 69
#: For the manual pages; docs/commands.rst says the same.
MEANINGS = {
    0: "Done, even if nothing was found.",
    1: "It failed, or what you named is not there.",
    2: "A wrong option or argument, or a URL that cannot be used.",
    INVALID: "Something is invalid, damaged or lost.",
    UNAVAILABLE: (
        "No database: none is named, it does not answer, or it refuses the connection. Also if a "
        "lock is held for 30 seconds, or if statement_timeout or a standby cancels the statement."
    ),
    OUTPUT_FAILED: "The output cannot be written: the disk is full, say.",
    INTERRUPTED: "Ctrl-C.",
}
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


def of_database_failure(error: Exception) -> tuple[str, int] | None:
    """The message and the exit code for an error of the database; None for any other error."""
    # Imported here: if the error comes from these modules, they are loaded already.
    import psycopg2.errors
    from sqlalchemy.exc import DBAPIError

    from datanommer.models.database.engine import reason
    from datanommer.models.database.refusal import has_answered

    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg2.Error):
        return None
    if isinstance(cause, psycopg2.errors.LockNotAvailable):
        return _LOCKED, UNAVAILABLE
    if isinstance(cause, psycopg2.errors.QueryCanceled):
        return f"The database ended a statement: {reason(error)}. {_CANCELLED}", UNAVAILABLE
    # Commands that write retry by themselves. Those that read get this from a standby.
    if isinstance(cause, psycopg2.errors.SerializationFailure):
        return f"The database ended a statement: {reason(error)}. {_CONFLICT}", UNAVAILABLE
    if isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError):
        outcome = "failed" if has_answered(error) else "does not answer"
        return f"The database {outcome}: {reason(error)}", UNAVAILABLE
    return f"The database refused: {reason(error)}", 1
