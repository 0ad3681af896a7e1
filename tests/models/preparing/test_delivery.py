"""Whatever AMQP delivers becomes a row or a reject."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datanommer.models.envelopes.reject import Reject
from datanommer.models.envelopes.row import Row
from datanommer.models.preparing.delivery import Delivery, prepare

AT = "2021-07-21T12:23:12Z"
_PROPERTIES = {"content_encoding": "utf-8", "headers": {"sent-at": AT}}

TEXT = st.text(max_size=10) | st.binary(max_size=10)
#: What pika makes of the types of AMQP.
FIELDS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT
    | st.datetimes(timezones=st.just(UTC)) | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
OWN_HEADERS = ("sent-at", "fedora_messaging_schema", "fedora_messaging_severity", "message-id")
HEADERS = st.dictionaries(TEXT | st.sampled_from(OWN_HEADERS), FIELDS, max_size=4)
ENCODINGS = TEXT | st.sampled_from(
    ["utf-8", "UTF8", "utf-16", "utf-7", "latin-1", "cp037", "hex", "base64", "zlib", "rot13",
     "idna", "punycode", "undefined", "unicode_escape", "mbcs", "", "utf\0"]
)  # fmt: skip
PROPERTIES = st.fixed_dictionaries(
    {}, optional={"content_encoding": ENCODINGS, "message_id": TEXT, "headers": HEADERS | FIELDS}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode())


def delivery(body: bytes = b'{"n": 1}', **properties: Any) -> Delivery:
    return Delivery("org.example.dev.demo", {**_PROPERTIES, **properties}, body)


def row_of(item: Row | Reject) -> Row:
    assert isinstance(item, Row), item
    return item


def reject_of(item: Row | Reject) -> Reject:
    assert isinstance(item, Reject), item
    return item


@given(TEXT, PROPERTIES, BODIES)
@settings(max_examples=500, deadline=None)
def test_anything_becomes_a_row_or_a_reject(
    topic: str | bytes, properties: dict[str, Any], body: bytes
) -> None:
    item = prepare(Delivery(topic, properties, body))
    assert isinstance(item, Row | Reject)
    assert "datanommer failed" not in getattr(item, "reason", "")


def test_a_message_that_cannot_be_read_is_kept_byte_for_byte() -> None:
    reject = reject_of(prepare(delivery(b'{"a":\r\n\xff\n', message_id="2021-a")))
    told, _, body = reject.raw.partition(b"\n")
    assert json.loads(told) == {
        "topic": "org.example.dev.demo",
        "properties": {**_PROPERTIES, "message_id": "2021-a"},
    }
    assert body == b'{"a":\r\n\xff\n'
    assert (reject.msg_id, reject.topic) == ("2021-a", "org.example.dev.demo")


def test_two_that_cannot_be_read_are_the_same_if_all_of_them_is() -> None:
    first, again, other = (
        reject_of(prepare(delivery(b"{", message_id=msg_id))) for msg_id in ("a", "a", "b")
    )
    assert first.sha256 == again.sha256
    assert first.sha256 != other.sha256


def test_headers_have_the_types_of_json() -> None:
    headers = {
        "when": datetime(2021, 7, 21, tzinfo=UTC),
        b"\xff": [b"\xfe", Decimal("1.50"), {"deep": None}],
        "yes": True,
    }
    row = row_of(prepare(delivery(headers=headers)))
    assert json.loads(row.headers or "") == {
        "when": "2021-07-21T00:00:00+00:00",
        "\udcff": ["\udcfe", "1.50", {"deep": None}],
        "yes": True,
    }


def test_headers_that_nest_too_deep_are_rejected() -> None:
    headers: dict[str, Any] = {}
    for _ in range(5000):
        headers = {"h": headers}
    assert reject_of(prepare(delivery(headers=headers))).kind == "too large"


def test_what_is_json_is_stored_whatever_it_is() -> None:
    for body in (b"null", b"[]", b"0", b'""', b"false"):
        assert row_of(prepare(delivery(body))).msg == body.decode()


@pytest.mark.parametrize("body", [b"no JSON", b'{"n": NaN}'])
def test_a_reject_that_is_delivered_again_is_the_same(body: bytes) -> None:
    first, again, other = (
        reject_of(prepare(delivery(body, message_id="2021-a", headers={"sent-at": AT, **headers})))
        for headers in ({}, {"x-delivery-count": 1}, {"own": 1})
    )
    assert first.sha256 == again.sha256
    assert first.sha256 != other.sha256
