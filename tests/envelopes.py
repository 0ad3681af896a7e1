"""Messages as they cross the bus, made up for the tests."""

from __future__ import annotations

import itertools
import json
import uuid
from datetime import UTC, datetime
from typing import Any

from datanommer.models.receiving.received import Received

_counter = itertools.count(1)

#: The message of the standard operating procedure.
BODHI_MSG = {
    "comment": {
        "group": None,
        "author": "ralph",
        "text": "Testing for latest datanommer.",
        "karma": 0,
        "anonymous": False,
        "timestamp": 1360349639.0,
        "update_title": "xmonad-0.10-10.fc17",
    },
    "agent": "ralph",
}
BODHI_TOPIC = "org.fedoraproject.stg.bodhi.update.comment"


def envelope(topic: str = "org.example.dev.demo.hello", **body: Any) -> dict[str, Any]:
    """An envelope as fedmsg sends it; the arguments go into the body."""
    number = next(_counter)
    full = {
        "i": number,
        "msg": {"n": number},
        "msg_id": f"2013-{uuid.uuid4()}",
        "timestamp": 1_361_166_918,
        "topic": topic,
        "username": "apache",
        **body,
    }
    return {"topic": topic, "body": full}


def line(
    topic: str = "org.example.dev.demo.hello",
    sent_at: str = "2021-07-21T12:23:12+00:00",
    **keys: Any,
) -> dict[str, Any]:
    """A line of ``fedora-messaging publish``; the arguments go into it."""
    headers = {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": sent_at,
    }
    return {
        "body": {"n": next(_counter)},
        "headers": headers,
        "id": str(uuid.uuid4()),
        "queue": "queue",
        "topic": topic,
        **keys,
    }


def bridged(line: dict[str, Any], at: int) -> dict[str, Any]:
    """The envelope that a bridge to fedmsg makes of such a line, at this time (epoch seconds)."""
    return envelope(
        line["topic"],
        msg=line["body"],
        msg_id=f"{datetime.fromtimestamp(at, UTC).year}-{line['id']}",
        timestamp=at,
        username="amqp-bridge",
    )


def received(message: dict[str, Any]) -> Received:
    """The envelope as the hub hands it over."""
    return Received(message["topic"], json.dumps(message["body"]))


def without(message: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The envelope with some keys of its body left out."""
    body = {key: value for key, value in message["body"].items() if key not in keys}
    return {**message, "body": body}


def given(message: dict[str, Any]) -> dict[str, Any]:
    """A message as datagrepper gives it, from an archive of the classic line."""
    nulls = ("certificate", "crypto", "signature", "source_name", "source_version", "username")
    body = {"headers": {}, "i": 0, "msg": None, **dict.fromkeys(nulls), **message["body"]}
    return {**body, "timestamp": float(body["timestamp"])}


#: One of everything that is hard to carry.
HARD = [
    envelope(msg_id="2013-plain", msg={"b": 1, "a": [1.0, 1e22, "wörld", "\0", "\ud800"]}),
    envelope(msg_id="2013-float", timestamp=1361166918.0),
    envelope(msg_id="2013-fraction", timestamp=1361166918.886738),
    envelope(msg_id="2013-digits", timestamp=1361166918.8867381),
    envelope(msg_id="2013-tie-1", timestamp=1361166919),
    envelope(msg_id="2013-tie-0", timestamp=1361166919),
    without(envelope(msg="no id, no timestamp"), "msg_id", "timestamp"),
    without(envelope(msg_id="2013-absent"), "i", "username", "topic", "msg"),
    envelope(msg_id="2013-null", i=None, username=None, timestamp=None, headers=None),
    envelope(msg_id="2013-odd", username=5, i="seven", headers=[1], link="x\0"),
    envelope(msg_id="2013-headers", headers={"a": "b"}),
    {**envelope(msg_id="2013-envelope"), "topic": "org.example.other", "headers": {"c": "d"}},
    envelope(
        "org.fedoraproject.prod.bodhi.update.comment",
        msg_id="2013-signed",
        msg=BODHI_MSG,
        crypto="x509",
        certificate="LS0t\nLS0=\n",
        signature="c2ln\n",
        source_name="datanommer",
        source_version="0.6",
    ),
    envelope(msg_id="2013-gpg", crypto="gpg", signature="c2ln" * 20),
    envelope(msg_id="2013-long", crypto="x509", signature=f"{'c2ln' * 19}\n{'c2ln' * 19}\n"),
    envelope(
        msg_id="2013-strange", signature='no "base64" \\ ö\n', timestamp=1.5e9, headers="none"
    ),
]
