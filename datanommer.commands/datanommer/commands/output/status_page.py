"""The state of an archive and its hub, on a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from datanommer.commands.output import forms
from datanommer.commands.output.formatting import (
    format_bytes,
    format_counts,
    format_duration,
    format_facts,
    format_messages,
    printable,
)
from datanommer.models import times
from datanommer.models.inspecting.archive import Archive
from datanommer.models.inspecting.newest import Newest
from datanommer.models.inspecting.schema import Schema
from datanommer.models.inspecting.server import Server, Standby
from datanommer.models.inspecting.size import Size
from datanommer.models.inspecting.unseen import Unseen
from datanommer.models.signing.documents import Ending
from datanommer.models.watching.findings import Finding
from datanommer.models.watching.hub import Hub
from datanommer.models.watching.spool import SpoolView
from datanommer.models.watching.status import Database, Status

_WIDTH = 14
_COLUMNS = ("category", "messages", "last stored", "ago")


def lines(status: Status, findings: Sequence[Finding]) -> Iterator[str]:
    """The lines of the page: facts, categories, and at the end what is wrong.

    Args:
        status: what was seen.
        findings: what is wrong.
    """
    yield from format_facts(
        {"database": _database(status.database), "version": _version(status)}, width=_WIDTH
    )
    if isinstance(status.archive, Archive):
        yield from format_facts(_facts(status.archive), width=_WIDTH)
    yield from format_facts(
        {
            "hub": _hub(status.hub),
            "spool": _spool(status.spool, status.moment),
            "certificates": _endings(status.endings),
        },
        width=_WIDTH,
    )
    if isinstance(status.archive, Archive) and isinstance(status.archive.newest, Newest):
        yield from _categories(status.archive.newest)
    if findings:
        yield ""
        yield "What is wrong:"
    for finding in findings:
        yield f"    {finding.severity.name.lower():<8}  {printable(finding.text)}"


def _database(database: Database | Unseen) -> str:
    if isinstance(database, Unseen):
        return _unseen(database)
    return f"{database.name}, named by {database.source}"


def _version(status: Status) -> str:
    archive = status.archive
    if isinstance(archive, Unseen):
        return f"datanommer {status.version}; how far the database is, is {_unseen(archive)}"
    return f"datanommer {status.version}; {_schema(archive.schema)}"


def _schema(schema: Schema) -> str:
    if schema.fault:
        return schema.fault
    if schema.is_empty:
        return "the database has no tables"
    if schema.steps:
        steps = "1 step" if schema.steps == 1 else f"{schema.steps} steps"
        return f"the database is at {schema.revision}, {steps} behind"
    return f"the database is at head ({schema.revision})"


def _facts(archive: Archive) -> dict[str, str]:
    return {
        "server": _server(archive.server),
        "role": _role(archive.server),
        "standby": _standbys(archive.standbys),
        "size": _size(archive.size),
        "growth": _growth(archive.size),
        "newest": _newest(archive.newest),
        "silent": (
            _unseen(archive.silent)
            if isinstance(archive.silent, Unseen)
            else ", ".join(printable(each.category) for each in archive.silent) or "no category"
        ),
        "rejected": (
            _unseen(archive.rejected)
            if isinstance(archive.rejected, Unseen)
            else _rejected(archive.rejected)
        ),
    }


def _server(server: Server | Unseen) -> str:
    if isinstance(server, Unseen):
        return _unseen(server)
    return f"PostgreSQL {server.version}, {'a standby' if server.is_standby else 'a primary'}"


def _role(server: Server | Unseen) -> str:
    if isinstance(server, Unseen):
        return _unseen(server)
    kind = "a superuser" if server.is_superuser else ", ".join(server.groups)
    return f"{server.role} ({kind or 'in no role of datanommer'})"


def _standbys(standbys: list[Standby] | Unseen) -> str:
    if isinstance(standbys, Unseen):
        return _unseen(standbys)
    return "; ".join(map(_standby, standbys)) or "none follows"


def _standby(standby: Standby) -> str:
    name = printable(standby.name)
    if standby.is_streaming is None:
        return f"{name} follows; only a role with pg_monitor sees how far"
    parts = [f"{name} {'follows' if standby.is_streaming else 'gets nothing'}"]
    if standby.lag is not None:
        parts.append(f"{format_duration(standby.lag)} behind")
    if standby.behind is not None:
        parts.append(f"{format_bytes(standby.behind)} to replay")
    return ", ".join(parts)


def _size(size: Size | Unseen) -> str:
    if isinstance(size, Unseen):
        return _unseen(size)
    return (
        f"{format_bytes(size.database)}; {format_messages(size.messages)} of "
        f"{size.bytes_a_message:,} bytes, with indexes"
    )


def _growth(size: Size | Unseen) -> str:
    if isinstance(size, Unseen):
        return _unseen(size)
    return (
        f"{format_messages(size.last_week)} in 7 days, which is {format_bytes(size.growth)} a week"
    )


def _newest(newest: Newest | Unseen) -> str:
    if isinstance(newest, Unseen):
        return _unseen(newest)
    if not newest.categories:
        return "there is no message"
    if newest.stored_at is None or newest.age is None:
        return "nobody knows when it was stored"
    return f"stored {times.to_text(newest.stored_at)}, {format_duration(newest.age)} ago"


def _rejected(rejected: dict[str, int]) -> str:
    counts = {printable(name): number for name, number in rejected.items()}
    by_category = f" ({format_counts(counts)})" if counts else ""
    return f"{sum(counts.values()):,} today{by_category}"


def _hub(hub: Hub | Unseen) -> str:
    if isinstance(hub, Unseen):
        return _unseen(hub)
    state = hub.state
    if state is None:
        return f"none on this host (there is no {hub.file})"
    counts = format_counts(
        {
            name: getattr(state, name)
            for name in ("backlog", "stored", "duplicates", "rejected", "refused", "spooled")
        }
    )
    how = f"runs (process {state.pid})" if hub.is_alive else hub.fault or "has ended in order"
    return f"{how}; {counts}, lost {state.lost}"


def _spool(spool: SpoolView | Unseen, now: datetime) -> str:
    if isinstance(spool, Unseen):
        return _unseen(spool)
    free = "" if spool.free is None else f"; {format_bytes(spool.free)} of the disk are free"
    if isinstance(spool.waiting, Unseen):
        return f"{_unseen(spool.waiting)}{free}"
    if not spool.waiting.messages:
        return f"nothing waits in {spool.folder}{free}"
    oldest = spool.waiting.oldest
    since = f", the oldest for {format_duration(now - oldest)}" if oldest else ""
    number = spool.waiting.messages
    wait = f"{format_messages(number)} {'waits' if number == 1 else 'wait'}"
    return f"{wait} in {spool.folder}{since}{free}"


def _endings(endings: list[Ending] | Unseen) -> str:
    if isinstance(endings, Unseen):
        return _unseen(endings)
    return "; ".join(map(_ending, endings)) or "no signature is checked with any"


def _ending(ending: Ending) -> str:
    if ending.unseen:
        return f"{ending.name} {printable(ending.place)} is not seen: {ending.unseen}"
    if ending.end is None:
        return f"{ending.name} does not expire"
    return f"{ending.name} is good until {ending.end:%Y-%m-%d %H:%M}"


def _categories(newest: Newest) -> Iterator[str]:
    rows = [
        [
            json.dumps(each.name),
            json.dumps(f"{each.messages:,}"),
            json.dumps(each.last_stored and times.to_text(each.last_stored)),
            json.dumps(_ago(each.age)),
        ]
        for each in newest.categories
    ]
    if rows:
        yield ""
        yield from _table(rows)


def _table(rows: Iterable[forms.Row]) -> Iterator[str]:
    return forms.FORMS["table"](_COLUMNS, rows)


def _ago(age: timedelta | None) -> str | None:
    return None if age is None else format_duration(age)


def _unseen(unseen: Unseen) -> str:
    return f"not seen: {unseen.reason}"
