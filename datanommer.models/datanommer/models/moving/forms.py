"""The forms of a database of datanommer: how to read its messages, and how to convert them.

There are three lines of datanommer, and each has its tables (source: the migrations of the classic
line up to 57be773be52b, and of the newer line up to f6918385051f).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datanommer.models.envelopes import json_text
from datanommer.models.envelopes.reject import Reject
from datanommer.models.errors import NotStorable
from datanommer.models.exchange import cells, parser, record
from datanommer.models.preparing import archive_copy
from datanommer.models.preparing.preparation import Item

_OPTIONAL = ("crypto", "certificate", "signature", "source_name", "source_version")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a database.

    Attributes:
        query: SQL for the messages with ids after `:after` up to `:until`, in the order of their
            ids. The first column is the id.
        parse: makes a row or a reject of the other columns, given by their names.
    """

    query: str
    parse: Callable[[dict[str, Any]], Item]


def _query(columns: str, *, names: str = "array_agg", certificates: str = "", **of: str) -> str:
    """The query of a form: names are gathered at once, as not all forms index them by message."""
    joins = "".join(
        f" LEFT JOIN (SELECT msg, {names}(name ORDER BY name) AS names FROM ({table}) AS named "
        f"WHERE msg > :after AND msg <= :until GROUP BY msg) AS {alias} ON {alias}.msg = m.id"
        for alias, table in of.items()
    )
    return (
        f"SELECT m.id, {columns} FROM messages AS m {certificates} {joins} "
        "WHERE m.id > :after AND m.id <= :until ORDER BY m.id"
    )


def _columns(**others: str) -> str:
    columns = {
        "topic": "m.topic",
        "i": "m.i",
        "timestamp": "date_part('epoch', m.timestamp)",
        **{name: f"m.{name}" for name in _OPTIONAL},
        **others,
        "users": "coalesce(u.names, '{}')",
        "packages": "coalesce(p.names, '{}')",
    }
    return ", ".join(f"{sql} AS {name}" for name, sql in columns.items())


def _parse_own(columns: dict[str, Any]) -> Item:
    return parser.parse(json_text.read(columns["record"]))


def _parse_copy(columns: dict[str, Any]) -> Item:
    try:
        parsed = {name: cells.read_json(name, columns[name]) for name in ("msg", "headers")}
        return parser.parse(archive_copy.to_record({**columns, **parsed}))
    except NotStorable as error:
        return Reject.of_received(columns, error)


OWN = Form(
    _query(
        f"{record.SQL} AS record",
        names="json_agg",
        # Each certificate is written as JSON once, for all messages that have it.
        certificates="LEFT JOIN (SELECT id, to_json(body)::text AS json FROM certificates "
        "OFFSET 0) AS c ON c.id = m.certificate_id",
        u="SELECT msg, name FROM user_messages",
        p="SELECT msg, name FROM package_messages",
    ),
    _parse_own,
)
CLASSIC = Form(
    _query(
        _columns(
            # The same ids that the upgrade of such a database gives to messages without one.
            msg_id="coalesce(nullif(m.msg_id, ''), "
            "to_char(m.timestamp, 'YYYY') || '-classic-' || m.id)",
            username="m.username",
            msg="m._msg",
            headers="m._headers",
        ),
        u="SELECT DISTINCT msg, username AS name FROM user_messages",
        p="SELECT DISTINCT msg, package AS name FROM package_messages",
    ),
    _parse_copy,
)
NEWER = Form(
    _query(
        _columns(
            msg_id="m.msg_id",
            agent_name="m.agent_name",
            # Some of its databases have them as text, others as jsonb.
            msg="m.msg::text",
            headers="m.headers::text",
        ),
        u="SELECT a.msg_id AS msg, n.name FROM users_messages AS a JOIN users AS n "
        "ON n.id = a.user_id",
        p="SELECT a.msg_id AS msg, n.name FROM packages_messages AS a JOIN packages AS n "
        "ON n.id = a.package_id",
    ),
    _parse_copy,
)
