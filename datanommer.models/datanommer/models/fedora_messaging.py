"""A line of ``fedora-messaging publish`` or ``record`` as an envelope of the bus.

Source of the form: fedora_messaging.message.dumps, fedora-messaging 3.9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from datanommer.models.message import naive_utc, to_epoch

_STARTS_WITH_A_YEAR = re.compile(r"[0-9]{4}-")


def is_line(value: Mapping[str, Any]) -> bool:
    """Whether this is such a line, and not an envelope of fedmsg, which has no id of its own."""
    return "topic" in value and "body" in value and ("id" in value or "queue" in value)


def to_envelope(line: Mapping[str, Any]) -> dict[str, Any]:
    """The envelope that a bridge to fedmsg would send, with the headers kept.

    The id gets the year of ``sent-at`` in front, as bridges do, so that a message which comes
    both ways is one message.
    """
    given = line.get("headers")
    headers = given if isinstance(given, dict) else {}
    sent_at = _moment(headers.get("sent-at"))
    body: dict[str, Any] = {"topic": line["topic"], "msg": line["body"]}
    if sent_at is not None:
        body["timestamp"] = to_epoch(sent_at)
    msg_id = line.get("id")
    if isinstance(msg_id, str) and msg_id:
        year = (sent_at or datetime.now(UTC)).year
        body["msg_id"] = msg_id if _STARTS_WITH_A_YEAR.match(msg_id) else f"{year}-{msg_id}"
    if given is not None:
        body["headers"] = given
    return {"topic": line["topic"], "body": body}


def _moment(text: Any) -> datetime | None:
    """The naive datetime in UTC of an ISO 8601 text; one without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return naive_utc(moment) if moment.tzinfo else moment
    except (TypeError, ValueError, OverflowError):
        return None
