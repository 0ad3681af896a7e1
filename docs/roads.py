"""Draw roads.svg, the ways of a message to the archive: python docs/roads.py > docs/roads.svg"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from svg import arrow, box, drawing, text

_BUS, _HUB, _DISK, _TABLE = "#fff3e0", "#e3f2fd", "#fce4ec", "#e8f5e9"


def main() -> None:
    """Print the drawing."""
    sys.stdout.write(drawing(940, 470, [*_frames(), *_boxes(), *_arrows(), *_words()]))


def _frames() -> Iterator[str]:
    for x, y, width, height, name in (
        (200, 8, 480, 326, "fedmsg-hub, with datanommer.consumer"),
        (200, 360, 480, 102, "fedora-messaging consume, with datanommer.consumer"),
        (760, 8, 172, 454, "PostgreSQL"),
    ):
        frame = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="8"'
        yield f'<rect {frame} fill="#fafafa" stroke="#57606a"/>'
        bold = 'font-weight="bold" fill="#24292f"'
        yield text(x + width / 2, y + 20, name, anchor="middle", style=bold)


def _boxes() -> Iterator[str]:
    yield box(8, 46, 132, 56, "fedmsg bus", ["over ZeroMQ"], fill=_BUS)
    yield box(8, 118, 132, 56, "STOMP broker", ["keeps it until ACK"], fill=_BUS)
    yield box(8, 246, 132, 72, "datagrepper", ["of another site", "or hub"], fill=_BUS)
    yield box(8, 392, 132, 56, "AMQP broker", ["keeps it until ACK"], fill=_BUS)
    yield box(224, 46, 150, 128, "Queue", ["in memory:", "the text that came"], fill=_HUB)
    yield box(224, 246, 150, 72, "Backlog", ["what was sent while", "the hub was down"], fill=_HUB)
    lines = ["reads, checks signatures,", "stores a batch at a time,", "in one transaction"]
    yield box(462, 46, 196, 128, "Writer", lines, fill=_HUB)
    lines = ["on disk, with checksums,", "oldest first"]
    yield box(462, 246, 196, 72, "Spool", lines, fill=_DISK)
    yield box(
        224,
        392,
        434,
        56,
        "Callback",
        ["stores what waits, a batch at a time; while the database is away, it waits"],
        fill=_HUB,
    )
    yield box(778, 46, 136, 72, "messages", ["each one once,", "as it was sent"], fill=_TABLE)
    yield box(778, 150, 136, 72, "rejected", ["what no row can", "hold, and why"], fill=_TABLE)


def _arrows() -> Iterator[str]:
    yield arrow((140, 74), (223, 74))
    yield arrow((140, 146), (223, 146))
    yield arrow((374, 88), (461, 88))
    yield arrow((140, 282), (223, 282))
    yield arrow((374, 282), (418, 282), (418, 140), (461, 140))
    yield arrow((658, 82), (777, 82))
    yield arrow((658, 160), (720, 160), (720, 186), (777, 186))
    yield arrow((520, 174), (520, 245), dashed=True)
    yield arrow((658, 282), (759, 282), dashed=True)
    yield arrow((140, 420), (223, 420))
    yield arrow((658, 420), (759, 420))


def _words() -> Iterator[str]:
    yield text(530, 206, "while the database is away,")
    yield text(530, 221, "or when the hub has to end")
    for y, words in ((258, "once it"), (273, "is back")):
        yield text(720, y, words, anchor="middle")


if __name__ == "__main__":
    main()
