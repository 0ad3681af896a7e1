"""Nothing is lost, and nothing invented, whatever happens to the database and to the hub."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import datanommer.models
from bus import eventually
from datanommer.models.database.binding import bound_engine
from datanommer.models.spooling.spool import Spool
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, received
from services import leave_out, need_broker

from . import fault, spool_fault
from .fault import FAULTS, Fault
from .roads import ROADS
from .scene import Database, Scene
from .server import Server
from .spool_fault import SpoolFault
from .verdict import judge

pytestmark = pytest.mark.faults

RATE = 200  # messages a second
LONG = 2.0  # seconds that a fault lasts
LONGER = 4.0  # seconds; a lock that is held is waited for
#: What the hub waits for when it lasts no longer.
BRIEF = (fault.slow, fault.hanging, fault.silent)
FLOOD = 20_000  # messages at once
MORE_THAN_IT_READS = 10_000  # messages a second, which a hub does not read beside its publisher
LONGEST_END = 10.0  # seconds
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    database = Database(postgres)
    yield database
    database.close()


@pytest.fixture
def scene(database: Database, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(database, tmp_path)
    yield scene
    scene.close()


def test_the_verdict_sees_what_is_lost_changed_invented_and_out_of_order(
    database: Database, tmp_path: Path
) -> None:
    good, changed, lost, late, invented = (envelope() for _ in range(5))
    rejected, spooled = envelope(i=2**64), envelope()
    datanommer.models.init(database.own_url)
    stored_changed = {**changed, "body": {**changed["body"], "username": "somebody else"}}
    datanommer.models.add_all([late, good, stored_changed, invented, rejected])
    datanommer.models.session.remove()
    bound_engine().dispose()
    Spool(tmp_path, min_free_bytes=0).put([received(spooled)])

    verdict = judge([good, changed, lost, late, rejected, spooled], database.own_url, [tmp_path])
    assert (verdict.published, verdict.lost, verdict.invented, verdict.misplaced) == (6, 1, 2, 1)
    assert (verdict.stored, verdict.rejected, verdict.spooled) == (3, 1, 1)
    assert not verdict.is_clean
    assert not verdict.is_prefix


@pytest.mark.parametrize("what", FAULTS.values(), ids=FAULTS.keys())
def test_a_steady_stream_is_stored_in_order_whatever_happens_to_the_database(
    scene: Scene, what: Fault
) -> None:
    scene.start_hub()
    scene.stream.start(RATE)
    time.sleep(0.5)
    with what(scene.database):
        time.sleep(LONGER if what is fault.locked else LONG)
    time.sleep(0.5)
    scene.stream.stop()
    _require_all_stored(scene)
    assert scene.database.proxy.has_cut
    assert "Traceback" not in scene.hub.log
    if what not in BRIEF:
        assert "The database does not take messages" in scene.hub.log


@pytest.mark.parametrize("what", [fault.hanging, fault.silent])
def test_messages_go_into_the_spool_while_the_database_says_nothing(
    scene: Scene, what: Fault
) -> None:
    scene.start_hub()
    scene.stream.publish(10)
    scene.wait_until_stored()
    with what(scene.database):
        scene.stream.start(RATE)
        assert scene.wait_until_spooling(10), scene.hub.log
        time.sleep(4)
        scene.stream.stop()
    _require_all_stored(scene)


def test_a_steady_stream_is_stored_when_the_disk_of_the_database_has_room_again(
    tmp_path: Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that is small enough to fill")
    try:
        server = Server(has_own_disk=True)
    except OSError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    with contextlib.closing(server), contextlib.closing(Database(server)) as database:
        scene = Scene(database, tmp_path)
        with contextlib.closing(scene):
            scene.start_hub()
            scene.stream.start(RATE)
            with fault.full(database):
                assert scene.wait_until_spooling(), scene.hub.log
                time.sleep(2)
            time.sleep(0.5)
            scene.stream.stop()
            _require_all_stored(scene)


def test_a_server_that_need_not_wait_for_its_disk_loses_nothing_when_it_is_killed(
    scene: Scene,
) -> None:
    server, name = scene.database.server, scene.database.name
    server.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
    server.execute("SELECT pg_reload_conf()")
    server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    scene.start_hub()
    scene.stream.start(RATE)
    for _ in range(2):
        time.sleep(1.5)
        with fault.killed(scene.database):
            pass
    scene.stream.stop()
    _require_all_stored(scene)
    server.execute("ALTER SYSTEM RESET wal_writer_delay")


def test_a_database_that_comes_and_goes_fills_no_log(scene: Scene) -> None:
    scene.start_hub()
    scene.stream.start(RATE)
    for _ in range(15):
        time.sleep(0.2)
        with fault.ended(scene.database):
            pass
    scene.stream.stop()
    _require_all_stored(scene)
    scene.stop_hub()
    told = [line for line in scene.hub.log.splitlines() if "spooler" in line]
    # Each cause may have a line of its own, and one that sums it up.
    assert 2 <= len(told) <= 14, scene.hub.log


def test_what_the_spool_has_no_room_for_waits_in_memory(database: Database, tmp_path: Path) -> None:
    scene = Scene(database, tmp_path, config={"datanommer.spool_max_bytes": 200_000})
    with contextlib.closing(scene):
        scene.start_hub()
        with fault.stopped(database):
            scene.stream.start(RATE)
            scene.hub.wait_until_it_says("CRITICAL")
            time.sleep(2)
            scene.stream.stop()
            scene.wait_until_received()
        _require_all_stored(scene)
        assert scene.hub.log.count("CRITICAL") == 1
        assert "datanommer.spool_max_bytes" in scene.hub.log
        assert scene.hub.log.count("Messages go into the database again") == 1


@pytest.mark.parametrize("what", [fault.stopped, fault.locked])
def test_what_neither_the_spool_nor_the_database_takes_is_counted_at_the_end(
    database: Database, tmp_path: Path, what: Fault
) -> None:
    config = {"datanommer.spool_max_bytes": 1, "datanommer.batch_size": 10}
    scene = Scene(database, tmp_path, config=config)
    with contextlib.closing(scene):
        scene.start_hub()
        with what(database):
            scene.stream.publish(50)
            scene.hub.wait_until_it_says("Messages wait in memory only")
            scene.wait_until_received()
            assert scene.stop_hub() < LONGEST_END, scene.hub.log
        assert "50 were lost in all" in scene.hub.log, scene.hub.log
        assert "go into the database again" not in scene.hub.log, scene.hub.log
        assert scene.judge().lost == 50


@pytest.mark.parametrize(
    ("number", "what"),
    [
        *itertools.product(SIGNALS, (None, fault.stopped)),
        (signal.SIGTERM, fault.hanging),
        (signal.SIGTERM, fault.silent),
    ],
)
def test_an_idle_hub_that_is_told_to_end_keeps_what_it_received(
    scene: Scene, number: signal.Signals, what: Fault | None
) -> None:
    scene.start_hub()
    scene.stream.publish(20)
    scene.wait_until_stored()
    with what(scene.database) if what else contextlib.nullcontext():
        scene.stream.publish(50)
        scene.wait_until_received()
        assert scene.stop_hub(number) < LONGEST_END, scene.hub.log
    verdict = scene.judge()
    assert verdict.is_clean, (str(verdict), scene.hub.log)
    # What the database had under way may have come after all.
    assert verdict.stored >= (70 if what is None else 20)


@pytest.mark.parametrize(
    ("number", "what"),
    [
        *itertools.product(SIGNALS, (None, fault.stopped)),
        (signal.SIGTERM, fault.hanging),
        (signal.SIGTERM, fault.locked),
    ],
)
def test_a_hub_that_is_told_to_end_under_a_flood_keeps_all_that_it_received(
    scene: Scene, number: signal.Signals, what: Fault | None
) -> None:
    scene.start_hub()
    scene.stream.publish(20)
    scene.wait_until_stored()
    with what(scene.database) if what else contextlib.nullcontext():
        scene.stream.publish(FLOOD)
        eventually(lambda: len(scene.received()) > 1000, "the flood to arrive")
        assert scene.stop_hub(number) < LONGEST_END, scene.hub.log
    _require_all_received_kept(scene)
    # The hub has cut its work with the database itself, which is nobody's fault.
    if what is None:
        assert "does not take messages" not in scene.hub.log
        assert "messages wait in the spool: " not in scene.hub.log


@pytest.mark.parametrize("is_blocking", [False, True])
def test_a_hub_that_is_told_to_end_while_the_bus_goes_on_keeps_all_that_it_received(
    database: Database, tmp_path: Path, is_blocking: bool
) -> None:
    scene = Scene(database, tmp_path, config={"moksha.blocking_mode": is_blocking})
    with contextlib.closing(scene):
        scene.start_hub()
        scene.stream.start(MORE_THAN_IT_READS)
        eventually(lambda: len(scene.received()) > 20, "the flood to arrive")
        assert scene.stop_hub(signal.SIGTERM) < LONGEST_END, scene.hub.log
        scene.stream.stop()
        _require_all_received_kept(scene)


def test_a_hub_that_is_told_to_end_twice_keeps_all_that_it_received(scene: Scene) -> None:
    scene.start_hub()
    scene.stream.publish(FLOOD)
    eventually(lambda: len(scene.received()) > 1000, "the flood to arrive")
    scene.hub.send(signal.SIGINT)
    time.sleep(0.3)
    assert scene.stop_hub(signal.SIGINT) < LONGEST_END, scene.hub.log
    _require_all_received_kept(scene)


def test_a_hub_that_was_killed_stores_first_what_waited_in_its_spool(scene: Scene) -> None:
    scene.start_hub()
    with fault.stopped(scene.database):
        scene.stream.publish(5000)
        scene.wait_until_received()
        eventually(lambda: scene.count_spooled() == 5000, "everything to be on the disk")
        scene.hub.kill()
        scene.start_hub()
        scene.stream.publish(500)
        scene.wait_until_received()
    _require_all_stored(scene)


def test_a_hub_that_is_killed_while_it_drains_stores_everything_once(scene: Scene) -> None:
    scene.start_hub()
    with fault.stopped(scene.database):
        scene.stream.publish(5000)
        scene.wait_until_received()
        eventually(lambda: scene.count_spooled() == 5000, "everything to be on the disk")
    for _ in range(3):
        eventually(lambda: scene.count_spooled() < 5000, "the spool to be drained")
        scene.hub.kill()
        scene.start_hub()
    _require_all_stored(scene)


def test_a_hub_that_is_killed_loses_only_what_is_in_its_memory(scene: Scene) -> None:
    scene.start_hub()
    scene.stream.start(RATE)
    time.sleep(2)
    scene.hub.kill()
    scene.stream.stop()
    verdict = scene.judge(only_received=True)
    assert verdict.is_prefix
    assert (verdict.invented, verdict.duplicates) == (0, 0)
    assert verdict.lost <= RATE  # a second's worth at most; it is a few (see losses.py)


def test_two_hubs_store_the_same_messages_once(postgres: Server, tmp_path: Path) -> None:
    with _pair(postgres, tmp_path) as (one, other):
        messages = [envelope(BODHI_TOPIC, msg=BODHI_MSG) for _ in range(3000)]
        choice = random.Random(1)
        for scene in (one, other):
            scene.start_hub()
        for scene in (one, other):
            scene.stream.send(choice.sample(messages, len(messages)))
        for scene in (one, other):
            scene.wait_until_received()
        for scene in (one, other):
            scene.wait_until_stored()
            scene.stop_hub()
        _require_all_stored_of_both(one, other)


def test_when_either_of_two_hubs_is_killed_nothing_is_lost(
    postgres: Server, tmp_path: Path
) -> None:
    choice = random.Random(2)
    with _pair(postgres, tmp_path) as (one, other):
        for scene in (one, other):
            scene.start_hub()
        for _ in range(4):
            victim, survivor = choice.sample((one, other), 2)
            messages = [envelope(msg={"n": choice.random()}) for _ in range(300)]
            kill_at = choice.randrange(300)
            for place, message in enumerate(messages):
                survivor.stream.send([message])
                if place <= kill_at:
                    victim.stream.send([message])
                if place == kill_at:
                    victim.hub.kill()
                time.sleep(0.002)
            victim.start_hub()
        survivor.wait_until_stored()
        _require_all_stored_of_both(one, other)


def test_a_flood_of_nothing_but_poison_neither_ends_the_hub_nor_fills_its_log(
    database: Database, tmp_path: Path
) -> None:
    scene = Scene(database, tmp_path, poison=1.0)
    with contextlib.closing(scene):
        scene.start_hub()
        scene.stream.publish(10_000)
        scene.wait_until_stored()
        verdict = scene.judge()
        assert verdict.is_clean, str(verdict)
        assert verdict.rejected == 10_000
        assert len(scene.hub.log) < 50_000
        good = envelope()
        scene.stream.send([good])
        scene.wait_until_stored()
        assert scene.judge().stored == 1


def test_a_batch_with_poison_in_it_stores_the_rest(database: Database, tmp_path: Path) -> None:
    scene = Scene(database, tmp_path, poison=0.05)
    with contextlib.closing(scene):
        scene.start_hub()
        with fault.stopped(database):
            scene.stream.publish(1000)
            scene.wait_until_received()
        scene.wait_until_stored()
        verdict = scene.judge()
        assert verdict.is_clean, str(verdict)
        assert 20 < verdict.rejected < 100
        assert verdict.stored + verdict.rejected == 1000


@pytest.mark.parametrize(
    ("what", "is_killed"),
    [
        (spool_fault.page_damaged, True),
        (spool_fault.file_truncated, False),
        (spool_fault.folder_gone, True),
    ],
)
def test_what_can_be_read_of_a_spool_is_stored_and_the_rest_is_told(
    scene: Scene, what: SpoolFault, is_killed: bool
) -> None:
    choice = random.Random(what.__name__)
    scene.start_hub()
    with fault.stopped(scene.database):
        scene.stream.start(RATE)
        eventually(lambda: scene.count_spooled() > 300, "messages to wait")
        with what(scene, choice):
            time.sleep(1)
        if is_killed:
            scene.stream.stop()
            scene.wait_until_received()
            time.sleep(1)  # until nothing is in its memory alone
            scene.hub.kill()
            scene.start_hub()
            scene.stream.start(RATE)
        time.sleep(1)
    scene.stream.stop()
    scene.wait_until_stored()
    verdict = scene.judge()
    assert verdict.is_told(), (str(verdict), scene.hub.log)
    assert (verdict.spooled, verdict.misplaced) == (0, 0), (str(verdict), scene.hub.log)
    assert (verdict.lost > 0) == ("all that waited is stored" not in scene.hub.log)
    good = envelope()
    scene.stream.send([good])
    scene.wait_until_stored()
    assert scene.judge().stored == verdict.stored + 1


def test_what_a_full_disk_of_the_spool_does_not_take_waits_in_memory(
    database: Database, tmp_path: Path
) -> None:
    try:
        scene = Scene(database, tmp_path, has_own_disk=True)
    except OSError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    with contextlib.closing(scene):
        scene.start_hub()
        with fault.stopped(database):
            scene.stream.start(RATE)
            assert scene.wait_until_spooling(), scene.hub.log
            with spool_fault.disk_full(scene, random.Random()):
                scene.hub.wait_until_it_says("Messages wait in memory only")
                time.sleep(1)
            time.sleep(1)
            scene.stream.stop()
        _require_all_stored(scene)


def test_a_hub_that_starts_on_a_full_disk_says_so_and_stores(
    database: Database, tmp_path: Path
) -> None:
    try:
        scene = Scene(database, tmp_path, has_own_disk=True)
    except OSError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    with contextlib.closing(scene), spool_fault.disk_full(scene, random.Random()):
        scene.start_hub()
        scene.stream.publish(100)
        _require_all_stored(scene)
        assert scene.hub.log.count("CRITICAL") == 1


@pytest.fixture(params=["stomp", "amqp"])
def brokered(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Iterator[Scene]:
    """A scene in which messages come over a broker, with some that belong among the rejected."""
    road, why_not = ROADS[request.param]
    need_broker(why_not())
    scene = Scene(database, tmp_path, poison=0.02, road=road)
    yield scene
    scene.close()


@pytest.mark.parametrize(
    "what", [fault.stopped, fault.killed, fault.silent, fault.locked, fault.cut_at_the_answer]
)
def test_what_comes_over_a_broker_is_stored_whatever_happens_to_the_database(
    brokered: Scene, what: Fault
) -> None:
    brokered.start_hub()
    brokered.stream.start(RATE)
    time.sleep(1)
    with what(brokered.database):
        time.sleep(LONG)
    brokered.stream.stop()
    _require_all_stored(brokered, in_order=True)


@pytest.mark.parametrize("name", ["connection cut", "silent network", "broker restarts"])
def test_what_comes_over_a_broker_is_stored_whatever_happens_to_that(
    brokered: Scene, name: str
) -> None:
    if name not in brokered.road.faults:
        leave_out("other tests use this broker, too, and none of its own can be started")
    brokered.start_hub()
    brokered.stream.start(RATE)
    time.sleep(1)
    with brokered.road.faults[name]():
        time.sleep(LONG)
    brokered.stream.stop()
    _require_all_stored(brokered, in_order=False)


def test_a_consumer_of_a_broker_that_is_killed_again_and_again_loses_nothing(
    brokered: Scene,
) -> None:
    brokered.start_hub()
    brokered.stream.start(RATE)
    for seconds in (1.5, 2.0, 2.5):
        time.sleep(seconds)
        brokered.hub.kill()
        brokered.start_hub()
    brokered.stream.stop()
    _require_all_stored(brokered, in_order=False)


def test_a_consumer_of_a_broker_that_is_told_to_end_loses_nothing(brokered: Scene) -> None:
    brokered.start_hub()
    brokered.stream.start(RATE)
    with fault.locked(brokered.database):
        for number in brokered.road.signals:
            time.sleep(1.5)
            assert brokered.stop_hub(number) < LONGEST_END, brokered.hub.log
            brokered.start_hub()
    brokered.stream.stop()
    _require_all_stored(brokered, in_order=False)


@contextlib.contextmanager
def _pair(server: Server, folder: Path) -> Iterator[tuple[Scene, Scene]]:
    """Two hubs of one database, each with a publisher of its own."""
    with contextlib.closing(Database(server)) as database:
        one, other = Scene(database, folder / "one"), Scene(database, folder / "other")
        with contextlib.closing(one), contextlib.closing(other):
            yield one, other


def _require_all_stored_of_both(one: Scene, other: Scene) -> None:
    published = {
        each["body"]["msg_id"]: each for each in one.stream.published + other.stream.published
    }
    eventually(lambda: one.database.count() == len(published), "everything to be stored")
    verdict = judge(list(published.values()), one.database.own_url, [one.spool, other.spool])
    assert verdict.is_clean, (str(verdict), one.hub.log, other.hub.log)
    assert verdict.stored == len(published)


def _require_all_received_kept(scene: Scene) -> None:
    verdict, received = scene.judge(), scene.received()
    told = (str(verdict), scene.hub.log)
    assert verdict.kept == [each["body"]["msg_id"] in received for each in scene.stream.published]
    assert verdict.is_prefix, told
    assert (verdict.duplicates, verdict.invented, verdict.misplaced) == (0, 0, 0), told


def _require_all_stored(scene: Scene, *, in_order: bool = True) -> None:
    scene.wait_until_stored()
    verdict = scene.judge()
    assert verdict.is_clean, (str(verdict), scene.hub.log)
    assert verdict.spooled == 0, (str(verdict), scene.hub.log)
    if in_order:
        assert verdict.misplaced == 0, (str(verdict), scene.hub.log)
