"""Why a server refuses a connection, and what to do about it.

libpq gives no SQLSTATE when a connection fails, only a text. So we read the text. If we do not know
its language, we can only tell that the server has answered.
"""

from __future__ import annotations

import os
import re
import shlex

import sqlalchemy as sa

from datanommer.models.database import engine as engines

# What the server says, in any language: libpq puts the severity, a colon and two spaces before it.
# Also what libpq itself says once the server has answered.
_ANSWERED = re.compile(
    r"(^|: )[^\s:]+:  \S|fe_sendauth: no password|does not support SSL|certificate verify failed|"
    r"session is |hot standby mode",
    re.MULTILINE,
)
_MISSING = re.compile(r'(database|role) "(.+?)" does not exist')
_HOW_TO_LOG_IN = (
    f"Give the password in {os.environ.get('PGPASSFILE') or '~/.pgpass'}, in PGPASSWORD or in the "
    "URL: postgresql://user:password@host/name"
)
_ADVICE = (
    ("password", _HOW_TO_LOG_IN),
    ("Peer auth|Ident auth", "Run this as the system user of that name, or name another role."),
    (r"pg_hba\.conf", "Add a line for this to the pg_hba.conf of the server, and reload it."),
    (
        "too many|connection slots",
        "Try again later, or let the server, the database or the role have more connections.",
    ),
    ("the database system is ", "Try again in a moment."),
    ("session is |hot standby mode", "Name a server that is what target_session_attrs asks for."),
)


def has_answered(error: BaseException) -> bool:
    """Whether the server said something, so that it runs and can be reached.

    Args:
        error: an error of psycopg2 or SQLAlchemy.
    """
    cause = engines.cause(error)
    return getattr(cause, "pgcode", None) is not None or bool(_ANSWERED.search(str(cause)))


def explain(engine: sa.Engine, error: sa.exc.OperationalError) -> str:
    """Why there is no connection to a database, and what to do: whole sentences, or a command last.

    Args:
        engine: of the database.
        error: what the try to connect raised.
    """
    name, said = engines.describe(engine), engines.sentence(error)
    if not has_answered(error):
        return (
            f"The database {name} does not answer: {said} Check its URL, and that the server runs."
        )
    return f"The database {name} refuses the connection: {said} {_advice(said, engine.url)}"


def _advice(said: str, url: sa.URL) -> str:
    if missing := _MISSING.search(said):
        kind, name = missing.groups()
        if kind == "role":
            command = _command("createuser", url, name)
            return (
                "Name another role in the URL, or let a superuser of PostgreSQL create this one: "
                f"{command}"
            )
        command = _command("createdb", url, name)
        return (
            "Check its name. Or make it, and then its tables with datanommer-create-db and the "
            f"same URL: {command}"
        )
    for pattern, advice in _ADVICE:
        if re.search(pattern, said):
            return advice
    return "The server runs: check the URL, or ask who looks after the server."


def _command(program: str, url: sa.URL, name: str) -> str:
    """The command that makes a database or a role, on the server of the URL."""
    arguments = url.get_dialect()().create_connect_args(url)[1]
    options = {"-h": arguments.get("host"), "-p": arguments.get("port")}
    if program == "createdb":  # not for createuser: the role of the URL is the one missing
        options["-U"] = arguments.get("user")
    words = [str(word) for option in options.items() if option[1] for word in option]
    return shlex.join([program, *words, name])
