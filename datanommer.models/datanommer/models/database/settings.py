"""PostgreSQL's settings (time zone, timeouts), which are set anew in each transaction.

A pooler such as pgbouncer gives each transaction any connection to the server. It refuses settings
in the startup packet, and other clients would get what one sets for its session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import sqlalchemy as sa

from datanommer.models.errors import UnusableURL

# As PostgreSQL reads them: a backslash before a space or a backslash makes it part of the value.
_OPTION = re.compile(r"\s*(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\[^\0]|[^\s\\\0])*)(?!\S)", re.ASCII)
_OPTIONS = re.compile(rf"(?:{_OPTION.pattern})*\s*", re.ASCII)
# They have no effect within a transaction, or psycopg2 would not know of them.
_OF_A_SESSION = re.compile(
    r"default_transaction_\w+|idle_session_timeout|client_encoding|datestyle"
)

# Otherwise a server that crashes may lose what it reported as committed. All values but "off" wait
# for the disk, and stay.
_WAIT_FOR_THE_DISK = (
    "CASE current_setting('synchronous_commit') "
    "WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END"
)
_AT_ONCE = {"yield_per": None, "stream_results": False}


def parse(options: str) -> dict[str, str]:
    """The settings in libpq's ``options``, by their names in lower case.

    Args:
        options: such as ``-c lock_timeout=1s -c statement_timeout=10min``.

    Raises:
        UnusableURL: they cannot be set in a transaction; says what can be.
    """
    # What is there may be secret, so the message does not show it.
    if not _OPTIONS.fullmatch(options):
        raise UnusableURL(
            "The options in the database URL cannot be used. Write each setting as -c name=value, "
            r"and a space in a value as '\ ': ?options=-c lock_timeout=1s -c search_path=a,\ b."
        )
    settings = {
        name.replace("-", "_").lower(): re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        for name, value in _OPTION.findall(options)
    }
    for name in settings:
        if _OF_A_SESSION.fullmatch(name):
            raise UnusableURL(
                f"The options in the database URL cannot set {name}, because datanommer sets them "
                f"in each transaction. Set it for the role: ALTER ROLE ... SET {name} = ..."
            )
    return settings


def apply(engine: sa.Engine, settings: Mapping[str, str]) -> None:
    """Let each transaction of an engine begin with the settings, which end with it.

    What it commits is on the server's disk.
    """
    # In one statement: storing a single message takes a tenth longer with each.
    calls = ", ".join([*["set_config(%s, %s, true)"] * len(settings), _WAIT_FOR_THE_DISK])
    statement = f"SELECT {calls}"
    values = tuple(word for setting in settings.items() for word in setting)

    def begin(connection: sa.Connection) -> None:
        # Not with a server-side cursor, which would run nothing before the first row is fetched.
        connection.exec_driver_sql(statement, values, execution_options=_AT_ONCE)

    sa.event.listen(engine, "begin", begin)
