"""The state of an archive and its hub, as metrics of Prometheus.

For the textfile collector of node_exporter. The format:
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from datanommer.models.inspecting.archive import Archive
from datanommer.models.inspecting.newest import Newest
from datanommer.models.inspecting.size import Size
from datanommer.models.inspecting.unseen import Unseen
from datanommer.models.watching.findings import Finding
from datanommer.models.watching.hub import Hub
from datanommer.models.watching.spool import SpoolView
from datanommer.models.watching.status import Status

Samples = list[tuple[Mapping[str, str], float | None]]
_GAUGE, _COUNTER = "gauge", "counter"
_OF_HUB = {
    "stored": "Messages that the hub stored since it started.",
    "duplicates": "Messages that were stored already.",
    "rejected": "Messages that went into the table rejected.",
    "refused": "Messages without a good signature.",
    "spooled": "Messages that went into the spool.",
    "lost": "Messages that are lost.",
}


class Metric(NamedTuple):
    """A metric.

    Attributes:
        name: its name, without the prefix ``datanommer_``.
        kind: gauge or counter.
        text: what it is.
        samples: its labels and values; a value of None is unknown, and left out.
    """

    name: str
    kind: str
    text: str
    samples: Samples


def lines(status: Status, findings: Sequence[Finding]) -> Iterator[str]:
    """The lines of the file.

    Args:
        status: what was seen. What was not has no metric.
        findings: what is wrong.
    """
    for metric in _metrics(status, findings):
        samples = [(labels, value) for labels, value in metric.samples if value is not None]
        if samples:
            name = f"datanommer_{metric.name}"
            yield f"# HELP {name} {metric.text}"
            yield f"# TYPE {name} {metric.kind}"
            for labels, value in samples:
                yield f"{name}{_labels(labels)} {_number(value)}"


def _metrics(status: Status, findings: Sequence[Finding]) -> Iterator[Metric]:
    is_up = isinstance(status.archive, Archive)
    yield _gauge("database_up", "Whether the database answers.", is_up)
    for severity in ("warning", "critical", "unknown"):
        number = sum(finding.severity.name.lower() == severity for finding in findings)
        yield _gauge(f"findings_{severity}", f"What is wrong, and {severity}.", number)
    if isinstance(status.archive, Archive):
        yield from _of_archive(status.archive)
    if isinstance(status.hub, Hub):
        yield from _of_hub(status.hub)
    if isinstance(status.spool, SpoolView):
        yield from _of_spool(status.spool)
    if not isinstance(status.endings, Unseen):
        ends: Samples = [({"document": each.key}, _epoch(each.end)) for each in status.endings]
        text = "When the CA certificate or the CRL expires."
        yield Metric("signing_document_end_timestamp_seconds", _GAUGE, text, ends)


def _of_archive(archive: Archive) -> Iterator[Metric]:
    steps = None if archive.schema.fault or archive.schema.is_empty else archive.schema.steps
    yield _gauge("schema_steps_behind", "Steps of the schema behind this version.", steps)
    if isinstance(archive.size, Size):
        yield _gauge("database_size_bytes", "The size of the database.", archive.size.database)
        yield _gauge("messages", "Messages in the archive.", archive.size.messages)
        text = "Messages of today and the six days before."
        yield _gauge("messages_of_last_week", text, archive.size.last_week)
        yield _gauge("message_size_bytes", "What a message takes.", archive.size.bytes_a_message)
    if isinstance(archive.newest, Newest):
        yield from _of_newest(archive.newest)
    if not isinstance(archive.silent, Unseen):
        samples: Samples = [({"category": each.category}, 1) for each in archive.silent]
        yield Metric("category_silent", _GAUGE, "Categories that have fallen silent.", samples)
    if not isinstance(archive.rejected, Unseen):
        number = archive.rejected.total()
        yield _gauge("rejected_today", "Messages that were rejected today (UTC).", number)
    if not isinstance(archive.standbys, Unseen):
        lags: Samples = [
            ({"standby": each.name}, each.lag.total_seconds())
            for each in archive.standbys
            if each.lag is not None
        ]
        text = "How far a standby is behind."
        yield Metric("replication_lag_seconds", _GAUGE, text, _by_labels(lags))


def _of_newest(newest: Newest) -> Iterator[Metric]:
    text = "When a message was stored last."
    yield _gauge("last_stored_timestamp_seconds", text, _epoch(newest.stored_at))
    samples: Samples = [
        ({"category": each.name}, _epoch(each.last_stored)) for each in newest.categories
    ]
    text = "When a message of the category was stored last."
    yield Metric("category_last_stored_timestamp_seconds", _GAUGE, text, samples)


def _of_hub(hub: Hub) -> Iterator[Metric]:
    yield _gauge("hub_up", "Whether a hub runs on this host.", hub.is_alive)
    if hub.state:
        yield _gauge("hub_backlog_messages", "Messages in its memory.", hub.state.backlog)
        for name, text in _OF_HUB.items():
            value = getattr(hub.state, name)
            yield Metric(f"hub_{name}_total", _COUNTER, text, [({}, value)])


def _of_spool(spool: SpoolView) -> Iterator[Metric]:
    yield _gauge("spool_disk_free_bytes", "What the disk of the spool has left.", spool.free)
    if not isinstance(spool.waiting, Unseen):
        waiting = spool.waiting
        yield _gauge("spool_waiting_messages", "Messages that wait on disk.", waiting.messages)
        text = "When the oldest of them was put there."
        yield _gauge("spool_oldest_timestamp_seconds", text, _epoch(waiting.oldest))


def _gauge(name: str, text: str, value: float | None) -> Metric:
    return Metric(name, _GAUGE, text, [({}, value)])


def _by_labels(samples: Iterable[tuple[Mapping[str, str], float | None]]) -> Samples:
    """One sample for equal labels, the largest: two standbys may have the same name."""
    largest: dict[tuple[tuple[str, str], ...], float] = {}
    for labels, value in samples:
        key = tuple(labels.items())
        largest[key] = max(value or 0.0, largest.get(key, 0.0))
    return [(dict(key), value) for key, value in largest.items()]


def _epoch(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) else str(int(value))


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
