"""Where benchmarks run: a PostgreSQL server, databases on it, and how much is measured."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import sqlalchemy as sa

from benchmarks import fill
from benchmarks.generator import Bus
from datanommer import models
from datanommer.models import embedded
from datanommer.models.database import location, migrations
from datanommer.models.database.binding import bound_engine
from datanommer.models.database.engine import create_engine


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """The URL of a server: the one given, else an embedded one that is there as long as needed."""
    if url is not None:
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="datanommer-benchmarks-"))
    try:
        yield embedded.start(folder)
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder)


@dataclass
class Setting:
    """What a benchmark is given.

    Attributes:
        server: the URL of a server where databases may be made.
        messages: how many messages the filled database has.
        rounds: how often each way is measured.
    """

    server: str
    messages: int
    rounds: int
    _is_mine: bool = False

    @functools.cached_property
    def bus(self) -> Bus:
        """The bus that the filled database heard."""
        return Bus(self.messages)

    @functools.cached_property
    def filled(self) -> str:
        """The URL of a database that holds all messages of `bus`. Nobody writes to it."""
        url = self._url(f"bench_{_short(self.messages)}")
        fill.create_database(url)
        if _is_empty(url):
            click.echo(f"filling {location.describe(url)}", err=True)
            self._is_mine = True
            fill.fill(url, self.bus)
        return url

    def drop_filled(self) -> None:
        """Drop the filled database, if it was made for this run."""
        if self._is_mine:
            self._drop(self._url(f"bench_{_short(self.messages)}"))

    @contextlib.contextmanager
    def empty(self, *, at_head: bool = True) -> Iterator[str]:
        """The URL of a temporary database, with the models bound to it if it is at head."""
        url = self._url(f"bench_{uuid.uuid4().hex}")
        fill.create_database(url)
        try:
            if at_head:
                models.init(url, create=True)
            yield url
        finally:
            if at_head:
                models.session.remove()
                bound_engine().dispose()
            self._drop(url)

    def _url(self, name: str) -> str:
        url = sa.make_url(self.server).set(database=name, drivername="postgresql")
        return url.render_as_string(hide_password=False)

    def _drop(self, url: str) -> None:
        with fill.administration(url) as connection:
            name = sa.make_url(url).database
            connection.exec_driver_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextlib.contextmanager
def bound(url: str) -> Iterator[sa.Connection]:
    """Bind the models to a database for some time; a connection to it."""
    models.init(url)
    try:
        with bound_engine().connect() as connection:
            yield connection
    finally:
        models.session.remove()
        bound_engine().dispose()


def _is_empty(url: str) -> bool:
    engine = create_engine(url)
    try:
        state = migrations.examine(engine)
        if state.is_empty:
            return True
        migrations.require_head(engine)
        with engine.connect() as connection:
            return not connection.scalar(sa.text("SELECT EXISTS (SELECT FROM messages)"))
    finally:
        engine.dispose()


def _short(number: int) -> str:
    """100k, 1m or 10m."""
    for size, letter in ((1_000_000, "m"), (1_000, "k")):
        if number % size == 0:
            return f"{number // size}{letter}"
    return str(number)
