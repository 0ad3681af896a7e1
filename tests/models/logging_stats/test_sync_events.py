"""What messages about syncs of logs tell is kept in a table of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from classic import execute
from datanommer.models import add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.filtering.filters import Filters
from datanommer.models.logging_stats import history
from datanommer.models.storing.reindex import reindex
from envelopes import envelope
from shell import Run
from syncs import PREFIX, Script, moment, three_nights

COLUMNS = "kind, run_id, host, synced_host, log_date, reason"
ALL = {
    "run_id": "r",
    "host": "log01",
    "synced_host": "proxy01",
    "log_date": "2021-07-18",
    "reason": "timed out",
}
TOLD = ("host.logdate.fail.retry", *ALL.values())


def events(url: str) -> list[tuple[Any, ...]]:
    return execute(url, f"SELECT {COLUMNS} FROM sync_events ORDER BY msg")


def say(msg: Any, kind: str = "host.logdate.fail.retry") -> dict[str, Any]:
    return envelope(f"{PREFIX}.{kind}", msg=msg)


def test_a_message_is_kept_with_all_that_is_asked_of_it(archive: str) -> None:
    add_all([say(ALL)])
    assert events(archive) == [TOLD]
    assert (
        execute(
            archive,
            "SELECT timestamp, msg FROM sync_events EXCEPT SELECT timestamp, id FROM messages",
        )
        == []
    )


@pytest.mark.parametrize("size", [1, 150])
def test_a_batch_of_any_size_keeps_those_about_syncs_alone(archive: str, size: int) -> None:
    others = ["org.example.dev.demo.hello", "org.example.prod.logging.stats.debug.sync.start"]
    add_all([message for _ in range(size) for message in (say(ALL), *map(envelope, others))])
    assert events(archive) == [TOLD] * size


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("logging.stats.sync.start", "start"),
        ("org.fedoraproject.stg.logging.stats.sync.host.finish", "host.finish"),
        ("org.fedoraproject.prod.logging.stats.sync.new.thing", "new.thing"),
        ("org.fedoraproject.prod.logging.stats.sync.", None),
        ("org.fedoraproject.prod.logging.stats.sync", None),
        ("org.fedoraproject.prod.syslogging.stats.sync.start", None),
        ("org.fedoraproject.prod.logging.stats.combinehttplogs.start", None),
    ],
)
def test_the_topic_may_have_any_prefix(archive: str, topic: str, kind: str | None) -> None:
    assert add_all([envelope(topic, msg=ALL)]).stored == 1
    assert [row[0] for row in events(archive)] == ([kind] if kind else [])


def test_other_names_that_scripts_have_for_the_fields_are_known(archive: str) -> None:
    add_all([say({**ALL, "host": None, "loghost": "log02", "reason": 7, "failure": "code 5"})])
    ((_, _, host, _, _, reason),) = events(archive)
    assert (host, reason) == ("log02", "code 5")


@pytest.mark.parametrize("value", [None, 5, 1.5, True, [], ["x"], {"a": "b"}, ""])
def test_what_is_no_text_is_null(archive: str, value: Any) -> None:
    assert add_all([say(dict.fromkeys(ALL, value))]).stored == 1
    assert events(archive) == [(TOLD[0], None, None, None, None, None)]


@pytest.mark.parametrize("msg", [None, "text", [1], 7, {}, "\0"])
def test_content_of_any_kind_is_stored_and_tells_nothing(archive: str, msg: Any) -> None:
    assert add_all([say(msg)]).stored == 1
    assert events(archive) == [(TOLD[0], None, None, None, None, None)]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a\0b", "a\\x00b"),
        ("a\ud800b", "a\\ud800b"),
        ("x" * 5000, "x" * 1024),
        ("\0" * 5000, "\\x00" * 256),
        ("é" * 5000, "é" * 512),
        ("x" + "\N{SNOWMAN}" * 5000, "x" + "\N{SNOWMAN}" * 341),
        ("a\tb\\N\n", "a\tb\\N\n"),
    ],
)
def test_text_of_any_kind_is_made_fit_and_the_message_stays_as_it_was(
    archive: str, value: str, kept: str
) -> None:
    for number in range(2):
        # Both ways in, of a small batch and of a large one.
        assert (
            add_all([say(dict.fromkeys(ALL, value)) for _ in range(1 + 150 * number)]).rejected == 0
        )
    assert set(events(archive)) == {(TOLD[0], *[kept] * 5)}
    ((msg,),) = execute(archive, "SELECT DISTINCT msg::text FROM messages")
    assert json.loads(msg)["run_id"] == value


def test_the_same_message_again_tells_nothing_new(archive: str) -> None:
    message = say(ALL)
    add_all([message])
    add_all([message, say(ALL)])
    assert len(events(archive)) == 2


def test_a_message_that_is_deleted_takes_its_event_along(archive: str) -> None:
    add_all([say(ALL)])
    execute(archive, "DELETE FROM messages")
    assert events(archive) == []


class TestReindexing:
    def test_reads_anew_what_is_stored_already(self, archive: str, run: Run) -> None:
        add_all([*three_nights(), envelope(), say(None), say("\0")])
        before = execute(archive, "SELECT * FROM sync_events ORDER BY msg")
        execute(
            archive,
            "DELETE FROM sync_events WHERE msg % 2 = 0;"
            "UPDATE sync_events SET reason = 'wrong' WHERE msg % 3 = 0;"
            "UPDATE sync_events SET timestamp = timestamp + interval '1 s' WHERE msg % 7 = 0",
        )
        for changed in (len([row for row in before if any(row[0] % n == 0 for n in (2, 3, 7))]), 0):
            result = run("datanommer-reindex", "--category", "logging", "--url", archive)
            said = f"messages {len(before)}, changed {changed}\n"
            assert (result.returncode, result.stdout) == (0, said)
            assert execute(archive, "SELECT * FROM sync_events ORDER BY msg") == before

    def test_takes_content_that_an_upgrade_carried_over_and_python_cannot_read(
        self, archive: str
    ) -> None:
        add_all([say(ALL)])
        execute(archive, "UPDATE messages SET msg = %s::json", ["9" * 5000])
        assert [progress.changed for progress in reindex(bound_engine(), Filters())] == [1]
        assert events(archive) == [(TOLD[0], None, None, None, None, None)]

    def test_it_is_known_whether_there_is_need_for_it(self, archive: str) -> None:
        assert history.is_filled(bound_engine())
        add_all([envelope()])
        assert history.is_filled(bound_engine())
        add_all(Script("r", moment(2021, 7, 19)).say("start").sent)
        execute(archive, "DELETE FROM sync_events")
        assert not history.is_filled(bound_engine())
        add_all(Script("r", moment(2021, 7, 20)).say("finish").sent)
        assert not history.is_filled(bound_engine())
        list(reindex(bound_engine(), Filters()))
        assert history.is_filled(bound_engine())
