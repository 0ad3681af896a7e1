"""Messages found by any mixture of filters."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa

import many
from classic import execute
from databases import Databases
from datanommer import models
from datanommer.models import Message, add_all, init, session
from datanommer.models.database.binding import bound_engine
from datanommer.models.envelopes.row import Row
from datanommer.models.errors import DatanommerError, InvalidQuery
from datanommer.models.exchange.parser import parse
from datanommer.models.storing.batch import Batch, store
from envelopes import envelope
from many import put_many
from shell import Run

NOON = datetime(2013, 2, 18, 12)  # noqa: DTZ001  naive UTC, as in the classic API
#: The file that an admin runs.
FILE = Path(models.__file__).with_name("contains.sql")
BODHI = "org.example.dev.bodhi.update.comment"
WIKI = "org.example.dev.wiki.article.edit"
KOJI = "org.example.dev.buildsys.build.state.change"


def put(
    name: str,
    topic: str = WIKI,
    minute: float = 0,
    users: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    agent: str | None = None,
    **body: Any,
) -> None:
    """Store a message with a name, which is its id, so many minutes after noon."""
    sent = (NOON + timedelta(minutes=minute)).replace(tzinfo=UTC).timestamp()
    row = Row.from_envelope(envelope(topic, **{"msg_id": name, "timestamp": sent, **body}))
    row.users, row.packages, row.agent = users, packages, agent
    store(bound_engine(), Batch.of([row]))


def names(**filters: Any) -> list[str]:
    """The messages that are found; however they are asked for, it is the same ones."""
    total, pages, messages = Message.grep(**filters)
    found = [message.msg_id for message in messages]
    assert total == Message.count(**filters) == Message.make_query(**filters).count() == len(found)
    assert [m.msg_id for m in Message.grep(**filters, rows_per_page=0)[2]] == found
    backwards = Message.grep(**filters, order="desc")[2]
    assert [message.msg_id for message in backwards] == found[::-1]
    first, last = Message.get_first(**filters), Message.get_first("desc", **filters)
    assert [m and m.msg_id for m in (first, last)] == (
        [found[0], found[-1]] if found else [None] * 2
    )
    assert pages == (1 if found else 0)
    return found


@pytest.fixture(scope="module")
def _stored(databases_of_server: Databases, _head_template: str) -> Iterator[str]:
    name = databases_of_server.create(template=_head_template)
    url = databases_of_server.url(name)
    init(url)
    put("a", BODHI, 1, ("ralph", "toshio"), ("nethack",), agent="toshio", username="apache")
    put("b", WIKI, 2, ("ralph",), username="wiki")
    put("c", KOJI, 3, ("lmacken",), ("nethack", "bash"), username="apache")
    put("d", BODHI, 4, (), ("bash",), username=None)
    put("e", WIKI, 5)
    yield url
    databases_of_server.drop(name)


@pytest.fixture
def _some(_stored: str) -> Iterator[None]:
    """An archive with five messages, for tests that only read."""
    init(_stored)
    yield
    session.remove()
    bound_engine().dispose()


@pytest.mark.usefixtures("_some")
@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "abcde"),
        ({"users": ["ralph"]}, "ab"),
        ({"users": ["ralph", "lmacken", "toshio"]}, "abc"),
        ({"users": ["nobody"]}, ""),
        ({"not_users": ["ralph"]}, "cde"),
        ({"users": ["ralph"], "not_users": ["toshio"]}, "b"),
        ({"packages": ["nethack"]}, "ac"),
        ({"not_packages": ["nethack"]}, "bde"),
        ({"not_packages": ["nethack"], "not_users": ["ralph"]}, "de"),
        ({"users": ["ralph"], "packages": ["nethack"]}, "a"),
        ({"categories": ["bodhi"]}, "ad"),
        ({"categories": ["bodhi", "wiki"]}, "abde"),
        ({"categories": ["nowhere"]}, ""),
        ({"not_categories": ["bodhi"]}, "bce"),
        ({"topics": [KOJI]}, "c"),
        ({"topics": [KOJI, WIKI]}, "bce"),
        ({"not_topics": [KOJI, WIKI]}, "ad"),
        ({"topics": [WIKI], "categories": ["bodhi"]}, ""),
        ({"topics": [WIKI], "not_categories": ["bodhi"]}, "be"),
        ({"users": ["ralph"], "categories": ["bodhi"]}, "a"),
        ({"users": ["ralph", "toshio"], "categories": ["bodhi", "wiki"]}, "ab"),
        ({"users": ["ralph"], "not_categories": ["bodhi"]}, "b"),
        ({"users": ["ralph"], "topics": [WIKI]}, "b"),
        ({"users": ["ralph"], "not_topics": [WIKI]}, "a"),
        ({"users": ["ralph"], "not_packages": ["nethack"]}, "b"),
        ({"packages": ["bash"], "categories": ["bodhi"], "not_users": ["lmacken"]}, "d"),
        ({"agents": ["apache"]}, "ce"),
        ({"agents": ["toshio"]}, "a"),
        ({"agents": ["toshio", "wiki"]}, "ab"),
        ({"not_agents": ["apache"]}, "abd"),
        ({"agents": ["apache"], "users": ["lmacken"]}, "c"),
        ({"agents": ["toshio"], "topics": [BODHI]}, "a"),
        ({"msg_id": "b"}, "b"),
        ({"msg_id": "b", "users": ["lmacken"]}, ""),
        ({"msg_id": "z"}, ""),
        ({"users": "ralph"}, "ab"),
        ({"users": ()}, "abcde"),
        ({"users": "", "not_agents": "", "msg_id": "", "contains": ""}, "abcde"),
        ({"users": ["ralph", "ralph"]}, "ab"),
        ({"start": NOON + timedelta(minutes=2)}, "bcde"),
        ({"start": NOON + timedelta(minutes=2), "end": NOON + timedelta(minutes=4)}, "bcd"),
        ({"start": NOON + timedelta(minutes=2), "users": ["ralph"]}, "b"),
        ({"start": NOON + timedelta(minutes=2), "not_users": ["lmacken"]}, "bde"),
        ({"start": NOON + timedelta(minutes=2), "topics": [BODHI]}, "d"),
        ({"start": NOON + timedelta(minutes=2), "not_topics": [BODHI]}, "bce"),
        ({"start": NOON, "end": NOON + timedelta(hours=1), "categories": ["wiki"]}, "be"),
        ({"start": NOON - timedelta(1), "end": NOON - timedelta(hours=1)}, ""),
    ],
)
def test_a_message_is_found_if_it_passes_every_filter(filters: dict[str, Any], found: str) -> None:
    assert names(**filters) == list(found)


def test_among_many_the_answer_is_the_same(archive: str) -> None:
    put("a", BODHI, 1, ("ralph", "toshio"), ("nethack",), agent="toshio")
    put("b", WIKI, 2, ("ralph",))
    sent = NOON.replace(tzinfo=UTC)
    put_many(archive, WIKI, sent, ("ralph", "toshio"), ("nethack",), agent="toshio")
    few = {"not_users": [many.USER]}
    assert names(users=["ralph"], topics=[WIKI], **few) == ["b"]
    assert names(users=["ralph", "toshio"], packages=["nethack"], **few) == ["a"]
    assert names(agents=["toshio"], users=["ralph"], not_topics=[WIKI]) == ["a"]


class TestContains:
    @pytest.mark.parametrize(
        "text",
        ["wörld", 'say "hi"', "100%", "under_score", "back\\slash", "new\nline", "\0", "🐍", "a/b"],
    )
    def test_every_character_means_itself(self, archive: str, text: str) -> None:
        put("it", msg={"deep": [f"<{text}>"]})
        put("not", msg={"deep": "w0rld say 'hi' 1000 underXscore backslash new line"})
        assert names(contains=[text]) == ["it"]

    @pytest.mark.parametrize(
        ("text", "others"),
        [
            ("nothing", "a line\nothing"),
            ("é", "a \\u00e9"),
            ("\n", "C:\\new"),
            ("f6", "ö"),
            ('"', "C:\\"),
            ("\\n", "a\nb"),
        ],
    )
    def test_what_only_looks_so_as_json_is_not_found(
        self, archive: str, text: str, others: str
    ) -> None:
        put("not", msg={"text": others})
        put("it", msg={"text": f"{others} {text}"})
        assert names(contains=[text]) == ["it"]

    def test_keys_and_numbers_are_searched_too(self, archive: str) -> None:
        put("it", msg={"karma": 1234})
        assert names(contains=["karma"]) == names(contains="1234") == ["it"]

    def test_one_of_several_is_enough(self, archive: str) -> None:
        put("a", msg="apple")
        put("b", msg="banana", minute=1)
        put("c", msg="cherry", minute=2)
        assert names(contains=["apple", "cherry"]) == ["a", "c"]
        assert names(contains=["an"], not_topics=[BODHI]) == ["b"]

    def test_upper_and_lower_case_differ(self, archive: str) -> None:
        put("a", msg="Apple")
        assert names(contains=["apple"]) == []


class TestTheIndexForContains:
    @pytest.fixture
    def _index(self, archive: str) -> None:
        available = "SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'"
        if not execute(archive, available):
            pytest.skip("this PostgreSQL comes without pg_trgm")
        connection = psycopg2.connect(archive)
        connection.autocommit = True
        # As psql does it: one statement after the other.
        for statement in FILE.read_text().split(";\n"):
            if any(not line.startswith("--") for line in statement.splitlines() if line):
                connection.cursor().execute(statement)
        connection.close()

    @pytest.mark.usefixtures("_index")
    def test_it_answers_the_same(self, archive: str, run: Run) -> None:
        put("it", msg={"text": '100% "wörld"'})
        put("not", msg={"text": "1000 world"})
        assert names(contains=["100%"]) == names(contains=['"wörld']) == ["it"]
        assert names(contains=["0"]) == ["it", "not"]
        ini = str(FILE.with_name("alembic.ini"))
        checked = run("alembic", "-c", ini, "-x", f"url={archive}", "check")
        assert checked.returncode == 0, checked.stdout

    @pytest.mark.usefixtures("_index")
    def test_grep_asks_in_the_form_that_it_knows(self) -> None:
        session.execute(sa.text("SET enable_seqscan = off"))
        query = Message.make_query(contains=["wörld"]).statement
        plan = session.scalars(sa.text(f"EXPLAIN {_literal(query)}")).all()
        assert any("messages_msg_trgm_idx" in line for line in plan)


def _literal(query: Any) -> str:
    dialect = session.get_bind().dialect
    compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return str(compiled).replace("%%", "%").replace(":", "\\:")


class TestPages:
    @pytest.fixture(autouse=True)
    def _seven(self, archive: str) -> None:
        # All in one second: what came first is first.
        for number in range(7):
            put(f"{number}", users=("ralph", "toshio"))

    @pytest.mark.parametrize("filters", [{}, {"users": ["ralph", "toshio"]}, {"topics": [WIKI]}])
    def test_together_they_have_each_message_once(self, filters: dict[str, Any]) -> None:
        for order in ("asc", "desc"):
            found = []
            for page in (1, 2, 3):
                total, pages, messages = Message.grep(
                    page=page, rows_per_page=3, order=order, **filters
                )
                assert (total, pages) == (7, 3)
                found += [message.msg_id for message in messages]
            assert found == sorted("0123456", reverse=order == "desc")

    def test_one_past_the_end_is_empty_and_the_total_is_still_told(self) -> None:
        assert Message.grep(page=4, rows_per_page=3) == (7, 3, [])
        assert Message.grep(page=2, rows_per_page=0) == (7, 1, [])

    @pytest.mark.parametrize("all_of_them", [0, None])
    def test_without_a_limit_one_page_has_all(self, all_of_them: int | None) -> None:
        total, pages, messages = Message.grep(rows_per_page=all_of_them)
        assert (total, pages, len(messages)) == (7, 1, 7)

    def test_nothing_found_is_no_page(self) -> None:
        assert Message.grep(topics=[BODHI]) == (0, 0, [])
        assert Message.grep(topics=[BODHI], rows_per_page=0) == (0, 0, [])

    @pytest.mark.parametrize("filters", [{}, {"users": ["ralph", "toshio"]}])
    def test_one_however_far_past_the_end_is_empty(self, filters: dict[str, Any]) -> None:
        total, _, query = Message.grep(page=10**30, defer=True, **filters)
        assert (total, query.all()) == (7, [])
        assert Message.grep(rows_per_page=2**31 - 1, page=2**40, **filters) == (7, 1, [])

    def test_a_deferred_page_is_a_query(self) -> None:
        total, pages, query = Message.grep(rows_per_page=3, page=3, defer=True)
        assert (total, pages, query.count(), len(query.all())) == (7, 3, 1, 1)
        total, pages, query = Message.grep(rows_per_page=0, users=["ralph"], defer=True)
        assert (total, pages, query.count(), len(query.all())) == (7, 1, 7, 7)

    def test_a_query_can_be_refined(self) -> None:
        query = Message.make_query(users=["ralph"])
        assert [m.msg_id for m in query.filter(Message.msg_id > "4").order_by(Message.id)] == [
            "5",
            "6",
        ]

    def test_users_and_packages_come_with_the_page(self, archive: str) -> None:
        session.expunge_all()
        asked: list[str] = []
        bind = session.get_bind()
        sa.event.listen(bind, "before_cursor_execute", lambda *args: asked.append(args[2]))
        messages = Message.grep()[2]
        assert [[user.name for user in message.users] for message in messages] == [
            ["ralph", "toshio"]
        ] * 7
        assert [message.packages for message in messages] == [[]] * 7
        assert len(asked) <= 4


class TestTimes:
    @pytest.fixture(autouse=True)
    def _three(self, archive: str) -> None:
        put("epoch", timestamp=0)
        put("before noon", minute=-0.5)
        put("noon")

    def test_the_ends_of_the_window_are_part_of_it(self) -> None:
        assert names(start=NOON, end=NOON) == ["noon"]

    def test_epoch_0_is_a_time(self) -> None:
        epoch = datetime(1970, 1, 1)  # noqa: DTZ001
        assert names(start=epoch, end=epoch) == names(start=0, end=0) == ["epoch"]
        assert names(start=0) == ["epoch", "before noon", "noon"]

    def test_the_window_can_be_given_by_position(self) -> None:
        assert [m.msg_id for m in Message.make_query(NOON, NOON)] == ["noon"]

    def test_an_aware_time_is_the_moment_that_it_names(self) -> None:
        there = timezone(timedelta(hours=-5))
        assert names(start=datetime(2013, 2, 18, 7, tzinfo=there)) == ["noon"]
        assert names(start=NOON.replace(tzinfo=UTC)) == ["noon"]
        assert names(start=NOON.replace(tzinfo=UTC).timestamp()) == ["noon"]

    @pytest.fixture
    def _new_york(self) -> Iterator[None]:
        before = os.environ.get("TZ")
        os.environ["TZ"] = "America/New_York"
        time.tzset()
        yield
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()

    @pytest.mark.usefixtures("_new_york")
    def test_the_zone_of_the_machine_changes_no_answer(self) -> None:
        assert names(start=NOON, end=NOON) == ["noon"]
        (message,) = Message.grep(start=NOON)[2]
        assert message.timestamp == NOON
        assert message.__json__()["timestamp"] == NOON.replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({"end": NOON}, "without start"),
        ({"start": "yesterday"}, "ISO 8601"),
        ({"start": [2013]}, "Give a datetime"),
        ({"start": 1e18}, "not milliseconds"),
        ({"start": float("nan")}, "seconds"),
        ({"page": 0}, "the first page is 1"),
        ({"page": "1"}, "the first page is 1"),
        ({"rows_per_page": -1}, "0 or None for all"),
        ({"rows_per_page": 2.5}, "0 or None for all"),
        ({"rows_per_page": 2**31}, "up to 2147483647"),
        ({"order": "newest"}, "'desc'"),
        ({"users": [None]}, "Leave it out"),
        ({"users": 1}, "Give a list"),
        ({"topics": ["a\0b"]}, "NUL"),
        ({"not_packages": ["\udc80"]}, "surrogate"),
        ({"msg_id": 5}, "Give a text"),
        ({"contains": [b"x"]}, "no text"),
    ],
)
def test_what_makes_no_sense_is_a_value_error_that_says_what_would(
    wrong: dict[str, Any], advice: str
) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        Message.grep(**wrong)
    assert isinstance(caught.value, InvalidQuery)
    assert isinstance(caught.value, DatanommerError)


@pytest.mark.usefixtures("_some")
def test_a_start_after_the_end_finds_nothing() -> None:
    turned: dict[str, Any] = {"start": NOON + timedelta(1), "end": NOON - timedelta(1)}
    assert names(**turned) == []
    assert Message.grep(**turned) == (0, 0, [])
    total, pages, query = Message.grep(**turned, defer=True)
    assert (total, pages, query.all()) == (0, 0, [])
    assert Message.page(**turned).messages == []


@pytest.mark.usefixtures("_some")
@pytest.mark.parametrize(
    ("start", "found"),
    [("2013-02-18", "abcde"), ("2013-02-18T12:03Z", "cde"), ("2013-02-18 13:04:00+01:00", "de")],
)
def test_times_can_be_iso_texts(start: str, found: str) -> None:
    assert names(start=start) == list(found)
    assert names(start=start, end="2013-02-18T12:05") == list(found)


def test_a_filter_that_there_is_not_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        Message.make_query(colour="red")  # type: ignore[call-arg]
    for ask in (Message.count, Message.get_first):
        with pytest.raises(TypeError, match="no filter 'colour'; there are start, end"):
            ask(colour="red")
        with pytest.raises(TypeError, match="no filter 'rows_per_page'"):
            ask(rows_per_page=1)
        with pytest.raises(TypeError, match="no filter 'since'"):
            ask(since=0)


def test_what_is_excluded_and_comes_meanwhile_hides_no_message(archive: str) -> None:
    put("it", username="wiki")
    writer = psycopg2.connect(archive)
    writer.autocommit = True

    def store_more(*_: Any) -> None:
        writer.cursor().execute(
            "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg, username) "
            "VALUES (gen_random_uuid(), 0, 't', 'c', '2013-02-18', '1', 'spam')"
        )

    engine = session.get_bind()
    sa.event.listen(engine, "before_cursor_execute", store_more)
    total, pages, messages = Message.grep(not_agents=["spam"])
    sa.event.remove(engine, "before_cursor_execute", store_more)
    writer.close()
    assert total >= 1
    assert pages == 1
    assert [message.msg_id for message in messages] == ["it"]


@pytest.mark.usefixtures("archive")
def test_a_message_of_amqp_is_found_by_its_id_with_the_year_and_without() -> None:
    bare, other = "7f6de4c2-1f2b-4c84-9d1e-0b6a3a3b7c11", "2c2c2c2c-1f2b-4c84-9d1e-0b6a3a3b7c11"
    put("own", minute=0)
    for msg_id, year in ((bare, 2021), (other, 1970), ("own", 2014), ("2013-my-own", 2013)):
        line = {"id": msg_id, "topic": WIKI, "body": {}, "headers": {"sent-at": f"{year}-02-18"}}
        assert store(bound_engine(), Batch.of([parse(line)])).stored == 1, line
    for asked, stored in (
        (bare, f"2021-{bare}"),
        (f"2021-{bare}", f"2021-{bare}"),
        (other, f"1970-{other}"),
        ("2013-my-own", "2013-my-own"),
        ("2014-own", "2014-own"),
    ):
        assert names(msg_id=asked) == [stored]
        message = Message.from_msg_id(asked)
        assert message is not None
        assert message.msg_id == stored
    assert [m and m.msg_id for m in (Message.from_msg_id("own"),)] == ["own"]
    assert Message.from_msg_id(f"2022-{bare}") is None
    assert names(msg_id="none") == []


@pytest.mark.parametrize("msg_id", [5, "a\0b", ["a"]])
@pytest.mark.usefixtures("archive")
def test_an_id_that_is_no_text_is_refused(msg_id: Any) -> None:
    with pytest.raises(InvalidQuery, match="msg_id"):
        Message.from_msg_id(msg_id)
    assert Message.from_msg_id(None) is None


@pytest.mark.usefixtures("archive")
def test_a_message_without_content_of_any_kind_is_found() -> None:
    contents: list[Any] = [None, [], "", 0, {}]
    add_all([envelope(msg=value, msg_id=f"{n}") for n, value in enumerate(contents)])
    assert names() == ["0", "1", "2", "3", "4"]
    assert names(contains=["x"]) == []
