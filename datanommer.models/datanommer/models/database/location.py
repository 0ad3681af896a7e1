"""Where the database is.

The consumer, the commands and alembic take the first of these that there is:

1. the URL of the caller (``--url``, ``-x url=`` or `init`'s ``uri``),
2. ``datanommer.sqlalchemy.url`` in the file that ``--config-filename`` names,
3. the environment variable ``DATANOMMER_SQLALCHEMY_URL``,
4. ``datanommer.sqlalchemy.url`` in the fedmsg configuration,
5. the embedded server in ``$XDG_DATA_HOME/datanommer``, if that folder exists.

A command that only reads may ask a replica instead. The same places name it, except the first and
the last:

2. ``datanommer.sqlalchemy.read_url`` in the file that ``--config-filename`` names,
3. the environment variable ``DATANOMMER_SQLALCHEMY_READ_URL``,
4. ``datanommer.sqlalchemy.read_url`` in the fedmsg configuration.

The first place that names a database or a replica decides. So if ``--url`` or the environment names
a database, a replica in the fedmsg configuration is not asked: whoever named that database means
it, and it may hold another archive.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2.extensions
import sqlalchemy as sa

from datanommer.models import configuration
from datanommer.models.configuration import (
    READ_URL_KEY,
    READ_URL_VARIABLE,
    URL_KEY,
    URL_VARIABLE,
)
from datanommer.models.errors import DatabaseUnavailable, UnusableURL

_DRIVER = "postgresql+psycopg2"
# Matches a second @ after a password. SQLAlchemy ends the password at the first one.
_SECOND_AT = re.compile(r"//[^:/]*:[^@]*@.*@", re.DOTALL)
# Several hosts, as libpq takes them. No @ may follow: what stands before it could be a password.
_HOSTS = re.compile(
    r"(//(?:[^:/]*(?::[^@]*)?@)?)([^/?@]*,[^/?@]*)((?:/[^?@]*)?)(?:\?([^@]*))?", re.DOTALL
)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.%]*)\]|([\w.%-]*))(?::([0-9]*))?")
# No database name has these, but a misplaced URL does, and libpq would read it as one.
_NO_NAME = re.compile(r"[@=:/\s]")
# What may be shown of the query of a URL; whatever else is there may be a secret.
_SHOWN_KEYS = ("host", "port", "sslmode", "target_session_attrs")


class Location(NamedTuple):
    """A database, and what names it.

    Attributes:
        url: the URL, as the user wrote it.
        source: what names it, in words.
        is_default: whether nothing names it, so that it is the embedded default.
        is_replica: whether it is named as a replica, for commands that only read.
    """

    url: str
    source: str
    is_default: bool = False
    is_replica: bool = False


def locate(
    url: str | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    config_filename: str | None = None,
    default_may_be_made: bool = False,
    replica_will_do: bool = False,
) -> Location:
    """Find the database, in the order that the docstring of this module gives.

    Args:
        url: the URL of the caller, if it has one.
        config: the fedmsg configuration, if it is already loaded, as in the hub.
        config_filename: the only file to load the configuration from, instead of the usual ones.
        default_may_be_made: whether to return the embedded default even if its folder does not
            exist yet.
        replica_will_do: whether to return a replica, if the place that decides names one.

    Raises:
        ConfigurationError: the fedmsg configuration cannot be loaded.
        DatabaseUnavailable: nothing names a database.
    """
    for place in _places(url, config, config_filename):
        if replica_will_do and place.replica:
            return place.replica
        if place.database:
            return place.database
    folder = default_folder()
    if default_may_be_made or folder.is_dir():
        return Location(f"embedded://{folder}", "the embedded default", is_default=True)
    file = f"; {URL_KEY} in {config_filename}" if config_filename else ""
    files = "" if config_filename else f" {URL_KEY} in {configuration.SEARCHED_FILES};"
    raise DatabaseUnavailable(
        f"No database is named. Looked at, in this order: --url (of a command){file}; the "
        f"environment variable {URL_VARIABLE};{files} "
        f"the embedded server in {folder}, which does not exist. "
        "Name one there, or run datanommer-create-db to make the embedded one."
    )


class _Place(NamedTuple):
    """What one place names, if anything."""

    database: Location | None
    replica: Location | None = None


def _places(
    url: str | None, config: Mapping[str, Any] | None, config_filename: str | None
) -> Iterator[_Place]:
    """The places in their order. A configuration is only loaded when its turn has come."""
    yield _Place(_named(url, "the URL given"))
    if config_filename:
        yield _configured(configuration.load(config_filename), config_filename)
    yield _Place(_in_environment(URL_VARIABLE), _in_environment(READ_URL_VARIABLE, is_replica=True))
    if not config_filename:
        config = configuration.load() if config is None else config
        yield _configured(config, "the fedmsg configuration")


def _in_environment(variable: str, *, is_replica: bool = False) -> Location | None:
    source = f"the environment variable {variable}"
    return _named(os.environ.get(variable), source, is_replica=is_replica)


def _configured(config: Mapping[str, Any], where: str) -> _Place:
    return _Place(
        _named(config.get(URL_KEY), f"{URL_KEY} in {where}"),
        _named(config.get(READ_URL_KEY), f"{READ_URL_KEY} in {where}", is_replica=True),
    )


def _named(url: object, source: str, *, is_replica: bool = False) -> Location | None:
    return Location(str(url), source, is_replica=is_replica) if url else None


def default_folder() -> Path:
    """The folder of the default embedded server: ``$XDG_DATA_HOME/datanommer``."""
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "datanommer"


def parse(url: str) -> sa.URL:
    """The URL, parsed by SQLAlchemy. Several hosts are in its query.

    Raises:
        UnusableURL: it is not the URL of a PostgreSQL database.
    """
    # SQLAlchemy would take the rest of a password for a part of the host, and print it.
    if _SECOND_AT.search(url):
        raise UnusableURL(
            "The database URL cannot be used: there is more than one @ in it. "
            "Write an @ in a password as %40."
        )
    scheme, colon, rest = url.partition(":")
    # For the bare name, SQLAlchemy 2.1 takes psycopg 3. It does not know libpq's short form.
    if scheme in {"postgresql", "postgres"}:
        scheme = _DRIVER
    try:
        url.encode()  # raises for a command line or an environment that is not text
        parsed = sa.make_url(scheme + colon + _with_hosts_in_query(rest))
        # The driver may reject it as well: a port that is no number, say.
        parsed.get_dialect()().create_connect_args(parsed)
    except (sa.exc.SQLAlchemyError, ValueError):
        # SQLAlchemy's error prints the URL, which may have a password in it.
        parsed = None
    is_certain = parsed is not None and not (
        _NO_NAME.search(parsed.database or "") or {"dbname", "user"} & parsed.query.keys()
    )
    if parsed is None or parsed.drivername != _DRIVER or not is_certain:
        raise UnusableURL(
            "The database URL cannot be used: it must look like "
            "postgresql://user:password@host:5432/database or, with several servers, "
            "postgresql://user:password@host1:5432,host2:5432/database?target_session_attrs="
            "read-write, or embedded:///path/of/a/folder."
        )
    _require_known_names(parsed)
    return parsed


def _require_known_names(parsed: sa.URL) -> None:
    """Refuse names in the query of a URL that libpq would refuse later, when it connects."""
    try:
        psycopg2.extensions.make_dsn(**dict.fromkeys(parsed.query, ""))
    except psycopg2.ProgrammingError:
        raise UnusableURL(
            "The database URL cannot be used: psql does not know a name after the ?. Write "
            "PostgreSQL's own settings as ?options=-c name=value."
        ) from None


def _with_hosts_in_query(rest: str) -> str:
    """A URL without its scheme; several hosts are moved to the query, where SQLAlchemy takes them.

    Raises:
        ValueError: one of them is no host.
    """
    found = _HOSTS.fullmatch(rest)
    if found is None:
        return rest
    before, hosts, path, query = found.groups()
    names, ports = zip(*map(_host_and_port, hosts.split(",")), strict=True)
    several = f"host={','.join(names)}"
    if any(ports):
        several += f"&port={','.join(ports)}"
    return f"{before}{path}?{several}{f'&{query}' if query else ''}"


def _host_and_port(text: str) -> tuple[str, str]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError
    return found[1] or found[2] or "", found[3] or ""


def embedded_folder(url: str) -> Path | None:
    """The folder of the embedded server that a URL names; None for any other URL.

    Raises:
        UnusableURL: it looks like the URL of another server.
    """
    scheme, _, rest = url.partition(":")
    if scheme != "embedded":
        return None
    path = rest.removeprefix("//")
    if "@" in path:
        raise UnusableURL(
            "The database URL cannot be used: an embedded server has no user and no password. "
            "Write embedded:///path/of/a/folder, without an @ in the path."
        )
    return Path(path).expanduser().absolute() if path else default_folder()


def describe(url: str) -> str:
    """The URL for people to read, without its password.

    Raises:
        UnusableURL: datanommer cannot use the URL.
    """
    folder = embedded_folder(url)
    if folder is not None:
        return f"embedded://{folder}"
    parsed = parse(url)
    hidden = [key for key in parsed.query if key not in _SHOWN_KEYS]
    # After an @ in the user name, there may be a password that lacks its colon.
    user = (parsed.username or "").partition("@")[0] or None
    shown = parsed.difference_update_query(hidden).set(drivername="postgresql", username=user)
    text = shown.render_as_string(hide_password=True)
    return text.replace("%2C", ",").replace("%3A", ":")  # several hosts, and IPv6
