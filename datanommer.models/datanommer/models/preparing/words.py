"""What happened, in words: a message as a title, a sentence and a link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from datanommer.models.envelopes.category import without_prefix
from datanommer.models.preparing import processors

#: In characters; the rest of a content without a processor is cut off.
_MAX_LENGTH = 160


class Words(NamedTuple):
    """A message in words, as the processors of `fedmsg.meta` put it.

    Attributes:
        title: what happened, in a few words; without a processor, the topic without the prefix of
            the bus.
        subtitle: the same as a sentence; without a processor, a short form of the content.
        link: where to read more, or the empty text.
    """

    title: str
    subtitle: str
    link: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Words:
        """The words for a message.

        Args:
            body: the body of the message, with `topic` and `msg`.
        """
        processor = processors.processor_of(body)
        title, subtitle, link = (
            _text(processors.ask(processor, method, body)) if processor is not None else ""
            for method in cls._fields
        )
        topic = str(body["topic"])
        return cls(
            title or without_prefix(topic) or topic, subtitle or summary(body.get("msg")), link
        )


def summary(msg: Any) -> str:
    """A short form of the content of a message, on one line.

    Args:
        msg: the content, as JSON gives it.
    """
    if isinstance(msg, dict):
        text = " ".join(f"{key}={_value(value)}" for key, value in msg.items())
    else:
        text = _value(msg)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    # Some processors answer with None, and some with a text that has line breaks.
    return " ".join(value.split()) if isinstance(value, str) else ""
