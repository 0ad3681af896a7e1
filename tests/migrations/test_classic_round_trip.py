"""A classic archive, once upgraded, can be dumped and loaded like any other."""

from __future__ import annotations

import json
from typing import Any

from classic import add, make
from shell import Run

#: What the classic line wrote: compact, sorted JSON; times with and without a fraction.
ROWS: list[dict[str, Any]] = [
    {
        "msg_id": "2012-plain",
        "_msg": '{"a":[1,1.0,1e22,-0.0],"b":"w\\u00f6rld"}',
        "users": ["ralph"],
    },
    {"msg_id": "2012-fraction", "timestamp": "2012-08-07 14:47:30.886738"},
    {"msg_id": "2012-headers", "_headers": "{}", "packages": ["nethack", "bash"]},
    {"msg_id": "2012-signed", "signature": f"{'c2ln' * 19}\nc2ln\n", "crypto": "x509"},
    {"msg_id": "2012-strange", "signature": "c2ln", "crypto": "x509", "_headers": "[1]"},
    {"msg_id": None, "_msg": '"only a text"', "_headers": '{"sent-at":"x"}'},
    {"msg_id": "2012-nul", "_msg": '{"nul":"\\u0000","half":"\\ud800"}', "certificate": "c\n"},
]


def test_a_dump_of_an_upgraded_archive_loads_into_the_same(
    empty_database: str, database: str, run: Run
) -> None:
    make(empty_database)
    add(empty_database, ROWS)
    upgrade = ("-x", f"url={empty_database}", "upgrade", "head")
    ini = run(
        "python",
        "-c",
        "from datanommer.models.database import migrations as m; print(m._PACKAGED_INI)",
    )
    result = run("alembic", "-c", ini.stdout.strip(), *upgrade)
    assert result.returncode == 0, result.stderr
    first = run("datanommer-dump", "--url", empty_database).stdout
    assert len(json.loads(first)) == len(ROWS)
    loaded = run("datanommer-load", "--url", database, input=first)
    assert loaded.stdout == f"stored {len(ROWS)}, duplicates 0, rejected 0\n"
    assert run("datanommer-dump", "--url", database).stdout == first
