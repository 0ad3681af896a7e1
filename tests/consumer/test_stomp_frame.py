"""Frames of STOMP are read whole, however their bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanommer.consumer.stomp.frame import Frame, FrameError, FrameReader, encode
from stomp import frames

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_HEADERS = st.dictionaries(_TEXTS.filter(bool), _TEXTS, max_size=5)
_FRAMES = st.builds(
    lambda headers, body: frames.Frame(
        "MESSAGE", {**headers, "content-length": str(len(body))}, body
    ),
    _HEADERS,
    st.binary(max_size=50),
)


def read(data: bytes, size: int | None = None, version: str = "1.2") -> list[Frame]:
    """The frames of some bytes that come in segments of a size."""
    reader = FrameReader()
    reader.version = version
    step = size or max(1, len(data))
    return [
        frame
        for start in range(0, len(data), step)
        for frame in reader.feed(data[start : start + step])
    ]


@given(st.lists(_FRAMES, max_size=4), st.integers(1, 40))
def test_frames_come_out_as_a_server_sent_them(sent: list[frames.Frame], size: int) -> None:
    data = b"\n".join(frames.encode(each, "1.2") for each in sent)
    assert read(data, size) == [Frame(each.command, each.headers, each.body) for each in sent]


@given(_HEADERS, st.binary(max_size=50), st.sampled_from(["1.1", "1.2"]))
def test_a_server_reads_what_is_sent(headers: dict[str, str], body: bytes, version: str) -> None:
    if version == "1.1":  # which cannot say a carriage return
        headers = {name.replace("\r", ""): headers[name].replace("\r", "") for name in headers}
    headers["content-length"] = str(len(body))
    reader = FrameReader()
    reader.version = version
    data = encode(version, "MESSAGE", headers, body)
    assert [(each.headers, each.body) for each in reader.feed(data)] == [(headers, body)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, None])
def test_all_that_a_stream_may_hold_is_read(size: int | None) -> None:
    data = (
        b"\n\r\nCONNECTED\r\nversion:1.2\r\nsession:ID\\c1:2\r\n\r\n\0\n\n"
        b"MESSAGE\ndestination:a\\cb\nx:first\nx:second\nempty:\n\nno length\0"
        b"MESSAGE\ncontent-length:5\n\na\0b\0c\0"
        b"ERROR\nmessage:w\xc3\xb6\xff\n\n\0"
    )
    assert read(data, size) == [
        # The answer to CONNECT escapes nothing.
        Frame("CONNECTED", {"version": "1.2", "session": "ID\\c1:2"}),
        Frame("MESSAGE", {"destination": "a:b", "x": "first", "empty": ""}, b"no length"),
        Frame("MESSAGE", {"content-length": "5"}, b"a\0b\0c"),
        Frame("ERROR", {"message": "w\u00f6\udcff"}),
    ]


def test_headers_are_unescaped_as_the_version_says() -> None:
    data = b"MESSAGE\na:\\n\\c\\\\\\r\\t\n\n\0"
    assert read(data, version="1.1")[0].headers == {"a": "\n:\\\\r\\t"}
    assert read(data, version="1.2")[0].headers == {"a": "\n:\\\r\\t"}


def test_headers_are_left_alone_where_the_broker_does_not_escape() -> None:
    (frame,) = FrameReader(unescapes=False).feed(b"MESSAGE\na:C:\\new\n\n\0")
    assert frame.headers == {"a": "C:\\new"}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it begins with b'HTTP/1.1 400"),
        (b"MESSAGE\ncontent-length:1\n\nab\0", "longer than its content-length, 1"),
        (b"MESSAGE\n" + b"a" * 2_000_000, "no end of the headers"),
    ],
)
def test_what_is_no_stomp_is_an_error(data: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        read(data, 1000)
