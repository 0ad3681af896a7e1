"""An archive: its schema, its server, and what is in it. Each part is seen by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from datanommer.models.database import migrations
from datanommer.models.database.deadline import Deadline
from datanommer.models.inspecting import newest, rejects, schema, server, silence, size
from datanommer.models.inspecting.newest import Newest
from datanommer.models.inspecting.schema import Schema
from datanommer.models.inspecting.server import Server, Standby
from datanommer.models.inspecting.silence import Silent
from datanommer.models.inspecting.size import Size
from datanommer.models.inspecting.unseen import Unseen, see

#: PostgreSQL's settings for each question, so that a monitor gets an answer.
TIMEOUTS = {"lock_timeout": "3s", "statement_timeout": "15s"}
#: For all questions together, in seconds, even if the server does not answer at all.
SECONDS = 30.0

Part = TypeVar("Part")


class Archive(NamedTuple):
    """An archive whose database answers.

    Attributes:
        schema: how far it is from that of this version.
        server: the server, and who we are there.
        standbys: those that follow the server; on a standby, only itself.
        size: how large it is.
        newest: the newest messages.
        silent: the categories that have fallen silent.
        rejected: what was rejected today, by category.
    """

    schema: Schema
    server: Server | Unseen
    standbys: list[Standby] | Unseen
    size: Size | Unseen
    newest: Newest | Unseen
    silent: list[Silent] | Unseen
    rejected: Counter[str] | Unseen


def look(engine: sa.Engine) -> Archive:
    """What can be seen of an archive, at head or not.

    Args:
        engine: of its database, with `TIMEOUTS`.

    Raises:
        DatabaseUnavailable: it does not answer.
        DatanommerError: the role may not see how far it is.
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    deadline = Deadline(SECONDS)
    state = schema.look(engine, deadline)

    def ask(question: Callable[[sa.Connection], Part]) -> Part | Unseen:
        return see(lambda: _answer(engine, deadline, question))

    def ask_tables(question: Callable[[sa.Connection], Part]) -> Part | Unseen:
        return Unseen(hidden) if hidden else ask(question)

    hidden = _why_hidden(state)
    return Archive(
        state,
        ask(server.look),
        ask(server.standbys),
        ask_tables(size.look),
        ask_tables(newest.look),
        ask_tables(silence.look),
        ask_tables(rejects.look),
    )


def _why_hidden(state: Schema) -> str | None:
    """Why the tables cannot be asked, if so."""
    if state.fault:
        return "The tables are not those of this version."
    return "There are no tables yet." if state.is_empty else None


def _answer(
    engine: sa.Engine, deadline: Deadline, question: Callable[[sa.Connection], Part]
) -> Part:
    """The answer to a question, in a transaction of its own: one that fails spoils no other."""
    with migrations.connect(engine) as connection, deadline.limit(connection):
        return question(connection)
