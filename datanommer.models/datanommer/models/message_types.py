"""The message types of ``logging.stats``: what the scripts that process logs send.

Each is a JSON Schema (draft 2020-12) in the folder ``schemas``: a file a type, and one for each
family of types, whose title ends in ``.*``; a type has the fields of its families by ``allOf``.
Three keywords are ours: ``x-sentence`` is a message in words, with its fields in braces;
``x-free-form`` is a family whose messages hold anything; ``x-drift`` names what real senders are
known to do otherwise, ``{"names": {sent: meant}, "absent": [key]}``.

Source of the types: Fedora's "DNF Counting: Sending bus messages", and the scripts in the role
web-data-analysis of Fedora's Ansible repository. Whether a message fits its type is reported, and
never a reason to refuse it.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

_NAME = re.compile(r"(?:^|\.)(logging\.stats(?:\..*)?)$", re.DOTALL)

_LONGEST_WORDS = 200
_NOT_SAID = "(not said)"


class Verdict(NamedTuple):
    """Whether a message fits its type.

    Attributes:
        outcome: ``valid``; ``warning`` where it fits but for a known drift, or its type is not
            known; or ``invalid``.
        reasons: why it is not valid, in words.
    """

    outcome: str
    reasons: tuple[str, ...] = ()


def name_of(topic: str) -> str | None:
    """The topic from ``logging.stats`` on, without the prefix of the bus; None for any other."""
    found = _NAME.search(topic)
    return found[1] if found else None


@functools.cache
def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by the names of their files without ``.json``, sorted."""
    folder = resources.files("datanommer.models") / "schemas"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")),
        key=lambda file: file.name.removesuffix(".json").split("."),
    )
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in files
    }


def lineage(name: str) -> Iterator[dict[str, Any]]:
    """What a message of this type must fit: the schemas of its families, widest first, and its own.

    Args:
        name: a key of `schemas`.
    """
    schema = schemas()[name]
    for parent in schema.get("allOf", ()):
        yield from lineage(parent["$ref"].removesuffix(".json"))
    yield schema


def sentence(name: str, msg: Any) -> str:
    """A message in words, on one line.

    Args:
        name: the topic, as `name_of` gives it.
        msg: the content of the message, whatever it is.
    """
    nearest = _nearest(name)
    fields, _ = _mended(nearest, msg if isinstance(msg, dict) else {})
    words = schemas()[nearest].get("x-sentence", "{host} sent a message that is not known")
    return str(words.format_map(_Words(fields)))


class _Words(dict[str, Any]):
    """The fields of a message as words: short, on one line, and never missing."""

    def __getitem__(self, key: str) -> str:
        value = str(self.get(key, _NOT_SAID))
        text = " ".join(value[:_LONGEST_WORDS].split())
        text = text if text.isprintable() else ascii(text)
        return text if len(value) <= _LONGEST_WORDS else f"{text}..."


def check(name: str, msg: Any) -> Verdict:
    """Whether a message fits its type.

    Args:
        name: the topic, as `name_of` gives it. A topic that is no known type is held to the
            nearest family.
        msg: the content of the message, as JSON gives it.
    """
    nearest = _nearest(name)
    faults = _faults(nearest, msg)
    if faults:
        mended, drift = _mended(nearest, msg)
        faults = _faults(nearest, mended)
        return Verdict("invalid" if faults else "warning", (*faults, *drift))
    if schemas()[nearest].get("x-free-form") or schemas()[nearest]["title"] == name:
        return Verdict("valid")
    return Verdict("warning", (f"no message type {name} is known",))


@functools.lru_cache(maxsize=1024)
def _nearest(name: str) -> str:
    while name not in schemas():
        name = name.rpartition(".")[0]
    return name


def _faults(name: str, msg: Any) -> list[str]:
    return [_in_words(error) for error in _validator(name).iter_errors(msg)]


@functools.cache
def _validator(name: str) -> Any:
    # Imported here: storing messages needs none of this.
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    registry = Registry().with_resources(
        (f"{each}.json", DRAFT202012.create_resource(schema)) for each, schema in schemas().items()
    )
    return Draft202012Validator({"$ref": f"{name}.json"}, registry=registry)


def _in_words(error: Any) -> str:
    place = ".".join(map(str, error.absolute_path)) or "the message"
    match error.validator:
        case "required":
            return str(error.message).replace("is a required property", "is missing")
        case "type":
            kinds = error.validator_value
            wanted = " or ".join([kinds] if isinstance(kinds, str) else kinds)
            return f"{place} is not of type {wanted}"
        case "minLength":
            return f"{place} is empty"
    return f"{place}: {error.message}"


def _mended(name: str, msg: Any) -> tuple[Any, list[str]]:
    """The message without the drift that is known, and what was done to it, in words."""
    if not isinstance(msg, dict):
        return msg, []
    mended, drift, absent = dict(msg), [], set()
    for schema in lineage(name):
        known = schema.get("x-drift", {})
        for sent, meant in known.get("names", {}).items():
            if sent in mended and meant not in mended:
                mended[meant] = mended.pop(sent)
                drift.append(f"{sent!r} is sent for {meant!r}")
        absent |= set(known.get("absent", ()))
    for key in sorted(absent - mended.keys()):
        mended[key] = _NOT_SAID
        drift.append(f"{key!r} is missing, as ever from this script")
    return mended, drift
