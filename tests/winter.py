"""January and February 2013 on Fedora's bus, made up: what docs/analysis.rst asks about."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any

import february
from certificates import Authority

_PREFIX = "org.fedoraproject.prod"
#: Title, user, when it was posted. Some are of another day east or west of Greenwich.
_POSTS = [
    ("Badges are coming", "ralph", (8, 20, 10)),
    ("FUDCon Lawrence, day one", "lmacken", (18, 23, 45)),
    ("FUDCon Lawrence, day two", "toshio", (20, 0, 5)),
    ("See you at FOSDEM", "ralph", (31, 23, 30)),
]
#: What a sender cut off in the middle of an emoji: JSON, and no Unicode.
_CUT_OFF = "Built, at last \ud83d"


def bus(authority: Authority) -> list[february.Envelope]:
    """All that was sent, in order of time."""
    return [*_january(), *february.bus(authority)]


def _january() -> list[february.Envelope]:
    posts = [
        _said(at, "planet.post.new", username=user, post={"title": title, "link": "https://..."})
        for title, user, at in _POSTS
    ]
    build = {"name": "fedmsg", "owner": "ralph", "new": 1, "old": 0, "comment": _CUT_OFF}
    return [*posts, _said((31, 23, 50), "buildsys.build.state.change", instance="arm", **build)]


def _said(at: tuple[int, int, int], topic: str, **msg: Any) -> february.Envelope:
    day, hour, minute = at
    number = hashlib.sha256(f"{topic} at {at} in January".encode()).digest()[:16]
    full = f"{_PREFIX}.{topic}"
    body = {
        "i": 1,
        "msg": msg,
        "msg_id": f"2013-{uuid.UUID(bytes=number, version=4)}",
        "timestamp": int(datetime(2013, 1, day, hour, minute, tzinfo=UTC).timestamp()),
        "topic": full,
        "username": "apache",
    }
    return {"topic": full, "body": body}
