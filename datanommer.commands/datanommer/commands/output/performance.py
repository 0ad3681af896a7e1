"""The state of an archive and its hub, as performance data of a Nagios plug-in.

The format: https://nagios-plugins.org/doc/guidelines.html, section "Performance data".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from datanommer.models.inspecting.archive import Archive
from datanommer.models.inspecting.newest import Newest
from datanommer.models.inspecting.size import Size
from datanommer.models.inspecting.unseen import Unseen
from datanommer.models.watching.hub import Hub
from datanommer.models.watching.limits import Limits
from datanommer.models.watching.spool import SpoolView
from datanommer.models.watching.status import Status

_COUNTERS = ("stored", "duplicates", "rejected", "refused", "lost")


def text(status: Status, limits: Limits) -> str:
    """Everything that is known, with its limit if it has one.

    Args:
        status: what was seen.
        limits: of the monitor.
    """
    return " ".join([*_of_archive(status.archive, limits), *_of_host(status, limits)])


def _of_archive(archive: Archive | Unseen, limits: Limits) -> Iterator[str]:
    if isinstance(archive, Unseen):
        return
    if isinstance(archive.newest, Newest):
        for category in {None: None, **limits.max_age}:
            age = archive.newest.age_of(category)
            if age is not None:
                limit = _seconds(limits.max_age.get(category))
                yield _one("age", int(age.total_seconds()), "s", limit, category)
    if not isinstance(archive.rejected, Unseen):
        rejected = archive.rejected
        for category in {None: None, **limits.max_rejected}:
            number = rejected[category] if category else rejected.total()
            yield _one("rejected", number, "", limits.max_rejected.get(category), category)
    if not isinstance(archive.standbys, Unseen):
        lags = [each.lag for each in archive.standbys if each.lag is not None]
        if lags:
            yield _one("lag", int(max(lags).total_seconds()), "s")
    if isinstance(archive.size, Size):
        yield _one("messages", archive.size.messages)
        yield _one("size", archive.size.database, "B")


def _of_host(status: Status, limits: Limits) -> Iterator[str]:
    if isinstance(status.spool, SpoolView):
        waiting = status.spool.waiting
        if not isinstance(waiting, Unseen):
            yield _one("waiting", waiting.messages, "", limits.max_waiting.get(None))
        if status.spool.free is not None:
            yield _one("spool_free", status.spool.free, "B")
    if isinstance(status.hub, Hub) and status.hub.state:
        yield _one("backlog", status.hub.state.backlog)
        for name in _COUNTERS:
            yield _one(f"hub_{name}", getattr(status.hub.state, name), "c")


def _one(
    label: str, value: int, unit: str = "", limit: int | None = None, category: str | None = None
) -> str:
    name = f"{label}_{category}" if category else label
    # Some monitors would cut a label at a blank, even between quotes.
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    return f"{plain}={value}{unit}" + ("" if limit is None else f";;{limit}")


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else int(length.total_seconds())
