"""Whatever crosses the bus ends stored or rejected, by way of the real consumer."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import Archive, Bus
from datanommer.models import Message, add_all, session
from datanommer.models.storing.copy_format import COPY_FROM
from envelopes import envelope
from orm import Rejected

TEXT = st.text(st.characters(codec=None), max_size=20)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**63, -(2**63) - 1, 10**40, 1e22, -0.0, 1344350850886, 0, -1])
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
#: Values that have bitten somebody, and any other.
TRAPS: st.SearchStrategy[Any] = (
    st.sampled_from(["", "\0", "\ud800", "x" * 1025, "ü" * 600, [], {}, None, True, 0.1]) | JSON
)
KEYS = ("msg", "timestamp", "i", "username", "crypto", "certificate", "signature", "headers",
        "source_name", "source_version", "topic", "msg_id")  # fmt: skip
BODIES = st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, TRAPS)).flatmap(
    lambda body: st.dictionaries(TEXT, TRAPS, max_size=2).map(lambda more: {**more, **body})
)
_numbers = itertools.count()


def numbered(body: dict[str, Any]) -> dict[str, Any]:
    """The body with something in it that no other has, so that none is another's duplicate."""
    return {**body, "number of the test": next(_numbers)}


def kept() -> int:
    """How many messages are stored or rejected."""
    session.rollback()
    stored = session.query(Message).count()
    rejected = session.scalar(sa.select(sa.func.coalesce(sa.func.sum(Rejected.seen), 0)))
    return stored + int(rejected or 0)


@pytest.mark.usefixtures("bound")
class TestStore:
    @given(st.lists(BODIES, max_size=20), st.sampled_from((0, COPY_FROM)))
    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    def test_a_batch_of_anything_is_kept_whole(
        self, bodies: list[dict[str, Any]], more: int
    ) -> None:
        before = kept()
        last = session.scalar(sa.select(sa.func.coalesce(sa.func.max(Message.id), 0)))
        batch = [{"topic": "org.example.dev.fuzz.x", "body": numbered(body)} for body in bodies]
        # So that both COPY and INSERT are tried.
        batch += [envelope() for _ in range(more)]
        counts = add_all(batch)
        assert counts.stored + counts.rejected + counts.duplicates == len(batch)
        assert kept() - before == counts.stored + counts.rejected
        sent = {json.dumps(each["body"], sort_keys=True) for each in batch}
        # As text, because -0.0 == 0.0 and 1.0 == 1.
        stored = [
            json.dumps(each.body, sort_keys=True)
            for each in session.query(Message).filter(Message.id > last)
        ]
        assert len(stored) == counts.stored
        assert set(stored) <= sent

    @given(st.lists(JSON, max_size=20))
    @settings(
        max_examples=50,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    def test_what_is_no_envelope_is_rejected(self, envelopes: list[Any]) -> None:
        assert add_all(envelopes).rejected == len(envelopes)


@pytest.fixture
def hub(tmp_path: Path, bound: str) -> Iterator[tuple[Bus, Archive]]:
    with contextlib.closing(Bus(tmp_path)) as bus, contextlib.closing(Archive(bound)) as reader:
        bus.config["datanommer.sqlalchemy.url"] = bound
        bus.start_hub()
        yield bus, reader


@given(st.lists(BODIES, min_size=20, max_size=60))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_whatever_crosses_the_bus_is_stored_or_rejected(
    hub: tuple[Bus, Archive], bodies: list[dict[str, Any]]
) -> None:
    bus, archive = hub
    before = kept()
    # Each has an id of its own, or none: two of one id would be duplicates.
    for body in map(numbered, bodies):
        if isinstance(body.get("msg_id"), str):
            body["msg_id"] += str(body["number of the test"])
        bus.publisher.send("org.example.dev.fuzz.x", json.dumps(body))
    last = envelope()
    bus.publisher.publish(last)
    archive.wait_for(last)
    assert kept() - before == len(bodies) + 1
