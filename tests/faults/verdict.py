"""What became of the messages that were published."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from datanommer.models import Message
from datanommer.models.database.engine import create_engine
from datanommer.models.spooling.segment import Segment
from datanommer.models.spooling.spool import Spool
from orm import Rejected

_CHUNK = 1000


@dataclass
class Verdict:
    """The numbers of messages.

    Attributes:
        published: that the hub was to receive.
        stored: in `messages`.
        rejected: in `rejected` and not stored.
        spooled: that wait in a spool, and are neither stored nor rejected.
        duplicates: more than one row of one message, wherever.
        lost: published, and nowhere now.
        told: lost, by what the hubs have told.
        invented: that nobody published so: other content, or another id.
        misplaced: stored with an id that does not follow the order of publication.
        kept: which of the published ones are anywhere, by their place.
    """

    published: int
    stored: int
    rejected: int
    spooled: int
    duplicates: int
    lost: int
    told: int
    invented: int
    misplaced: int
    kept: list[bool]

    @property
    def is_clean(self) -> bool:
        """Whether each message is kept once, exactly as it was sent."""
        return self.is_told() and not self.lost

    def is_told(self, in_doubt: int = 0) -> bool:
        """Whether that is so but for messages that the hubs have told to be lost.

        Args:
            in_doubt: how many of those may be stored after all. The answer to their COMMIT was
                lost, and then the file that they waited in.
        """
        told_too_often = self.told - self.lost
        return 0 <= told_too_often <= in_doubt and not (self.invented or self.duplicates)

    @property
    def is_prefix(self) -> bool:
        """Whether nothing is missing before something that is kept."""
        return False not in self.kept[: sum(self.kept)]

    def __str__(self) -> str:
        names = (
            *("published", "stored", "rejected", "spooled", "duplicates", "lost", "told"),
            *("invented", "misplaced"),
        )
        return ", ".join(f"{name} {getattr(self, name)}" for name in names)


def judge(
    published: Sequence[dict[str, Any]], url: str, spools: Iterable[Path], told: int = 0
) -> Verdict:
    """Look for each message.

    Args:
        published: the envelopes, with ids of their own, in order.
        url: of the database.
        spools: the folders of the spools.
        told: how many are lost, by what the hubs have told.
    """
    sent = {each["body"]["msg_id"]: _text(each["body"]) for each in published}
    places = {msg_id: place for place, msg_id in enumerate(sent)}
    # The spool first: what a hub stores meanwhile is found at least once.
    spooled = [body for folder in spools for body in _in_spool(folder)]
    stored, rejects = _in_database(url)
    rejected = [each["body"] for each in rejects]
    found = [stored, rejected, spooled]
    ids = [{_id(body) for body in bodies} & sent.keys() for bodies in found]
    kept = ids[0] | ids[1] | ids[2]
    rows = Counter(_id(body) for body in stored)
    # What a publisher sends again, because it heard of no receipt, is another message to a broker.
    rows += Counter(
        (_id(each["body"]), str(each.get("headers", {}).get("timestamp"))) for each in rejects
    )
    order = [places[_id(body)] for body in stored if _id(body) in places]
    return Verdict(
        published=len(sent),
        stored=len(ids[0]),
        rejected=len(ids[1] - ids[0]),
        spooled=len(ids[2] - ids[1] - ids[0]),
        duplicates=sum(number - 1 for number in rows.values()) + len(ids[0] & ids[1]),
        lost=len(sent.keys() - kept),
        told=told,
        invented=sum(sent.get(_id(body)) != _text(body) for bodies in found for body in bodies),
        misplaced=sum(later < earlier for earlier, later in pairwise(order)),
        kept=[msg_id in kept for msg_id in sent],
    )


def count_stored(url: str) -> int:
    """How many messages are stored or rejected."""
    engine = create_engine(url)
    with engine.connect() as connection:
        number = connection.scalar(
            sa.text("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM rejected)")
        )
    engine.dispose()
    assert isinstance(number, int)
    return number


def _in_database(url: str) -> tuple[list[Any], list[Any]]:
    engine = create_engine(url)
    with orm.Session(engine) as session:
        rows = session.scalars(
            sa.select(Message).order_by(Message.id).execution_options(yield_per=_CHUNK)
        )
        stored = [row.body for row in rows]
        rejected = [
            json.loads(bytes(row.raw))
            for row in session.scalars(sa.select(Rejected).order_by(Rejected.id))
        ]
    engine.dispose()
    return stored, rejected


def _in_spool(folder: Path) -> Iterator[Any]:
    if not Spool(folder).waiting().messages:
        return
    state = json.loads((folder / "state").read_bytes().rpartition(b" ")[0])
    for segment in Segment.all_in(folder):
        for record in segment.records():
            if record.record_id > state["taken"]:
                yield json.loads(record.content.partition(b"\n")[2])


def _id(body: Any) -> Any:
    return body.get("msg_id")


def _text(body: Any) -> str:
    # As text, because -0.0 == 0.0 and 1.0 == 1, and NaN is not NaN.
    return json.dumps(body, sort_keys=True)
