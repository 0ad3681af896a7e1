"""Runs work in a transaction of its own, and again if another writer got in its way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
import sqlalchemy as sa

from datanommer.models.database.deadline import Deadline, within

_TRIES = 5
_Result = TypeVar("_Result")


class RowIdTakenError(psycopg2.DatabaseError):  # type: ignore[misc]  # psycopg2 has no types
    """Another transaction has used an id of `messages` that was drawn for a row of this one."""


class RowVanishedError(Exception):
    """A row was deleted before another one, which refers to it or has its id, was stored."""


def in_transaction(
    engine: sa.Engine, work: Callable[[sa.Connection], _Result], deadline: Deadline | None = None
) -> _Result:
    """Do some work in a transaction, which is on the server's disk when it is committed.

    Args:
        engine: of the database, as `datanommer.models.database.engine.create_engine` makes it.
        work: gets the connection. It runs again after a deadlock or the like.
        deadline: of each try.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            with (
                engine.connect() as connection,
                within(deadline, connection),
                connection.begin(),
            ):
                return work(connection)
        except (
            psycopg2.errors.DeadlockDetected,
            psycopg2.errors.SerializationFailure,
            RowIdTakenError,
            RowVanishedError,
        ):
            if not tries_left:
                raise
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311  apart from the other writer
    raise AssertionError("the last try returns or raises")
