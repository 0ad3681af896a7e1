"""The message types of ``logging.stats``, which the scripts that process logs send.

Each type is a JSON Schema (draft 2020-12) in a file of its own in the folder ``schemas``. Each
family of types has a schema, too; its title ends in ``.*``, and its types include its fields with
``allOf``. We add three keywords: ``x-sentence`` is the message as a sentence, with its fields in
braces; ``x-free-form`` marks a family whose messages may hold anything; ``x-drift`` lists the known
deviations of real senders, as ``{"names": {sent: meant}, "absent": [key]}``.

Source of the types: Fedora's "DNF Counting: Sending bus messages", and the scripts in the role
web-data-analysis of Fedora's Ansible repository. A message that does not fit its type is reported;
it is stored all the same.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

_NAME = re.compile(r"(?:^|\.)(logging\.stats(?:\..*)?)$", re.DOTALL)

_MAX_VALUE_LENGTH = 200
_MISSING = "(not said)"


class TypeCheck(NamedTuple):
    """Whether a message fits its type.

    Attributes:
        outcome: ``valid``; ``invalid``; or ``warning`` if it fits except for known drift, or if its
            type is unknown.
        reasons: why it is not valid, in words.
    """

    outcome: str
    reasons: tuple[str, ...] = ()


def name_of(topic: str) -> str | None:
    """The topic from ``logging.stats`` on, without the prefix of the bus; None for other topics."""
    match = _NAME.search(topic)
    return match[1] if match else None


@functools.cache
def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by file name without ``.json``, sorted."""
    folder = resources.files("datanommer.models.logging_stats") / "schemas"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")),
        key=lambda file: file.name.removesuffix(".json").split("."),
    )
    return {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in files
    }


def lineage(name: str) -> Iterator[dict[str, Any]]:
    """The schemas that a message of this type must fit: its families, widest first, then its own.

    Args:
        name: a key of `schemas`.
    """
    schema = schemas()[name]
    for parent in schema.get("allOf", ()):
        yield from lineage(parent["$ref"].removesuffix(".json"))
    yield schema


def sentence(name: str, msg: Any) -> str:
    """The message as a sentence, on one line.

    Args:
        name: the topic, as `name_of` returns it.
        msg: the content of the message, whatever it is.
    """
    nearest = _nearest_schema(name)
    fields, _ = _without_drift(nearest, msg if isinstance(msg, dict) else {})
    template = schemas()[nearest].get("x-sentence", "{host} sent a message that is not known")
    return str(template.format_map(_SentenceFields(fields)))


class _SentenceFields(dict[str, Any]):
    """The fields of a message for its sentence: short, on one line, and never missing."""

    def __getitem__(self, key: str) -> str:
        value = str(self.get(key, _MISSING))
        text = " ".join(value[:_MAX_VALUE_LENGTH].split())
        text = text if text.isprintable() else ascii(text)
        return text if len(value) <= _MAX_VALUE_LENGTH else f"{text}..."


def check(name: str, msg: Any) -> TypeCheck:
    """Whether a message fits its type.

    Args:
        name: the topic, as `name_of` returns it. If no type has that name, the message is checked
            against the nearest family.
        msg: the content of the message, as JSON gives it.
    """
    nearest = _nearest_schema(name)
    violations = _violations(nearest, msg)
    if violations:
        corrected, drift = _without_drift(nearest, msg)
        violations = _violations(nearest, corrected)
        return TypeCheck("invalid" if violations else "warning", (*violations, *drift))
    if schemas()[nearest].get("x-free-form") or schemas()[nearest]["title"] == name:
        return TypeCheck("valid")
    return TypeCheck("warning", (f"no message type {name} is known",))


@functools.lru_cache(maxsize=1024)
def _nearest_schema(name: str) -> str:
    while name not in schemas():
        name = name.rpartition(".")[0]
    return name


def _violations(name: str, msg: Any) -> list[str]:
    return [_in_words(error) for error in _validator(name).iter_errors(msg)]


@functools.cache
def _validator(name: str) -> Any:
    # Imported here because storing messages needs none of this.
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    registry = Registry().with_resources(
        (f"{each}.json", DRAFT202012.create_resource(schema)) for each, schema in schemas().items()
    )
    return Draft202012Validator({"$ref": f"{name}.json"}, registry=registry)


def _in_words(error: Any) -> str:
    path = ".".join(map(str, error.absolute_path)) or "the message"
    match error.validator:
        case "required":
            return str(error.message).replace("is a required property", "is missing")
        case "type":
            types = error.validator_value
            expected = " or ".join([types] if isinstance(types, str) else types)
            return f"{path} is not of type {expected}"
        case "minLength":
            return f"{path} is empty"
    return f"{path}: {error.message}"


def _without_drift(name: str, msg: Any) -> tuple[Any, list[str]]:
    """The message as its type has it, with known drift corrected, and the corrections in words."""
    if not isinstance(msg, dict):
        return msg, []
    corrected, drift, absent = dict(msg), [], set()
    for schema in lineage(name):
        known = schema.get("x-drift", {})
        for sent, meant in known.get("names", {}).items():
            if sent in corrected and meant not in corrected:
                corrected[meant] = corrected.pop(sent)
                drift.append(f"{sent!r} is sent for {meant!r}")
        absent |= set(known.get("absent", ()))
    for key in sorted(absent - corrected.keys()):
        corrected[key] = _MISSING
        drift.append(f"{key!r} is missing, as ever from this script")
    return corrected, drift
