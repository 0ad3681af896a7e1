"""The engine that talks to the database, and why the server says that something failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg2
import sqlalchemy as sa

from datanommer.models import embedded
from datanommer.models.database import settings as transaction_settings
from datanommer.models.database.location import embedded_folder, parse

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
# In seconds. When the network is cut, a session ends after two minutes, not after two hours.
_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}


def create_engine(
    url: str,
    *,
    settings: Mapping[str, str] | None = None,
    connect_timeout: int = _CONNECT_TIMEOUT,
    pre_ping: bool = True,
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

    Raises:
        ConfigurationError: datanommer cannot use the URL.
        EmbeddedError: the embedded server cannot be started.
    """
    folder = embedded_folder(url)
    if folder is not None:
        url = embedded.start(folder)
    parsed = parse(url)
    in_url = transaction_settings.parse(" ".join(parsed.normalized_query.get("options", ())))
    hosts = str(parsed.get_dialect()().create_connect_args(parsed)[1].get("host", ""))
    # The same names in the URL take precedence, but for the options.
    arguments = {
        # libpq applies it to each host.
        "connect_timeout": max(connect_timeout // len(hosts.split(",")), 1),
        "application_name": "datanommer",
        **_KEEPALIVES,
    }
    engine = sa.create_engine(
        parsed.difference_update_query(["options"]),
        hide_parameters=True,
        pool_pre_ping=pre_ping,
        connect_args={
            **{key: value for key, value in arguments.items() if key not in parsed.query},
            # Otherwise libpq would send those of PGOPTIONS, which pgbouncer refuses.
            "options": "",
        },
    )
    transaction_settings.apply(engine, {**(settings or {}), **in_url, "timezone": "UTC"})
    return engine


def reason(error: BaseException, *, detailed: bool = False) -> str:
    """Why something failed, in the server's words, on one line, without the statement and its data.

    Args:
        error: an error of psycopg2 or SQLAlchemy.
        detailed: whether to add PostgreSQL's detail and hint, which may hold the values of a row.
    """
    # When a connection is lost, the rollback fails as well. Its error hides the first one.
    while isinstance(error, _OF_DATABASE) and isinstance(error.__context__, _OF_DATABASE):
        error = error.__context__
    cause: Any = getattr(error, "orig", None) or error
    diagnostics = getattr(cause, "diag", None)
    parts = [diagnostics.message_primary] if diagnostics else []
    if diagnostics and detailed:
        parts += [diagnostics.message_detail, diagnostics.message_hint]
    text = ". ".join(filter(None, parts)) or str(cause)
    return " ".join(text.split()) or type(cause).__name__


def sentence(error: BaseException) -> str:
    """Why something failed, in the server's words and with its detail, as a whole sentence."""
    text = reason(error, detailed=True)
    return text if text.endswith((".", "!", "?")) else f"{text}."
