"""What can go wrong with a database: each begins, lasts as long as it is wanted, and ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from .scene import Database

Fault = Callable[[Database], AbstractContextManager[None]]


@contextlib.contextmanager
def stopped(database: Database) -> Iterator[None]:
    database.server.stop()
    try:
        yield
    finally:
        database.server.start()


@contextlib.contextmanager
def killed(database: Database) -> Iterator[None]:
    database.server.kill()
    try:
        yield
    finally:
        database.server.start()


@contextlib.contextmanager
def hanging(database: Database) -> Iterator[None]:
    database.server.pause()
    try:
        yield
    finally:
        database.server.resume()


@contextlib.contextmanager
def crashed(database: Database) -> Iterator[None]:
    """A session of the hub is killed, and PostgreSQL recovers."""
    database.server.crash(database.name)
    try:
        yield
    finally:
        database.server.start()  # it starts by itself, and takes as long as its disk does


@contextlib.contextmanager
def ended(database: Database) -> Iterator[None]:
    """An admin ends the session of the hub."""
    database.server.disconnect(database.name)
    yield


@contextlib.contextmanager
def refusing(database: Database) -> Iterator[None]:
    database.server.admit(False)
    database.server.disconnect(database.name)
    try:
        yield
    finally:
        database.server.admit(True)


@contextlib.contextmanager
def locked(database: Database) -> Iterator[None]:
    with contextlib.closing(database.server.connect(database.name)) as connection:
        connection.autocommit = False
        connection.cursor().execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        yield


@contextlib.contextmanager
def read_only(database: Database) -> Iterator[None]:
    alter = f"ALTER DATABASE {database.name}"
    database.server.execute(f"{alter} SET default_transaction_read_only = on")
    database.server.disconnect(database.name)
    try:
        yield
    finally:
        database.server.execute(f"{alter} RESET default_transaction_read_only")


@contextlib.contextmanager
def exhausted(database: Database) -> Iterator[None]:
    with database.server.exhausted(database.name):
        yield


@contextlib.contextmanager
def full(database: Database) -> Iterator[None]:
    database.server.fill()
    try:
        yield
    finally:
        database.server.empty()


@contextlib.contextmanager
def resetting(database: Database) -> Iterator[None]:
    database.proxy.reset()
    try:
        yield
    finally:
        database.proxy.flow()


@contextlib.contextmanager
def silent(database: Database) -> Iterator[None]:
    """The network carries nothing, and nobody is told."""
    database.proxy.hold()
    try:
        yield
    finally:
        database.proxy.flow()


@contextlib.contextmanager
def slow(database: Database) -> Iterator[None]:
    database.proxy.delay = 0.05
    try:
        yield
    finally:
        database.proxy.flow()


@contextlib.contextmanager
def cut_in_a_batch(database: Database) -> Iterator[None]:
    database.proxy.cut_after(5000)
    yield


@contextlib.contextmanager
def cut_at_the_answer(database: Database) -> Iterator[None]:
    """A transaction is committed, and the hub does not learn of it."""
    database.proxy.cut_answer()
    yield


#: Those that any server can have.
FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        *(stopped, killed, hanging, crashed, ended, refusing, locked, read_only, exhausted),
        *(resetting, silent, slow, cut_in_a_batch, cut_at_the_answer),
    )
}
