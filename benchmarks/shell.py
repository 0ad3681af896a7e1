"""What people ask -grep, -show, -stats and -report at the shell, each time in a new process."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from benchmarks import grep
from benchmarks.generator import UNKNOWN, Bus
from benchmarks.measure import Figure, alternate, percentile, run, seconds
from benchmarks.setting import Setting, bound
from datanommer.models import Message, add
from datanommer.models.counting.activity import count_by
from datanommer.models.database.binding import bound_engine
from datanommer.models.filtering.filters import Filters

_PEER = "the start-up of datanommer-latest"
#: The options for the filters of `datanommer.models.Message.grep`.
_OPTIONS = {
    "topics": "--topic",
    "categories": "--category",
    "users": "--user",
    "packages": "--package",
    "not_users": "--not-user",
    "start": "--since",
    "end": "--before",
}
_YEAR = (datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 12, 31, 23, 59, 59, 999999, UTC))
_DURING_THE_YEAR = ("--since", "2023", "--before", "2023")
_BY_DAY = (
    "SELECT date_trunc('day', timestamp, 'UTC') AS day, count(*) FROM messages "
    "WHERE timestamp >= '2023-01-01Z' AND timestamp < '2024-01-01Z' AND {where} "
    "GROUP BY day ORDER BY day"
)
_BUSIEST = "the busiest user"
_BUSIEST_TOPIC = "SELECT topic, category FROM topics ORDER BY messages DESC LIMIT 1"
_USERS = """
    SELECT (array_agg(name ORDER BY number DESC) FILTER (WHERE number <= 100000))[1],
        (array_agg(name ORDER BY number DESC))[1]
    FROM (SELECT name, count(*) AS number FROM user_messages GROUP BY name) AS counted
