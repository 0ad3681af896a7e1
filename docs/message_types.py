"""Makes the tables of docs/logging-stats.rst from the schemas: python docs/message_types.py"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datanommer.models.logging_stats import message_types

PAGE = Path(__file__).with_name("logging-stats.rst")
BEGIN = ".. The schemas make what follows: python docs/message_types.py\n"
END = ".. The schemas made what stands above.\n"


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(page: str) -> str:
    """The page with the tables as the schemas are now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = f"{_table_of_types()}\n{_table_of_fields()}\n{_drift()}"
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def _types() -> list[str]:
    schemas = message_types.schemas()
    return [
        name
        for name, schema in schemas.items()
        if schema["title"] == name or schema.get("x-free-form")
    ]


def _table_of_types() -> str:
    rows = [("Topic, after ``logging.stats.``", "Meaning", "Fields")]
    for name in _types():
        schema = message_types.schemas()[name]
        topic = schema["title"].removeprefix("logging.stats.")
        rows.append((f"``{topic}``", schema["description"], ", ".join(_fields(name)) or "any"))
    return _table("36 42 42", rows)


def _fields(name: str) -> list[str]:
    fields = []
    for schema in message_types.lineage(name):
        required = schema.get("required", ())
        names = schema.get("properties", {})
        fields += [f"``{key}``" if key in required else f"[``{key}``]" for key in names]
    return fields


def _table_of_fields() -> str:
    meanings: dict[str, dict[str, None]] = {}
    for schema in message_types.schemas().values():
        for key, field in schema.get("properties", {}).items():
            meanings.setdefault(f"``{key}``", {})[_meaning(field)] = None
    rows = [("Field", "Meaning")]
    rows += [(key, " Or: ".join(texts)) for key, texts in meanings.items()]
    return _table("15 85", rows)


def _meaning(field: dict[str, Any]) -> str:
    kinds = [field["type"]] if isinstance(field["type"], str) else field["type"]
    return f"{field['description']} ({' or '.join(kinds)})"


def _drift() -> str:
    lines = []
    for schema in message_types.schemas().values():
        known = schema.get("x-drift", {})
        lines += [
            f"- in ``{schema['title']}``, ``{sent}`` for ``{meant}``;"
            for sent, meant in known.get("names", {}).items()
        ]
        lines += [f"- in ``{schema['title']}``, no ``{key}``;" for key in known.get("absent", ())]
    lines[-1] = lines[-1].removesuffix(";") + "."
    return "Some senders are known to differ. That is a warning, not an error:\n\n" + "".join(
        f"{line}\n" for line in lines
    )


def _table(widths: str, rows: list[tuple[str, ...]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in rows:
        lines += [
            f"   {'-' if place else '* -'} {cell}".replace("   -", "     -", 1)
            for place, cell in enumerate(row)
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
