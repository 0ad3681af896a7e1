"""What the programs that use datanommer.models call, and what they expect of it."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datanommer.models as m
from classic import execute
from datanommer.models.configuration import URL_VARIABLE
from datanommer.models.database.binding import bound_engine
from datanommer.models.exchange.parser import parse
from datanommer.models.preparing.preparation import prepare
from datanommer.models.storing.batch import Batch, store
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope
from shell import ROOT, Run

SENT = datetime(2013, 2, 18, 5, 55, 18)  # noqa: DTZ001  naive UTC, as in the classic API
HOUR = timedelta(hours=1)
CLASSIC_KEYS = {
    "i",
    "msg_id",
    "topic",
    "timestamp",
    "certificate",
    "signature",
    "username",
    "crypto",
    "msg",
    "headers",
    "source_name",
    "source_version",
}

# The arguments of the classic line, in its order, and agents where the newer line has them.
GREP = [
    *("start", "end", "page", "rows_per_page", "order", "msg_id", "users", "not_users"),
    *("packages", "not_packages", "categories", "not_categories", "topics", "not_topics"),
    *("agents", "not_agents", "contains", "defer"),
]


PAGING = {"page", "rows_per_page", "order", "defer"}


@pytest.fixture
def _message(archive: str) -> None:  # noqa: ARG001  the message is put into it
    item = prepare(envelope(BODHI_TOPIC, msg=BODHI_MSG, msg_id="2013-it", i=7))
    item.users, item.packages = ("ralph",), ("nethack",)  # type: ignore[union-attr]
    store(bound_engine(), Batch.of([item]))


def test_the_classic_names_are_there(archive: str) -> None:
    m.init(archive, None, None, False)
    assert m.models == {m.Message, m.User, m.Package}
    assert {m.user_assoc_table.name, m.pack_assoc_table.name} == {
        "user_messages",
        "package_messages",
    }
    assert m.maker().get_bind() is m.session.get_bind()
    m.add(envelope(msg_id="2013-it"))
    assert all(issubclass(model, m.DeclarativeBase) for model in m.models)
    assert [message.msg_id for message in m.Message.query.all()] == ["2013-it"]
    assert m.User.query.count() == m.Package.query.count() == 0


def test_the_version_is_found_under_either_name() -> None:
    assert version("datanommer.models") == version("datanommer-models") == m.__version__
    asked = "import pkg_resources as p; print(p.get_distribution('datanommer-models').version)"
    command = [sys.executable, "-W", "ignore", "-c", asked]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == m.__version__


@pytest.mark.usefixtures("_message")
class TestDatagrepper:
    """0.9.7, and the one of today."""

    def test_a_message_by_its_id(self) -> None:
        message = m.Message.query.filter_by(msg_id="2013-it").first()
        assert message is not None
        shown = message.__json__()
        assert shown.keys() == CLASSIC_KEYS
        assert shown["timestamp"] == 1_361_166_918
        assert json.loads(json.dumps(shown))["msg"] == BODHI_MSG
        assert m.Message.query.filter_by(msg_id="2013-other").first() is None
        assert m.Message.from_msg_id("2013-it") is message

    def test_the_session(self) -> None:
        # SQLAlchemy's types know no plain strings; the clients have them all the same.
        session: Any = m.session
        assert session.execute("SELECT 1").scalar() == 1
        assert session.execute(sa.text("SELECT :n"), {"n": 2}).scalar() == 2
        assert session.scalar(sa.text("SELECT count(*) FROM messages")) == 1
        assert session.scalar("SELECT 1") == 1
        assert session.scalars("SELECT 1").all() == [1]
        session.remove()
        session.rollback()

    def test_a_full_grep(self) -> None:
        total, pages, messages = m.Message.grep(
            start=SENT - HOUR,
            end=SENT + HOUR,
            page=1,
            rows_per_page=25,
            order="desc",
            users=["ralph"],
            not_users=[],
            packages=["nethack"],
            not_packages=[],
            categories=["bodhi"],
            not_categories=["wiki"],
            topics=[BODHI_TOPIC],
            not_topics=[],
            agents=["ralph"],
            not_agents=[],
            contains=["xmonad"],
        )
        assert (total, pages, [message.msg_id for message in messages]) == (1, 1, ["2013-it"])

    def test_the_number_of_all_messages(self) -> None:
        assert m.Message.grep(defer=True)[0] == 1

    def test_the_forms_of_today(self) -> None:
        message = m.Message.get_first(order="desc", categories=["bodhi"])
        assert message is not None
        assert message.as_dict() == {
            **message.__json__(),
            "category": "bodhi",
            "agent_name": "ralph",
            "users": ["ralph"],
            "packages": ["nethack"],
        }
        assert (message.agent_name, message.username) == ("ralph", "apache")
        line = message.as_fedora_message_dict()
        assert line == {
            "id": "2013-it",
            "topic": BODHI_TOPIC,
            "body": BODHI_MSG,
            "headers": {
                "fedora_messaging_schema": "base.message",
                "fedora_messaging_severity": 20,
                "sent-at": "2013-02-18T05:55:18+00:00",
            },
            "queue": None,
            "priority": None,
        }
        # It is a line that datanommer-load takes, and the same message.
        again: Any = parse(json.loads(json.dumps(line)))
        assert (again.msg_id, again.timestamp) == ("2013-it", SENT)
        assert store(bound_engine(), Batch.of([again])).duplicates == 1

    @pytest.mark.parametrize(
        "sent",
        [
            "7f6de4c2-1f2b-4c84-9d1e-0b6a3a3b7c11",
            "2021-7f6de4c2-1f2b-4c84-9d1e-0b6a3a3b7c11",
            "my-own",
            "2021-my-own",
        ],
    )
    @pytest.mark.parametrize("is_loaded", [False, True])
    def test_a_message_of_amqp_is_handed_out_with_the_id_that_it_was_sent_with(
        self, archive: str, run: Run, sent: str, is_loaded: bool
    ) -> None:
        headers = {"sent-at": "2013-02-18T05:55:18+00:00", "fedora_messaging_schema": "x"}
        line = {"id": sent, "topic": BODHI_TOPIC, "body": {}, "headers": headers}
        assert store(bound_engine(), Batch.of([parse(line)])).stored == 1
        if is_loaded:
            dumped = run("datanommer-dump", "--url", archive, "--format", "ndjson").stdout
            execute(archive, "DELETE FROM messages")
            assert run("datanommer-load", "--url", archive, input=dumped).returncode == 0
        message = m.Message.from_msg_id(sent)
        assert message is not None
        assert message.as_fedora_message_dict()["id"] == sent
        again: Any = parse(json.loads(json.dumps(message.as_fedora_message_dict())))
        assert store(bound_engine(), Batch.of([again])).duplicates == 1

    def test_an_older_row_of_amqp_loses_the_year_before_a_uuid(self, archive: str) -> None:
        bare = "7f6de4c2-1f2b-4c84-9d1e-0b6a3a3b7c11"
        for msg_id in (f"2013-{bare}", "2013-my-own"):
            m.add(envelope(msg_id=msg_id, i=None, headers={"fedora_messaging_schema": "x"}))
        execute(archive, "UPDATE messages SET extra = json_build_object('unset', '{i}'::text[])")
        m.session.rollback()
        sent = [each.as_fedora_message_dict()["id"] for each in m.Message.make_query()]
        assert sorted(sent) == ["2013-it", "2013-my-own", bare]

    def test_what_a_bridge_brought_from_fedmsg_keeps_its_year(self) -> None:
        msg_id = "2013-7f6de4c2-1f2b-4c84-9d1e-0b6a3a3b7c11"
        body = envelope(msg_id=msg_id)["body"]
        headers = {"fedora_messaging_schema": "base.message"}
        line = {"id": msg_id, "topic": body["topic"], "body": body, "headers": headers}
        assert store(bound_engine(), Batch.of([parse(line)])).stored == 1
        message = m.Message.from_msg_id(msg_id)
        assert message is not None
        assert message.as_fedora_message_dict()["id"] == msg_id

    def test_a_message_shows_what_it_is(self) -> None:
        message = m.Message.from_msg_id("2013-it")
        assert (
            repr(message)
            == f"<Message '2013-it', topic '{BODHI_TOPIC}', sent 2013-02-18T05:55:18Z>"
        )

    def test_the_headers_of_a_message_come_before_those_that_are_expected(self) -> None:
        headers = {"fedora_messaging_severity": 40, "priority": 3}
        m.add(envelope(msg_id="2013-headers", headers=headers))
        message = m.Message.from_msg_id("2013-headers")
        assert message is not None
        line = message.as_fedora_message_dict()
        assert line["headers"]["fedora_messaging_severity"] == 40
        assert line["priority"] == 3


@pytest.mark.usefixtures("_message")
class TestFedbadges:
    def test_the_arguments_can_be_looked_up_by_name(self) -> None:
        signature = inspect.signature(m.Message.grep)
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        assert list(signature.parameters) == GREP
        defaults = {name: p.default for name, p in signature.parameters.items() if p.default}
        assert defaults == {"page": 1, "rows_per_page": 100, "order": "asc"}
        assert inspect.getfullargspec(m.Message.grep).args[1] == "start"

    def test_the_filters_of_a_rule_are_those_of_make_query(self) -> None:
        filters = inspect.getfullargspec(m.Message.make_query).args[1:]
        assert filters == [*(n for n in GREP if n not in PAGING), "not_contains"]

    def test_the_counts_of_rules(self) -> None:
        """As `fedbadges.rules` asks, 2.3."""
        since_they_exist = {"start": SENT - timedelta(days=400), "end": datetime.now()}  # noqa: DTZ005
        for asked in (
            {"topics": [BODHI_TOPIC], "users": ["ralph"]},
            {"topics": [BODHI_TOPIC], "agents": ["ralph"], **since_they_exist},
            {"categories": ["bodhi"], "not_users": ["lmacken"], "packages": ["nethack"]},
            {"msg_id": "2013-it"},
            {"users": ["ralph"], "rows_per_page": 1, "page": 1, "order": "desc"},
        ):
            rule: dict[str, Any] = {"defer": True, "rows_per_page": 0, **asked}
            total, _, query = m.Message.grep(**rule)
            results = m.session.scalars(query).all()
            assert (total, [message.msg["agent"] for message in results]) == (1, ["ralph"])

    @pytest.mark.parametrize("known_as", ["2021-that", "that"])
    def test_whether_a_message_of_amqp_has_come(self, known_as: str) -> None:
        headers = {"sent-at": "2021-02-18T05:55:18+00:00"}
        line = {"id": "that", "topic": BODHI_TOPIC, "body": {}, "headers": headers}
        store(bound_engine(), Batch.of([parse(line)]))
        is_it = m.Message.msg_id == known_as
        asked = sa.select(sa.func.count(m.Message.id)).where(is_it)
        assert m.session.scalar(asked.where(m.Message.timestamp >= SENT)) == 1
        assert m.Message.query.filter_by(msg_id=known_as).count() == 1
        assert m.Message.query.filter(m.Message.msg_id != "that").count() == 2

    def test_they_can_be_given_by_place(self) -> None:
        found = m.Message.grep(SENT - HOUR, SENT + HOUR, 1, 10, "asc", None, ["ralph"])
        assert found[:2] == (1, 1)

    def test_a_deferred_query_counts_and_loads(self) -> None:
        asked: dict[str, Any] = {"users": ["ralph"], "topics": [BODHI_TOPIC]}
        total, pages, query = m.Message.grep(defer=True, rows_per_page=0, **asked)
        assert (total, pages, query.count()) == (1, 1, 1)
        assert [message.topic for message in query.all()] == [BODHI_TOPIC]

    @pytest.mark.parametrize("rows_per_page", [0, 10])
    def test_a_deferred_query_is_refined_and_executed_by_the_session(
        self, rows_per_page: int
    ) -> None:
        _, _, query = m.Message.grep(defer=True, rows_per_page=rows_per_page, users=["ralph"])
        session: Any = m.session
        for asked in (query, m.Message.make_query(users=["ralph"])):
            refined = asked.where(m.Message.topic == BODHI_TOPIC)
            assert [message.msg_id for message in session.scalars(refined).all()] == ["2013-it"]
            assert session.execute(refined).scalar_one().msg_id == "2013-it"
            assert session.scalar(refined).msg_id == "2013-it"
            assert session.scalars(asked.where(m.Message.topic == "other")).all() == []


@pytest.mark.usefixtures("_message")
def test_fmn_asks_for_what_came_last() -> None:
    hints: dict[str, Any] = {"users": ["ralph"], "categories": ["bodhi"]}
    total, pages, messages = m.Message.grep(
        start=SENT - HOUR, end=SENT + HOUR, rows_per_page=10, page=1, order="desc", **hints
    )
    assert (total, pages) == (1, math.ceil(total / 10))
    assert [message.__json__()["msg_id"] for message in messages] == ["2013-it"]
    assert [message.timestamp for message in messages] == [SENT]


@pytest.mark.usefixtures("_message")
def test_the_nagios_plug_in_reads_how_long_ago_a_category_was_heard(archive: str, run: Run) -> None:
    result = run("datanommer-latest", "--category", "bodhi", "--timesince", "--url", archive)
    age = datetime.now(UTC) - SENT.replace(tzinfo=UTC)
    assert float(json.loads(result.stdout)[0]) == pytest.approx(age.total_seconds(), abs=60)


@pytest.mark.usefixtures("_message")
def test_a_nagios_plug_in_that_reads_as_the_page_says_hears_it_too(archive: str) -> None:
    page = (ROOT / "docs" / "nagios.rst").read_text(encoding="utf-8")
    _, _, code = page.partition(".. code-block:: python\n")
    function = textwrap.dedent(code.partition("\nDid the logs sync?")[0])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    asked = subprocess.run(
        [sys.executable, "-c", f"{function}\nprint([seconds_since(c) for c in ('bodhi', 'x')])"],
        env={**os.environ, "PATH": path, URL_VARIABLE: archive},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    heard, unheard = json.loads(asked.stdout.replace("None", "null"))
    age = datetime.now(UTC) - SENT.replace(tzinfo=UTC)
    assert (heard, unheard) == (pytest.approx(age.total_seconds(), abs=60), None)


def test_a_new_database_is_made_on_the_way(empty_database: str) -> None:
    m.init(empty_database, create=True)
    m.add(envelope())
    assert m.session.query(m.Message).count() == 1
    m.session.remove()
    bound_engine().dispose()


def test_who_asks_before_anything_else_is_told_what_to_call() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", "from datanommer.models import Message; Message.count()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ConfigurationError: Call datanommer.models.init(url) before" in asked.stderr


def test_importing_the_models_needs_no_database() -> None:
    assert importlib.import_module("datanommer.models") is m
