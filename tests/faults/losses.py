"""What ``kill -9`` of a hub costs: the messages that were in its memory alone.

``python -m tests.faults.losses [RUNS]`` prints, for a rate of messages and an idle or a busy
database, how many messages were lost of those that were published before the kill, and of those
that the hub had received.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the modules of the tests

import psycopg2

from .scene import Database, Scene
from .server import Server
from .verdict import judge

_RATES = (10, 100, 1000)
_WORK = """
    INSERT INTO busy SELECT n, md5(n::text) FROM generate_series(1, 20000) n ORDER BY md5(n::text)
"""


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    choice = random.Random(0)
    with contextlib.closing(Server()) as server:
        for is_busy in (False, True):
            for rate in _RATES:
                lost = [_kill(server, rate, is_busy, choice) for _ in range(runs)]
                published, received = zip(*lost, strict=True)
                state = "busy" if is_busy else "idle"
                sys.stdout.write(
                    f"{rate} msg/s, {state} database: lost of the published {list(published)}, "
                    f"of the received {list(received)}\n"
                )
                sys.stdout.flush()


def _kill(server: Server, rate: int, is_busy: bool, choice: random.Random) -> tuple[int, int]:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    with contextlib.closing(Database(server)) as database:
        scene = Scene(database, folder, choice.randrange(2**32))
        with contextlib.closing(scene), _load(database) if is_busy else contextlib.nullcontext():
            scene.start_hub()
            scene.stream.start(rate)
            time.sleep(choice.uniform(2, 4))
            published = list(scene.stream.published)
            scene.hub.kill()
            scene.stream.stop()
            of_published = judge(published, database.own_url, [scene.spool])
            of_received = scene.judge(only_received=True)
    shutil.rmtree(folder)
    return of_published.lost, of_received.lost


@contextlib.contextmanager
def _load(database: Database) -> Iterator[None]:
    """Two other sessions that write all the time."""
    database.execute("CREATE UNLOGGED TABLE IF NOT EXISTS busy (n int, t text)")
    database.execute("ALTER TABLE busy SET LOGGED")
    ends = threading.Event()

    def work() -> None:
        connection = psycopg2.connect(database.own_url)
        connection.autocommit = True
        while not ends.is_set():
            connection.cursor().execute(_WORK)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ends.set()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main()
