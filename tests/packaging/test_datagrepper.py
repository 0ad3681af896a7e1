"""datagrepper of PyPI runs on the archive, installed and started as docs/datagrepper.rst says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from datanommer.models import add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.exchange.parser import parse
from datanommer.models.storing.batch import Batch, store
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, line
from roles import Roles, may_be_made, remove_unused
from services import leave_out
from shell import ROOT, until_said
from venvs import VERSION, Venv

PAGE = (ROOT / "docs" / "datagrepper.rst").read_text(encoding="utf-8")
SENT_ID = "7f6de4c2-1f2b-4c84-9d1e-0b6a3a3b7c11"


class Site:
    """A datagrepper that runs."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get(self, path: str, form: str = "*/*") -> str:
        """What a page answers; it must be 200."""
        request = urllib.request.Request(self._address + path, headers={"Accept": form})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
            text: str = answer.read().decode()
            return text

    def ask(self, path: str) -> Any:
        """The JSON that a page answers."""
        return json.loads(self.get(path))


@pytest.fixture
def _no_role_is_left_behind(server: sa.URL) -> Iterator[None]:
    # Before the database, so that in the end that is gone when this goes on.
    if not may_be_made(server):
        leave_out("the tests are not connected as a superuser")
    yield
    remove_unused(server)


@pytest.fixture
def reader(_no_role_is_left_behind: None, server: sa.URL, bound: str) -> Iterator[str]:
    """The URL of an archive for somebody who may only read."""
    of_wiki = envelope("org.fedoraproject.prod.wiki.article.edit", msg={"user": "Ralph"})
    add_all([envelope(BODHI_TOPIC, msg=BODHI_MSG, msg_id="2013-fedmsg"), of_wiki])
    of_amqp: Any = parse(line(BODHI_TOPIC, id=SENT_ID, body={"text": "wörld"}))
    store(bound_engine(), Batch.of([of_amqp]))
    roles = Roles(server, bound)
    roles.install()
    yield roles.member("datanommer_reader")
    roles.remove()


@pytest.fixture
def site(venv: Venv, reader: str, tmp_path: Path) -> Iterator[Site]:
    venv.install(f"datanommer.models=={VERSION}")
    for typed in re.findall(r"^    \$ pip install (.*)$", PAGE, re.MULTILINE):
        if "datanommer.models" not in typed:
            venv.install(*shlex.split(typed), cwd=ROOT)
    assert venv.installed()["datanommer-models"] == VERSION
    settings = tmp_path / "settings.py"
    sample = (ROOT / "contrib" / "datagrepper" / "settings.py").read_text(encoding="utf-8")
    settings.write_text(re.sub('"postgresql://.*"', repr(reader), sample))
    (typed,) = re.findall(r"^    \$ (.*gunicorn .*)$", PAGE, re.MULTILINE)
    words = shlex.split(typed.replace("127.0.0.1:8000", "127.0.0.1:0"))
    variables = dict(word.split("=", 1) for word in words if re.match("[A-Z_]+=", word))
    assert variables["DATAGREPPER_CONFIG"] == "/etc/datagrepper.py"
    environment = {**os.environ, **variables, "DATAGREPPER_CONFIG": str(settings)}
    command = [str(venv.folder / "bin" / "gunicorn"), *words[len(variables) + 1 :]]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        yield Site(until_said(process.stderr, r"http://\S+")[0])
        process.terminate()
        process.stderr.read()


def test_datagrepper_shows_the_archive(site: Site) -> None:
    front = site.get("/", form="text/html")
    assert re.search(r'id="odometer"[^>]*>3<', front)
    assert site.ask("/messagecount") == {"messagecount": 3}

    all_of_them = site.ask("/raw")
    assert (all_of_them["total"], all_of_them["pages"], all_of_them["count"]) == (3, 1, 3)
    newest, *_ = all_of_them["raw_messages"]
    assert (newest["msg_id"], newest["category"]) == (f"2021-{SENT_ID}", "bodhi")
    assert newest["msg"]["text"] == "wörld"
    shown = site.get("/raw", form="text/html")
    assert BODHI_TOPIC in shown
    assert SENT_ID in shown
    assert f"<code>datanommer.models-{VERSION}</code>" in shown

    found = site.ask("/raw?category=bodhi&user=ralph")["raw_messages"]
    assert {each["category"] for each in found} == {"bodhi"}
    assert "2013-fedmsg" in [each["msg_id"] for each in found]
    assert all("ralph" in each["users"] for each in found)
    assert site.ask("/raw?category=bodhi&user=nobody")["total"] == 0

    # Its times are in UTC.
    moment = "2013-02-18T05:55:18"
    assert site.ask(f"/raw?start={moment}&end={moment}")["total"] == 2
    nothing = site.ask("/raw?start=2013-02-19&end=2013-02-18")
    assert (nothing["total"], nothing["raw_messages"]) == (0, [])

    for msg_id in (SENT_ID, f"2021-{SENT_ID}"):
        assert site.ask(f"/id?id={msg_id}")["msg_id"] == f"2021-{SENT_ID}"
        assert site.ask(f"/v2/id?id={msg_id}")["id"] == SENT_ID
        assert SENT_ID in site.get(f"/id?id={msg_id}", form="text/html")
    assert site.ask("/id?id=2013-fedmsg")["msg"] == BODHI_MSG
    assert "</svg>" in site.get(f"/charts/line?start={moment}&delta=86400")
