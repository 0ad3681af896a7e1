"""Messages as they were sent, and as other archives of them have them."""

from __future__ import annotations

import json
from typing import Any

from datanommer.models.preparing.fedora_messaging import to_envelope
from envelopes import BODHI_MSG, BODHI_TOPIC, bridged, envelope, given, line
from shell import Run

ON_AMQP = line(sent_at="2021-05-04T12:34:56+00:00")
#: What both lines of archives keep whole.
SENT = [
    envelope(msg_id="2013-plain", msg={"b": 1, "a": [1.0, 1e22, 'w"örld"', "a\nb\\n,\t;"]}),
    envelope(msg_id="2013-fraction", timestamp=1361166918.886738),
    envelope(msg_id="2013-headers", headers={"a": 'b,"c"'}),
    envelope(BODHI_TOPIC, msg_id="2013-bodhi", msg=BODHI_MSG),
    envelope(
        msg_id="2013-signed", certificate="LS0t\nLS0=\n", crypto="x509", signature="c2ln\n", i=7
    ),
    to_envelope(ON_AMQP),
    bridged(line(), 1_600_000_000),
]


def copies() -> list[dict[str, Any]]:
    """The messages as a datagrepper gives them; the one of AMQP has no year in its id."""
    found = [given(each) for each in SENT]
    return [{**each, "msg_id": _as_archived(each["msg_id"])} for each in found]


def _as_archived(msg_id: str) -> str:
    return ON_AMQP["id"] if msg_id.endswith(ON_AMQP["id"]) else msg_id


def hear(run: Run, url: str) -> list[dict[str, Any]]:
    """Let an archive hear the messages on the bus; its records, by id."""
    heard = "\n".join(map(json.dumps, [*SENT[:5], ON_AMQP, SENT[6]]))
    told = run("datanommer-load", "--url", url, input=heard).stdout
    assert told == "stored 7, duplicates 0, rejected 0\n"
    return records(run, url)


def records(run: Run, url: str) -> list[dict[str, Any]]:
    """What a dump has, by id."""
    dump = json.loads(run("datanommer-dump", "--url", url).stdout)
    return sorted(dump, key=lambda record: record["msg_id"])
