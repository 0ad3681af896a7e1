"""A record, or another form of a message, as a row or a reject."""

from __future__ import annotations

from typing import Any

from datanommer.models.envelopes import extra, fields
from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import NotStorable
from datanommer.models.preparing import concerned, fedora_messaging
from datanommer.models.preparing.preparation import Item, prepare

# The keys of a line in an export of rejects.
_OF_REJECT = {"rejected", "raw"}


def is_message(value: Any) -> bool:
    """Whether a value has the form of a message, whether it can be stored or not."""
    return isinstance(value, dict) and bool(
        {"body", "msg"} & value.keys() or value.keys() == _OF_REJECT
    )


def parse(value: Any) -> Item:
    """The row or the reject of a record, or of another form of a message.

    Args:
        value: as `datanommer.models.envelopes.json_text.read` gave it: a record; an envelope
            (``topic`` and ``body``); a line of ``fedora-messaging publish`` or ``record``
            (``topic``, ``body`` and ``id``); a line that
            `datanommer.models.rejecting.listing.export` wrote. Anything else is rejected.
    """
    if isinstance(value, dict) and value.keys() == _OF_REJECT:
        return parse_reject(value["raw"])
    if isinstance(value, dict) and fedora_messaging.is_line(value):
        return fedora_messaging.prepare(value)
    return parse_reject(value)


def parse_reject(value: Any) -> Item:
    """The same for what was rejected: a record or an envelope, whatever keys it has."""
    if not isinstance(value, dict) or "body" in value or "msg" not in value:
        return prepare(value, is_read=True)
    try:
        envelope, assigned = _envelope_of(value)
        row = Row.from_envelope(envelope, assigned, sent_id=_sent_id(value), is_read=True)
    except NotStorable as error:
        return Reject.of_received(value, error)
    if "users" in value or "packages" in value:
        row.users = fields.storable_names(value.get("users"))
        row.packages = fields.storable_names(value.get("packages"))
        if "agent" not in value:
            row.agent = concerned.find_agent(envelope["body"])
    else:
        concerned.tell(row, envelope["body"])
    if "agent" in value:
        row.agent = fields.storable_name(value["agent"])
    return row


def _sent_id(record: dict[str, Any]) -> str | None:
    kept = fields.first_dict(record.get("extra")) or {}
    return fields.first_text(kept.get("id"))


def _envelope_of(record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The envelope of a record, and the id and the time that the message has in the archive."""
    own = {"users", "packages", "agent", "extra"}
    columns = {
        "topic": None,
        "headers": None,
        **{key: value for key, value in record.items() if key not in own},
    }
    assigned = {key: record[key] for key in ("msg_id", "timestamp") if record.get(key) is not None}
    try:
        return extra.restore_envelope(columns, record.get("extra")), assigned
    except (AttributeError, TypeError, ValueError):
        raise NotStorable("invalid", "the extra of the record is not what a dump writes") from None
