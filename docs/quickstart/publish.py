"""Publish a few messages on a bus, and wait until datanommer has stored each of them.

    python docs/quickstart/publish.py FILE

FILE is a fedmsg configuration with a relay; DATANOMMER_SQLALCHEMY_URL names the database.
"""

from __future__ import annotations

import sys
import time
import uuid
import warnings
from datetime import UTC, datetime
from typing import Any, NamedTuple

warnings.simplefilter("ignore")  # those of fedmsg, which are nothing to learn from

import click  # noqa: E402
import fedmsg  # noqa: E402
import fedmsg.config  # noqa: E402

from datanommer import models  # noqa: E402

SECONDS_A_TRY = 5
TRIES = 4


class Example(NamedTuple):
    """What a service tells the bus: its name, what happened, and the details."""

    modname: str
    topic: str
    msg: dict[str, Any]


EXAMPLES = (
    Example(
        "bodhi",
        "update.comment",
        {
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
        },
    ),
    Example("wiki", "article.edit", {"title": "Messaging SIG", "user": "Ralph", "minor_edit": 0}),
    Example("wiki", "article.edit", {"title": "Statistics", "user": "Ianweller", "minor_edit": 1}),
    Example("wiki", "article.edit", {"title": "Fedmsg", "user": "Lmacken", "minor_edit": 0}),
    Example("fas", "group.member.apply", {"agent": "ralph", "user": "ralph", "group": "cla_done"}),
    Example("fas", "user.update", {"agent": "toshio", "user": "toshio", "fields": ["comments"]}),
    Example("fas", "user.update", {"agent": "ralph", "user": "ralph", "fields": ["timezone"]}),
)


def publish_until_stored(example: Example) -> models.Message:
    """Publish a message, and again if it is lost: nobody may have been listening yet.

    Each time with the same id, by which datanommer stores it once, however often it comes.
    """
    msg_id = f"{datetime.now(UTC).year}-{uuid.uuid4()}"
    for _ in range(TRIES):
        fedmsg.publish(**example._asdict(), pre_fire_hook=lambda body: body.update(msg_id=msg_id))
        end = time.monotonic() + SECONDS_A_TRY
        while time.monotonic() < end:
            message = models.Message.from_msg_id(msg_id)
            models.session.remove()
            if message is not None:
                return message
            time.sleep(0.02)
    sys.exit(f"{example.topic} was published {TRIES} times, and is not in the database.")


def main() -> None:
    """Publish the examples, and say what is stored of them."""
    fedmsg.config.load_config(filenames=[sys.argv[1]], invalidate_cache=True)
    fedmsg.init(name="relay_inbound", active=True)
    models.init()
    for example in EXAMPLES:
        message = publish_until_stored(example)
        click.echo(f"stored {message.topic} ({message.msg_id})")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
