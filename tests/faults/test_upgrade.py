"""Nothing is lost while the database of a hub is upgraded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

import classic
from bus import eventually
from datanommer import models
from shell import Run

from .scene import Database, Scene
from .server import Server

pytestmark = pytest.mark.faults

INI = Path(models.__file__).with_name("alembic.ini")
STEPS = len(list(ScriptDirectory.from_config(Config(str(INI))).walk_revisions()))
RATE = 200  # messages a second
ARCHIVE = 100_000


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A hub whose database is empty."""
    server = Server()
    database = Database(server, is_empty=True)
    scene = Scene(database, tmp_path)
    yield scene
    scene.close()
    database.close()
    server.close()


def upgrade(scene: Scene, run: Run) -> bool:
    """Run one step, as an admin does; False if there is none left."""
    return migrate(scene, run, "upgrade", "+1")


def migrate(scene: Scene, run: Run, *arguments: str) -> bool:
    url = f"url={scene.database.url}"
    done = run("alembic", "-x", url, *arguments, cwd=INI.parent)
    assert done.returncode == 0 or "fully upgraded" in done.stderr, done.stderr
    return done.returncode == 0


def fill(scene: Scene, number: int) -> None:
    """Make a classic archive."""
    classic.make(scene.database.url)
    classic.execute(
        scene.database.url,
        """
        INSERT INTO messages (msg_id, i, topic, timestamp, category, _msg)
        SELECT '2013-' || n, n, 'org.example.prod.git.' || n %% 50,
            timestamp '2013-01-01' + n * interval '1 s', 'git', '{"n": ' || n || '}'
        FROM generate_series(1, %s) n
        """,
        [number],
    )


def wait_until_spooled(scene: Scene, number: int) -> None:
    eventually(lambda: scene.count_spooled() == number, f"{number} messages to wait")


def require_all_stored(scene: Scene, classic_messages: int) -> None:
    eventually(lambda: not scene.count_spooled(), "the spool to be drained")
    found = classic.execute(
        scene.database.own_url,
        "WITH gone AS (DELETE FROM messages WHERE stored_at IS NULL RETURNING 1) "
        "SELECT count(*) FROM gone",
    )
    assert found == [(classic_messages,)]
    scene.wait_until_stored()
    verdict = scene.judge()
    assert verdict.is_clean, (str(verdict), scene.hub.log)
    assert (verdict.spooled, verdict.misplaced) == (0, 0), (str(verdict), scene.hub.log)


def test_a_hub_hears_and_spools_while_a_classic_archive_is_upgraded(scene: Scene, run: Run) -> None:
    fill(scene, ARCHIVE)
    hub = scene.start_hub()
    scene.stream.start(RATE)
    steps = 0
    while upgrade(scene, run):
        steps += 1
    assert steps == STEPS - 1  # the first is that of the classic line
    assert hub.is_alive
    scene.stream.stop()
    require_all_stored(scene, ARCHIVE)
    assert len(scene.stream.published) > 5 * RATE
    assert "Traceback" not in hub.log
    assert "does not take messages" not in hub.log


def test_a_hub_that_starts_at_any_revision_hears_and_spools(scene: Scene, run: Run) -> None:
    fill(scene, 100)
    for step in range(1, STEPS):
        hub = scene.start_hub()
        assert "behind this version of datanommer" in hub.log
        scene.stream.publish(10)
        wait_until_spooled(scene, step * 10)
        scene.stop_hub()
        assert upgrade(scene, run)
    scene.start_hub()
    scene.stream.publish(10)
    require_all_stored(scene, 100)


def test_a_hub_loses_nothing_while_its_database_is_downgraded_and_upgraded_again(
    scene: Scene, run: Run
) -> None:
    assert migrate(scene, run, "upgrade", "head")
    hub = scene.start_hub()
    scene.stream.start(RATE)
    assert migrate(scene, run, "downgrade", "d05b3e817f42")
    assert scene.wait_until_spooling()
    assert migrate(scene, run, "upgrade", "head")
    scene.stream.stop()
    require_all_stored(scene, 0)
    assert hub.is_alive
    assert "Traceback" not in hub.log
    topics = classic.execute(scene.database.own_url, "SELECT sum(messages) FROM topics")
    assert topics == [(len(scene.stream.published),)]
