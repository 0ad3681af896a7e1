"""The state of an archive and its hub, as one JSON object."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from datanommer.models import times
from datanommer.models.inspecting.archive import Archive
from datanommer.models.inspecting.unseen import Unseen
from datanommer.models.watching.findings import Finding
from datanommer.models.watching.status import Status


def text(status: Status, findings: Sequence[Finding]) -> str:
    """The object. What was not seen is null, and ``not_seen`` says why.

    Args:
        status: what was seen.
        findings: what is wrong.
    """
    parts: dict[str, Any] = status._asdict()
    archive = parts.pop("archive")
    parts |= (
        archive._asdict()
        if isinstance(archive, Archive)
        else dict.fromkeys(Archive._fields, archive)
    )
    shown = {name: _value(part) for name, part in parts.items()}
    shown["not_seen"] = dict(_not_seen(parts))
    shown["findings"] = [
        {"severity": finding.severity.name.lower(), "text": finding.text} for finding in findings
    ]
    return json.dumps(shown, indent=2)


def _not_seen(parts: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, part in parts.items():
        if isinstance(part, Unseen):
            yield f"{before}{name}", part.reason
        elif hasattr(part, "_asdict"):
            yield from _not_seen(part._asdict(), f"{before}{name}.")


def _value(value: Any) -> Any:
    """A value for JSON: times as text, durations in seconds, what was not seen as null."""
    for kind, convert in _CONVERSIONS.items():
        if isinstance(value, kind):
            return convert(value)
    if hasattr(value, "_asdict"):
        return {name: _value(each) for name, each in value._asdict().items()}
    return [_value(each) for each in value] if isinstance(value, list) else value


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    Unseen: lambda _: None,
    datetime: times.to_text,
    timedelta: timedelta.total_seconds,
    Path: str,
    Counter: lambda counts: {"messages": counts.total(), "categories": dict(counts)},
}
