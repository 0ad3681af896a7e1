"""What people ask at the shell: the newest message, and how many there are."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from benchmarks import startup
from benchmarks.generator import CATEGORIES
from benchmarks.measure import Figure, alternate, run, seconds
from benchmarks.setting import Setting, bound
from datanommer.models.counting.activity import count_by
from datanommer.models.database.binding import bound_engine
from datanommer.models.filtering.filters import Filters
from datanommer.models.finding import latest

_REPEATED = 50
_MOST_START_ROUNDS = 15
_LOOK_UP = sa.text(
    "SELECT timestamp, id FROM messages WHERE category = :category "
    "ORDER BY timestamp DESC, id DESC LIMIT 1"
)
_CLASSIC_COUNTS = "SELECT topic, count(*) FROM messages GROUP BY topic ORDER BY count(*) DESC"
_PEER = "an index-only look-up"


def latest_and_stats(setting: Setting) -> Iterator[Figure]:
    """The time of the queries of datanommer-latest and -stats, over a look into an index."""
    choice = random.Random(setting.messages)
    topics, categories = setting.bus.topics, CATEGORIES
    with bound(setting.filled) as connection:
        engine = bound_engine()
        asked: dict[str, Callable[[], object]] = {
            "latest, of each category": lambda: latest.of_each_category(engine),
            "latest, overall": lambda: latest.newest(engine, Filters()),
            "latest, of a category": lambda: latest.newest(
                engine, Filters(categories=(choice.choice(categories),))
            ),
            "latest, of a topic": lambda: latest.newest(
                engine, Filters(topics=(choice.choice(topics),))
            ),
            "latest, of an absent topic": lambda: latest.newest(
                engine, Filters(topics=("org.example.none",))
            ),
            "stats, by category": lambda: count_by(engine, "category", Filters()),
            "stats, by topic": lambda: count_by(engine, "topic", Filters()),
            "stats, by topic of a category": lambda: count_by(
                engine, "topic", Filters(categories=(choice.choice(categories),))
            ),
            _PEER: lambda: connection.execute(
                _LOOK_UP, {"category": choice.choice(categories)}
            ).all(),
        }
        times = alternate(setting.rounds, {name: _repeated(ask) for name, ask in asked.items()})
        classic = seconds(lambda: connection.execute(sa.text(_CLASSIC_COUNTS)).all())
    look_up = times.pop(_PEER)
    for name, took in times.items():
        yield Figure(name, took * 1e3, "ms", _PEER, look_up * 1e3, limit=10)
    yield Figure(
        "stats, by topic", times["stats, by topic"] * 1e3, "ms", "GROUP BY topic", classic * 1e3
    )


def start_up(setting: Setting) -> Iterator[Figure]:
    """datanommer-latest in a process of its own, over the least program that does as much."""
    with (
        setting.empty() as url,
        tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as file,
    ):
        file.write(f'config = {{"datanommer.sqlalchemy.url": "{url}", "endpoints": {{}}}}\n')
        file.flush()
        times = alternate(
            max(setting.rounds, _MOST_START_ROUNDS),
            {
                "url": lambda: run("datanommer-latest", "--url", url).seconds,
                "file": lambda: run("datanommer-latest", "--config-filename", file.name).seconds,
                "peer": lambda: run(*startup.peer(url)).seconds,
                "peer with file": lambda: run(*startup.peer(url, file.name)).seconds,
            },
        )
    for what, ours, peer, bare in (
        ("--url", "url", startup.PEER, "peer"),
        ("--config-filename", "file", startup.PEER_WITH_CONFIG, "peer with file"),
    ):
        name = f"datanommer-latest {what}"
        yield Figure(name, times[ours] * 1e3, "ms", peer, times[bare] * 1e3, at_most=1.1)


def _repeated(ask: Callable[[], object]) -> Callable[[], float]:
    """A function that asks several times, and returns the median in seconds."""
    return lambda: statistics.median(seconds(ask) for _ in range(_REPEATED))
