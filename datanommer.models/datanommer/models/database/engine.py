"""The engine that talks to the database, its name, and why it fails, in the server's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg2
import psycopg2.extensions
import sqlalchemy as sa

from datanommer.models.database import location
from datanommer.models.database import settings as transaction_settings

# Seconds: a command should fail rather than hang.
_CONNECT_TIMEOUT = 10

#: How long a consumer may wait for a lock, run a statement or leave a transaction idle. A batch
#: that takes longer would delay the others. It waits in the spool or the queue, and is tried again.
CONSUMER_TIMEOUTS = {
    "lock_timeout": "3s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
#: The same for a command. It does not wait for a lock for ever, but it may work for hours, and
#: whoever reads its output may take a break.
COMMAND_TIMEOUTS = {
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "1h",
}
_OF_DATABASE = (psycopg2.Error, sa.exc.DBAPIError)
# The execution options of an engine in which `describe`, `conninfo` and `settings_of` look things
# up.
_NAME = "datanommer_name"
_CONNECT_ARGS = "datanommer_connect_args"
_SETTINGS = "datanommer_settings"
# In seconds. When the network is cut, a session ends after two minutes, not after two hours.
_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}


def create_engine(
    url: str,
    *,
    settings: Mapping[str, str] | None = None,
    connect_timeout: int = _CONNECT_TIMEOUT,
    pre_ping: bool = True,
    create: bool = False,
) -> sa.Engine:
    """An engine for the database at `url`. An embedded server is started unless it runs.

    Every transaction is in UTC. No error prints the parameters of its statement.

    Args:
        url: the URL, as `locate` returns it.
        settings: PostgreSQL's settings for each transaction (``{"lock_timeout": "3s"}``). Those in
            the URL (``?options=-c lock_timeout=1s``) take precedence.
        connect_timeout: how long a new connection may take, in seconds.
        pre_ping: whether to test a pooled connection before each use. No time limit applies to
            the test.
        create: whether to make the embedded server if there is none.

    Raises:
        UnusableURL: datanommer cannot use the URL.
        EmbeddedError: there is no embedded server, or it cannot be started.
    """
    name = location.describe(url)
    folder = location.embedded_folder(url)
    if folder is not None:
        # Not at the top: no other database needs it.
        from datanommer.models import embedded

        url = embedded.start(folder, create=create)
    parsed = location.parse(url)
    in_url = transaction_settings.parse(" ".join(parsed.normalized_query.get("options", ())))
    hosts = str(parsed.get_dialect()().create_connect_args(parsed)[1].get("host", ""))
    # The same names in the URL take precedence, except for the options.
    arguments = {
        # libpq applies it to each host.
        "connect_timeout": max(connect_timeout // len(hosts.split(",")), 1),
        "application_name": "datanommer",
        **_KEEPALIVES,
    }
    connect_args = {
        **{key: value for key, value in arguments.items() if key not in parsed.query},
        # Otherwise libpq would send those of PGOPTIONS, which pgbouncer refuses.
        "options": "",
    }
    in_transaction = {**(settings or {}), **in_url, "timezone": "UTC"}
    engine = sa.create_engine(
        parsed.difference_update_query(["options"]),
        hide_parameters=True,
        json_deserializer=_read_json,
        pool_pre_ping=pre_ping,
        execution_options={_NAME: name, _CONNECT_ARGS: connect_args, _SETTINGS: in_transaction},
        connect_args=connect_args,
    )
    transaction_settings.apply(engine, in_transaction)
    return engine


def _read_json(text: str) -> Any:
    # Not at the top: most commands print JSON as PostgreSQL gives it.
    from datanommer.models.envelopes import json_text

    return json_text.read(text)


def conninfo(connection: sa.Connection) -> str:
    """libpq's connection string for another library, to the server that a connection is on.

    It may hold a password: it must not be shown.

    Args:
        connection: to one of the hosts that the URL names; the other library goes to the same.
    """
    engine = connection.engine
    _, arguments = engine.dialect.create_connect_args(engine.url)
    server = connection.connection.driver_connection.info  # type: ignore[union-attr]
    place = {"host": server.host, "port": server.port}
    more = engine.get_execution_options()[_CONNECT_ARGS]
    return str(psycopg2.extensions.make_dsn(**{**arguments, **more, **place}))


def settings_of(engine: sa.Engine) -> Mapping[str, str]:
    """The settings with which each transaction of an engine of `create_engine` begins."""
    settings: Mapping[str, str] = engine.get_execution_options()[_SETTINGS]
    return settings


def describe(engine: sa.Engine) -> str:
    """The URL of the database for people to read: as it was typed, but without its password."""
    name: str | None = engine.get_execution_options().get(_NAME)
    return name or location.describe(engine.url.render_as_string(hide_password=False))


def cause(error: BaseException) -> BaseException:
    """The first error of psycopg2 in a chain; any other error itself.

    When a connection is lost, the rollback fails as well. Its error hides the first one.
    """
    while isinstance(error, _OF_DATABASE) and isinstance(error.__context__, _OF_DATABASE):
        error = error.__context__
    return getattr(error, "orig", None) or error


def reason(error: BaseException, *, detailed: bool = False) -> str:
    """Why something failed, in the server's words, on one line, without the statement and its data.

    Args:
        error: an error of psycopg2 or SQLAlchemy.
        detailed: whether to add PostgreSQL's detail and hint, which may hold the values of a row.
    """
    first = cause(error)
    diagnostics: Any = getattr(first, "diag", None)
    parts = [diagnostics.message_primary] if diagnostics else []
    if diagnostics and detailed:
        parts += [diagnostics.message_detail, diagnostics.message_hint]
    text = ". ".join(filter(None, parts)) or str(first)
    return " ".join(text.split()) or type(first).__name__


def sentence(error: BaseException) -> str:
    """Why something failed, in the server's words and with its detail, as a whole sentence."""
    text = reason(error, detailed=True)
    return text if text.endswith((".", "!", "?")) else f"{text}."
