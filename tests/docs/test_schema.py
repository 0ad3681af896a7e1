"""The tables are drawn and listed in docs/ as they are."""

from __future__ import annotations

import runpy
from typing import Any

import pytest

from datanommer.models.tables import metadata
from shell import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "schema.py"))


def test_the_picture_of_the_schema_is_what_the_tables_make(schema: dict[str, Any]) -> None:
    picture = (DOCS / "schema.svg").read_text(encoding="utf-8")
    assert picture == schema["svg"]()
    assert all(f">{table}</text>" in picture for table in metadata.tables)
    keys = [key for table in metadata.tables.values() for key in table.foreign_keys]
    assert picture.count('class="arrow"') == len(keys)


def test_the_page_of_the_tables_is_what_the_tables_make(schema: dict[str, Any]) -> None:
    page = (DOCS / "tables.rst").read_text(encoding="utf-8")
    assert page == schema["renewed"](page)
    for table in metadata.tables.values():
        assert all(column.comment and column.comment[:20] in page for column in table.columns)
