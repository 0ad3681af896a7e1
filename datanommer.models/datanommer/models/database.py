"""Where the database is, and the engine that talks to it.

The consumer, the commands and alembic all look in the same order:

1. the URL given (``--url``, ``-x url=`` or `init`'s ``uri``),
2. the environment variable ``DATANOMMER_SQLALCHEMY_URL``,
3. ``datanommer.sqlalchemy.url`` in the fedmsg configuration,
4. the embedded server in ``$XDG_DATA_HOME/datanommer``, only where that folder exists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import sqlalchemy as sa

from datanommer.models import configuration
from datanommer.models.configuration import URL_KEY, URL_VARIABLE
from datanommer.models.errors import ConfigurationError, DatabaseUnavailable

_DRIVER = "postgresql+psycopg2"
# Of what stands behind a user and a password: SQLAlchemy takes the first @ for the end of both.
_SECOND_AT = re.compile(r"//[^:/]*:[^@]*@.*@", re.DOTALL)
_CONNECT_TIMEOUT = 10  # seconds; the hub's spool and the shell both want an answer, not a hang

#: What PostgreSQL ends by itself in the sessions of a consumer: a lock or a statement that takes
#: longer only delays the rest, which waits elsewhere meanwhile and is tried again.
CONSUMER_TIMEOUTS = {
    "lock_timeout": "3s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
}
#: Likewise in those of a command: it waits for nobody for ever, but may itself work for hours, and
#: whoever reads its output may take a break.
COMMAND_TIMEOUTS = {
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "1h",
}
# Seconds: a network that carries nothing any more ends a session after two minutes, not two hours.
_KEEPALIVES = {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}

_bound: sa.Engine | None = None


class Location(NamedTuple):
    """A database and how it was found.

    Attributes:
        url: the URL as it was given; `engine` and `describe` take it.
        source: where it was found, in words.
        is_default: whether nobody named it: it is the embedded default.
    """

    url: str
    source: str
    is_default: bool = False


def locate(
    url: str | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    config_filename: str | None = None,
    default_may_be_made: bool = False,
) -> Location:
    """Find the database in the order that this module's docstring gives.

    Args:
        url: the URL that somebody gave, if any.
        config: a fedmsg configuration that is already loaded (the hub's), else it is loaded.
        config_filename: the one file to load the configuration from, instead of the usual ones.
        default_may_be_made: whether the embedded default counts where its folder does not exist.

    Raises:
        ConfigurationError: the fedmsg configuration cannot be loaded.
        DatabaseUnavailable: no place names a database.
    """
    if url:
        return Location(url, "the URL given")
    if in_environment := os.environ.get(URL_VARIABLE):
        return Location(in_environment, f"the environment variable {URL_VARIABLE}")
    if config is None:
        config = configuration.load(config_filename)
    if configured := config.get(URL_KEY):
        return Location(str(configured), f"{URL_KEY} in the fedmsg configuration")
    folder = default_folder()
    if default_may_be_made or folder.is_dir():
        return Location(f"embedded://{folder}", "the embedded default", is_default=True)
    looked_at = config_filename or configuration.PLACES
    raise DatabaseUnavailable(
        "No database is named. Looked at: --url (of a command); the environment variable "
        f"{URL_VARIABLE}; {URL_KEY} in the fedmsg configuration ({looked_at}); "
        f"the embedded server in {folder}, which does not exist. "
        "Name one there, or run datanommer-create-db to make the embedded one."
    )


def default_folder() -> Path:
    """The folder of the default embedded server: ``$XDG_DATA_HOME/datanommer``."""
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "datanommer"


def _parse(url: str) -> sa.URL:
    # The rest of the password would be taken for a part of the host, and printed.
    if _SECOND_AT.search(url):
        raise ConfigurationError(
            "The database URL cannot be used: there is more than one @ in it. "
            "Write an @ in a password as %40."
        )
    scheme, colon, rest = url.partition(":")
    # SQLAlchemy 2.1 takes the bare name for psycopg 3, and does not know libpq's short form.
    if scheme in {"postgresql", "postgres"}:
        scheme = _DRIVER
    try:
        url.encode()  # what a command line or the environment holds need not be text
        parsed = sa.make_url(scheme + colon + rest)
        # What the driver makes of it can fail as well: a port that is no number, say.
        parsed.get_dialect()().create_connect_args(parsed)
    except (sa.exc.SQLAlchemyError, ValueError):
        # The error of SQLAlchemy prints the URL, and a password may be in it.
        parsed = None
    if parsed is None or parsed.drivername != _DRIVER:
        raise ConfigurationError(
            "The database URL cannot be used: it must look like "
            "postgresql://user:password@host:5432/database or embedded:///path/of/a/folder."
        )
    return parsed


def embedded_folder(url: str) -> Path | None:
    """The folder of the embedded server that the URL names; None for any other URL."""
    scheme, _, rest = url.partition(":")
    if scheme != "embedded":
        return None
    path = rest.removeprefix("//")
    return Path(path).expanduser().absolute() if path else default_folder()


def describe(url: str) -> str:
    """The URL for people: a password in it is hidden.

    Raises:
        ConfigurationError: it is no URL that datanommer can use.
    """
    folder = embedded_folder(url)
    if folder is not None:
        return f"embedded://{folder}"
    parsed = _parse(url)
    # A password may come as a query argument too (libpq takes ?password= and ?passfile=).
    secrets = [key for key in parsed.query if "pass" in key]
    shown = parsed.difference_update_query(secrets).set(drivername="postgresql")
    return shown.render_as_string(hide_password=True)


def create_engine(
    url: str,
    *,
    settings: Mapping[str, str] | None = None,
    connect_timeout: int = _CONNECT_TIMEOUT,
    pre_ping: bool = True,
) -> sa.Engine:
    """An engine for the database at `url`; an embedded server is started if it is not running.

    Every connection is in UTC, and no error prints the parameters of its statement.

    Args:
        url: the URL, as `locate` finds it.
        settings: of PostgreSQL, for each session (``{"lock_timeout": "3s"}``); those in the URL
            (``?options=-c lock_timeout=1s``) go before them.
        connect_timeout: seconds that a new connection may take.
        pre_ping: whether to ask a pooled connection whether it is alive before each use. No time
            limit holds for the answer.

    Raises:
        ConfigurationError: it is no URL that datanommer can use.
        EmbeddedError: the embedded server cannot be started.
    """
    folder = embedded_folder(url)
    if folder is not None:
        from datanommer.models import embedded

        url = embedded.start(folder)
    parsed = _parse(url)
    # Of two options, the later one counts.
    wanted = [f"-c {name}={value}" for name, value in (settings or {}).items()]
    options = " ".join([*wanted, str(parsed.query.get("options", "")), "-c timezone=UTC"])
    # What the URL asks for goes before these.
    defaults = {
        "connect_timeout": connect_timeout,
        "application_name": "datanommer",
        **_KEEPALIVES,
    }
    return sa.create_engine(
        parsed,
        hide_parameters=True,
        pool_pre_ping=pre_ping,
        connect_args={
            **{key: value for key, value in defaults.items() if key not in parsed.query},
            "options": options.strip(),
        },
    )


def reason(error: BaseException, *, detailed: bool = False) -> str:
    """What the server said, on one line, without the statement and its data.

    Args:
        error: of psycopg2 or SQLAlchemy.
        detailed: with PostgreSQL's detail and hint, which may hold the values of a row.
    """
    # Where the connection was lost, what follows (a rollback) fails too, and hides why.
    while isinstance(error.__context__, psycopg2.Error | sa.exc.DBAPIError):
        error = error.__context__
    cause: Any = getattr(error, "orig", None) or error
    said = getattr(cause, "diag", None)
    parts = [said.message_primary] if said else []
    if said and detailed:
        parts += [said.message_detail, said.message_hint]
    told = ". ".join(filter(None, parts)) or str(cause)
    return " ".join(told.split()) or type(cause).__name__


def init(
    uri: str | None = None,
    alembic_ini: str | None = None,
    engine: sa.Engine | None = None,
    create: bool = False,
) -> None:
    """Bind the session, and with it the models, to a database.

    Args:
        uri: the URL of the database; without it, it is looked for (see `locate`).
        alembic_ini: the alembic.ini of the migrations that `create` runs, instead of the
            ones that come with this package.
        engine: an engine of one's own, instead of a URL.
        create: bring the database to head first, by way of the migrations.

    Raises:
        ConfigurationError: the URL or the fedmsg configuration cannot be used.
        DatabaseUnavailable: no database is named, or with `create`, it does not answer.
    """
    if engine is None:
        engine = create_engine(locate(uri).url)
    if create:
        from datanommer.models import migrations

        migrations.upgrade(engine, alembic_ini=alembic_ini)
    from datanommer.models.sessions import session

    session.remove()
    bind(engine)


def bind(engine: sa.Engine) -> None:
    """Bind the models to a database without importing SQLAlchemy's ORM, as `init` does."""
    global _bound  # noqa: PLW0603  one database a process, as in the classic API
    _bound = engine


def bound_engine() -> sa.Engine:
    """The engine that the models are bound to.

    Raises:
        ConfigurationError: `init` was not called.
    """
    if _bound is None:
        raise ConfigurationError("Call datanommer.models.init(url) before anything else.")
    return _bound