"""
#: What a report spends most of its time on.
_COUNTED = "".join(
    f"SELECT name, count(*) AS n FROM {table} GROUP BY name ORDER BY n DESC LIMIT 10;"
    for table in ("user_messages", "package_messages")
)
_RATE = 10  # messages a second
_FOLLOWED = 300


def first_line(setting: Setting) -> Iterator[Figure]:
    """From the start of datanommer-grep to its first line, beside psql with the same question."""
    url = setting.filled
    with bound(url):
        for what, make in grep.questions(setting).items():
            filters = make(random.Random(what))
            asked = ["datanommer-grep", "--url", url, *_options(filters)]
            times = alternate(
                setting.rounds,
                {
                    "start": lambda: _until_first_line("datanommer-latest", "--url", url),
                    "json": lambda: _until_first_line(*asked, "--format", "ndjson"),  # noqa: B023
                    "text": lambda: _until_first_line(*asked),  # noqa: B023
                    "psql": lambda: _until_first_line(*_psql(url, filters)),  # noqa: B023
                },
            )
            start, psql = times["start"] * 1e3, times["psql"] * 1e3
            for form, most in (("json", 1.5), ("text", 2)):
                name = f"first line of grep, {what}, {form}"
                yield Figure(name, times[form] * 1e3, "ms", _PEER, start, at_most=most)
            yield Figure(f"first line of psql, {what}", psql, "ms", _PEER, start)


def search(setting: Setting) -> Iterator[Figure]:
    """How many messages datanommer-grep reads for what no index has, beside psql with the same."""
    url = setting.filled
    like = "SELECT count(*) FROM messages WHERE msg::text LIKE '%no message says this%'"
    asked = {
        "--contains": ["--contains", "no message says this"],
        "--field, of a key that none has": ["--field", "no.message.has=this"],
        "--field, of a key that all have": ["--field", "new=-1"],
    }
    with bound(url):
        ways = {
            what: lambda options=options: (
                run(  # type: ignore[misc]
                    "datanommer-grep", "--url", url, "--count", *options
                ).seconds
            )
            for what, options in asked.items()
        }
        psql = lambda: run("psql", "--no-psqlrc", "-At", url, "-c", like).seconds  # noqa: E731
        times = alternate(setting.rounds, {**ways, "psql": psql})
    bare = setting.messages / times.pop("psql")
    for what, took in times.items():
        yield Figure(f"grep {what}", setting.messages / took, "messages/s", "psql, LIKE", bare)


def activity(setting: Setting) -> Iterator[Figure]:
    """datanommer-stats --by day of a year, beside psql with the same question."""
    url = setting.filled
    with bound(url) as connection:
        engine = bound_engine()
        for what, (options, where) in _activities(connection).items():
            filters = Filters.of_options(*_YEAR, **{f: [name] for f, name in options.items()})
            command = ["datanommer-stats", "--url", url, "--by", "day", *_DURING_THE_YEAR]
            for name, value in options.items():
                command += [_OPTIONS[name], value]
            psql = ["psql", "--no-psqlrc", "-At", url, "-c", _BY_DAY.format(where=where)]
            times = alternate(
                setting.rounds,
                {
                    "query": lambda: seconds(lambda: count_by(engine, "day", filters)),  # noqa: B023
                    "command": lambda: run(*command).seconds,  # noqa: B023
                    "psql": lambda: run(*psql).seconds,  # noqa: B023
                },
            )
            query, whole, peer = (times[name] * 1e3 for name in ("query", "command", "psql"))
            yield Figure(
                f"the query for a year by day, {what}",
                *(query, "ms", "psql", peer),
                limit=None if what == _BUSIEST else 100,
            )
            yield Figure(f"datanommer-stats, a year by day, {what}", whole, "ms", "psql", peer)


def report(setting: Setting) -> Iterator[Figure]:
    """datanommer-report of all messages, beside psql that counts users and packages alone."""
    url = setting.filled
    # By default it shows the last year, in which this bus has been silent.
    command = ["datanommer-report", "--url", url, "--since", "1970", "-"]
    times = alternate(
        setting.rounds,
        {
            "report": lambda: run(*command).seconds,
            "psql": lambda: run("psql", "--no-psqlrc", "-At", url, "-c", _COUNTED).seconds,
        },
    )
    peer = "psql, users and packages alone"
    yield Figure("datanommer-report", times["report"], "s", peer, times["psql"], limit=10)


def _activities(connection: sa.Connection) -> dict[str, tuple[dict[str, str], str]]:
    """What is asked for: the filters, and the same in SQL."""
    topic, category = connection.execute(sa.text(_BUSIEST_TOPIC)).one()
    user, busiest = connection.execute(sa.text(_USERS)).one()
    of_user = "id IN (SELECT msg FROM user_messages WHERE name = '{}')"
    return {
        "all": ({}, "true"),
        "a category": ({"categories": category}, f"category = '{category}'"),
        "a topic": ({"topics": topic}, f"topic = '{topic}'"),
        "a user of up to 100,000 messages": ({"users": user}, of_user.format(user)),
        _BUSIEST: ({"users": busiest}, of_user.format(busiest)),
    }


def show(setting: Setting) -> Iterator[Figure]:
    """datanommer-show of a message, by its id and by the UUID in it."""
    url = setting.filled
    with bound(url) as connection:
        msg_id = connection.scalar(sa.select(Message.msg_id).order_by(Message.id.desc()).limit(1))
    assert msg_id
    times = alternate(
        setting.rounds,
        {
            "start": lambda: run("datanommer-latest", "--url", url, "--overall").seconds,
            "an id": lambda: _show(url, msg_id),
            "a UUID": lambda: _show(url, msg_id.partition("-")[2]),
        },
    )
    start = times.pop("start") * 1e3
    for what, took in times.items():
        yield Figure(f"datanommer-show, {what}", took * 1e3, "ms", _PEER, start, at_most=1.5)


def follow(setting: Setting) -> Iterator[Figure]:
    """From the commit of a message to the line of datanommer-grep --follow."""
    with setting.empty() as url:
        command = [_installed("datanommer-grep"), "--url", url, "--follow"]
        options = ["--format", "ndjson", "--fields", "msg_id"]
        with subprocess.Popen(  # noqa: S603  a program of ours
            [*command, *options], stdout=subprocess.PIPE, text=True
        ) as follower:
            seen: dict[str, float] = {}
            reader = threading.Thread(target=_read, args=(follower, seen))
            reader.start()
            stored = _store(seen)
            follower.terminate()
            reader.join()
    took = [seen[line] - moment for line, moment in stored.items()]
    for percent in (50, 99):
        yield Figure(
            f"from commit to line of grep --follow, {_RATE}/s, p{percent}",
            *(percentile(took, percent) * 1e3, "ms"),
            limit=200 if percent == 99 else None,  # noqa: PLR2004
        )


def _store(seen: dict[str, float]) -> dict[str, float]:
    """Store messages until all are seen; when each was committed, by its line."""
    stored = {}
    for number, envelope in enumerate(Bus(2 * _FOLLOWED, prefix=UNKNOWN).envelopes()):
        add(envelope)
        # Measured only once the follower has started and seen one.
        if seen:
            stored[f'{{"msg_id": "{envelope["body"]["msg_id"]}"}}'] = time.perf_counter()
        if number == _FOLLOWED:
            break
        time.sleep(1 / _RATE)
    while stored.keys() - seen.keys():
        time.sleep(1 / _RATE)
    return stored


def _read(follower: subprocess.Popen[str], seen: dict[str, float]) -> None:
    assert follower.stdout
    for line in follower.stdout:
        seen[line.rstrip()] = time.perf_counter()


def _show(url: str, name: str) -> float:
    return run("datanommer-show", "--url", url, "--format", "json", name).seconds


def _options(filters: dict[str, Any]) -> Iterator[str]:
    for name, values in filters.items():
        for value in values if isinstance(values, list) else [values.isoformat()]:
            yield from (_OPTIONS[name], value)


def _psql(url: str, filters: dict[str, Any]) -> list[str]:
    query = grep.where(sa.select(Message.__table__), filters)
    query = query.order_by(Message.timestamp, Message.id).limit(100)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    sql = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return ["psql", "--no-psqlrc", "-At", url, "-c", str(sql)]


def _until_first_line(*command: str) -> float:
    """How long it takes from the start of a process to its first line, or its end."""
    start = time.perf_counter()
    with (
        subprocess.Popen(  # noqa: S603  a program of ours or psql
            [_installed(command[0]), *command[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process
    ):
        assert process.stdout
        process.stdout.readline()
        took = time.perf_counter() - start
        process.kill()
    return took


def _installed(command: str) -> str:
    """The path of a program that is installed beside this Python, or else its name."""
    beside = Path(sys.executable).with_name(command)
    return str(beside) if beside.exists() else command
