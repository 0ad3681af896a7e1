"""What crosses a real bus is stored by a real fedmsg-hub."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fedmsg.crypto
import pytest
import sqlalchemy as sa
import zmq

import classic
from bus import PATIENCE, Archive, Bus, eventually, happens
from certificates import PAST, Authority
from datanommer import models
from datanommer.models import embedded
from datanommer.models.database.inventory import HEAD
from datanommer.models.spooling.folder import damaged_files
from datanommer.models.spooling.spool import Spool
from envelopes import BODHI_MSG, BODHI_TOPIC, envelope, received
from shell import Run, script

NOWHERE = "postgresql://somebody:s3cret@127.0.0.1:1/nowhere"
_LARGE_MESSAGES = 40


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.issue("shell.test")
    return authority


@pytest.fixture
def signing(authority: Authority) -> dict[str, Any]:
    """The configuration of a bus where messages are signed."""
    host = socket.gethostname().split(".", 1)[0]
    return {**authority.config, "certnames": {f"shell.{host}": "shell.test"}}


@pytest.fixture
def sign(signing: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Sign a message as fedmsg does."""

    def sign(message: dict[str, Any]) -> dict[str, Any]:
        body = fedmsg.crypto.sign(dict(message["body"]), certname="shell.test", **signing)
        return {**message, "body": body}

    return sign


def test_a_message_is_stored_exactly_as_it_was_sent(bus: Bus, archive: Archive) -> None:
    sent = envelope(msg={"text": "w\u00f6rld \u0000", "numbers": [1e22, -0.0, 10**30, None]})
    bus.start_hub()
    bus.publisher.publish(sent)
    stored = archive.wait_for(sent)
    # As text, because -0.0 == 0.0 and 1.0 == 1.
    assert json.dumps(stored.body, sort_keys=True) == json.dumps(sent["body"], sort_keys=True)


def test_messages_are_stored_in_the_order_they_were_sent(bus: Bus, archive: Archive) -> None:
    sent = [envelope() for _ in range(200)]
    bus.start_hub()
    bus.publisher.publish(*sent)
    archive.wait_for(sent[-1])
    assert [message.body for message in archive.messages()] == [each["body"] for each in sent]


def test_what_fedmsg_sends_through_a_relay_is_stored(bus: Bus, archive: Archive) -> None:
    publish = (
        "import fedmsg; fedmsg.init(name='relay_inbound', active=True);"
        "fedmsg.publish(modname='demo', topic='hello', msg={'to': 'w\u00f6rld'})"
    )
    bus.start_relay()
    bus.start_hub()
    for command in (
        [sys.executable, "-W", "ignore", "-c", publish],
        [script("fedmsg-logger"), "--message", "Hai there."],
    ):
        _publish_until_stored(command, bus, archive)
    contents = {message.topic: message.msg for message in archive.messages()}
    assert contents == {
        "org.fedoraproject.dev.demo.hello": {"to": "w\u00f6rld"},
        "org.fedoraproject.dev.logger.log": {"log": "Hai there."},
    }


def test_a_signed_line_of_fedmsg_logger_still_verifies_in_the_archive(
    bus: Bus, archive: Archive, signing: dict[str, Any]
) -> None:
    bus.config.update(signing)
    bus.start_relay()
    bus.start_hub()
    _publish_until_stored([script("fedmsg-logger"), "--message", "Hai there."], bus, archive)
    assert fedmsg.crypto.validate(archive.messages()[0].body, **signing)


def test_only_messages_with_a_good_signature_are_stored(
    bus: Bus,
    archive: Archive,
    signing: dict[str, Any],
    sign: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    bus.config.update(signing)
    unsigned = envelope()
    tampered, malformed, not_base64, elsewhere = (sign(envelope()) for _ in range(4))
    tampered["body"]["msg"] = "something else"
    malformed["body"]["certificate"] = "bm8gY2VydGlmaWNhdGU=\n"
    not_base64["body"]["signature"] = "x"
    elsewhere["topic"] = "org.example.dev.demo.other"
    good = sign(envelope(msg={"numbers": [1e22, -0.0], "text": "w\u00f6rld"}))
    bus.start_hub()
    bus.publisher.publish(unsigned, tampered, malformed, not_base64, elsewhere, good)

    stored = archive.wait_for(good)
    assert stored.body == good["body"]
    assert fedmsg.crypto.validate(stored.body, **signing)
    assert len(archive.messages()) == 1


@pytest.mark.parametrize("from_the_start", [False, True])
def test_where_a_revocation_list_has_run_out_messages_wait_for_a_new_one(
    bus: Bus, archive: Archive, tmp_path: Path, from_the_start: bool
) -> None:
    folder = tmp_path / "pki"
    folder.mkdir()
    authority = Authority(folder)
    authority.issue("shell.test")
    bus.config.update(authority.config)
    if from_the_start:
        authority.revoke(valid=PAST)
    hub = bus.start_hub()
    authority.revoke(valid=PAST)
    time.sleep(1.5)  # the file is looked at once a second
    sent = [authority.sign(envelope(), "shell.test") for _ in range(20)]
    bus.publisher.publish(*sent)
    hub.wait_until_it_says("messages wait in the spool: Signatures cannot be validated: The CRL")
    assert archive.messages() == []
    authority.revoke()
    archive.wait_for(sent[-1])
    bus.publisher.publish(last := authority.sign(envelope(), "shell.test"))
    archive.wait_for(last)
    assert [message.body for message in archive.messages()] == [
        message["body"] for message in (*sent, last)
    ]
    assert hub.log.count("CRITICAL") == 1 + from_the_start


def test_users_and_packages_are_those_that_fedmsg_meta_finds(bus: Bus, archive: Archive) -> None:
    sent = envelope(BODHI_TOPIC, msg=BODHI_MSG)
    bus.start_hub()
    bus.publisher.publish(sent)
    stored = archive.wait_for(sent)
    assert [user.name for user in stored.users] == ["ralph"]
    assert [package.name for package in stored.packages] == ["xmonad"]


def test_what_is_no_message_harms_nothing_that_comes_after(bus: Bus, archive: Archive) -> None:
    hub = bus.start_hub()
    first, last = envelope(), envelope()
    topic = first["topic"]
    bus.publisher.publish(first)
    bus.publisher.send("one part")
    bus.publisher.send(topic, "three", b"parts \xff")
    bus.publisher.send(topic, b"\xff\xfe")
    bus.publisher.send(b"\xff\xfe", "{}")
    for payload in ("no JSON", "[" * 100_000, "[]", '{"no": "topic"}'):
        bus.publisher.send(topic, payload)
    bus.publisher.publish(last)

    archive.wait_for(last)
    stored = archive.messages()
    assert [stored[0].body, stored[-1].body] == [first["body"], last["body"]]
    # What JSON there is, or else the text, becomes the content of a message.
    assert [message.msg for message in stored[1:-1]] == ["no JSON", [], {"no": "topic"}]
    # All else is kept as it came. A part that is no text has its bytes as halves of surrogates.
    name = topic.encode()
    assert {(each.kind, each.topic, bytes(each.raw)) for each in archive.rejected()} == {
        ("invalid", None, b'{"topic": null, "body": ["one part"]}'),
        ("invalid", None, b'{"topic": null, "body": ["%s", "three", "parts \\udcff"]}' % name),
        ("invalid", topic, b'{"topic": "%s", "body": \xff\xfe}' % name),
        ("invalid", None, b'{"topic": null, "body": ["\\udcff\\udcfe", "{}"]}'),
        ("too large", topic, b'{"topic": "%s", "body": %s}' % (name, b"[" * 100_000)),
    }
    assert "Traceback" not in hub.log


def test_a_flood_of_what_is_no_message_writes_ten_lines(bus: Bus, archive: Archive) -> None:
    hub = bus.start_hub()
    last = envelope()
    for number in range(1000):
        bus.publisher.send("one part", f"{number}", b"\xff")
    bus.publisher.publish(last)
    archive.wait_for(last)
    assert len(archive.rejected()) == 1000
    # It logs what it has committed.
    bus.publisher.publish(after := envelope())
    archive.wait_for(after)
    assert hub.log.count("not a topic and a body in two parts") == 10


def test_what_cannot_be_stored_is_kept_apart_and_logged_without_its_content(
    bus: Bus, archive: Archive
) -> None:
    first, invalid, last = envelope(), envelope(msg=["top secret", float("nan")]), envelope()
    conflict = {**first, "body": {**first["body"], "msg": "top secret"}}
    hub = bus.start_hub()
    bus.publisher.publish(first, invalid, first, conflict, last)

    archive.wait_for(last)
    assert [message.body for message in archive.messages()] == [first["body"], last["body"]]
    ids = {"invalid": invalid["body"]["msg_id"], "conflict": first["body"]["msg_id"]}
    assert {reject.kind: reject.msg_id for reject in archive.rejected()} == ids
    for kind, msg_id in ids.items():
        hub.wait_until_it_says(f"Rejected ({kind}): msg_id '{msg_id}', topic '{first['topic']}'")
    assert "top secret" not in hub.log


def test_another_consumer_that_raises_keeps_no_message_away(bus: Bus, archive: Archive) -> None:
    bus.environment["PYTHONPATH"] = str(Path(__file__).parent)
    bus.start_hub("--with-consumers", "stomp_consumers:Broken,datanommer.consumer:Nommer")
    bus.publisher.publish(*(sent := [envelope() for _ in range(3)]))
    archive.wait_for(sent[-1])
    assert [message.body for message in archive.messages()] == [each["body"] for each in sent]


def test_only_the_topics_of_the_configuration_are_stored(bus: Bus, archive: Archive) -> None:
    bus.config["datanommer.topic"] = ["org.example.dev.bodhi.*", "org.example.stg.*"]
    wanted = [envelope("org.example.dev.bodhi.new"), envelope("org.example.stg.demo.hello")]
    bus.start_hub()
    bus.publisher.wait_for_subscriber()  # once more, for the second topic
    bus.publisher.publish(envelope("org.example.dev.demo.hello"), *wanted)
    archive.wait_for(wanted[-1])
    assert [message.body for message in archive.messages()] == [each["body"] for each in wanted]


@pytest.mark.parametrize(
    "settings",
    [
        {"moksha.blocking_mode": True},
        {"moksha.workers_per_consumer": 3},
        {"datanommer.batch_size": 1},
        {"datanommer.batch_size": 7},
    ],
)
def test_each_message_is_stored_once_however_the_hub_works(
    bus: Bus, archive: Archive, settings: dict[str, Any]
) -> None:
    bus.config.update(settings)
    sent = [envelope() for _ in range(100)]
    bus.start_hub()
    bus.publisher.publish(*sent)
    for each in sent:
        archive.wait_for(each)
    assert len(archive.messages()) == len(sent)


def test_the_status_file_names_the_last_message_that_is_stored(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    bus.config["status_directory"] = str(tmp_path / "status")
    bus.config["datagrepper_url"] = "http://127.0.0.1:1/nothing-is-here"
    sent = [envelope() for _ in range(50)]
    bus.start_hub()
    bus.publisher.publish(*sent)
    archive.wait_for(sent[-1])

    def status() -> Any:
        (file,) = (tmp_path / "status").rglob("Nommer")
        return json.loads(file.read_text() or "{}")

    eventually(lambda: status().get("status") == "post", "the status of what is stored")
    assert status()["message"]["body"]["msg_id"] == sent[-1]["body"]["msg_id"]


def test_the_monitoring_socket_tells_what_became_of_the_messages(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    address = f"ipc://{tmp_path}/monitoring"
    bus.config["moksha.monitoring.socket"] = address
    bus.start_hub()
    with _nommers_of(address) as nommers:
        next(nommers)  # from here on, none is missed
        good = envelope()
        bus.publisher.publish(good, good, envelope(i=2**63), last := envelope())
        archive.wait_for(last)
        nommer = next(nommers)
        # moksha counts from zero again, each time that it tells.
        heads = [nommer["headcount_in"], nommer["headcount_out"]]
        while heads[1] < 4 or sum(nommer["datanommer"].values()) < 4:
            nommer = next(nommers)
            heads[0] += nommer["headcount_in"]
            heads[1] += nommer["headcount_out"]
    assert heads == [4, 4]
    assert nommer["datanommer"] == {
        "stored": 2,
        "duplicates": 1,
        "rejected": 1,
        "invalid": 0,
        "spooled": 0,
        "waiting": 0,
        "replayed": 0,
        "lost": 0,
    }


@contextlib.contextmanager
def _nommers_of(address: str) -> Iterator[Iterator[dict[str, Any]]]:
    """What a monitoring socket tells of the consumer, time after time."""
    monitoring: zmq.SyncSocket = zmq.Context.instance().socket(zmq.SUB)
    monitoring.setsockopt(zmq.RCVTIMEO, PATIENCE * 1000)
    monitoring.connect(address)
    monitoring.subscribe("")
    try:
        yield (
            each
            for told in iter(monitoring.recv, None)
            for each in json.loads(told)["consumers"]
            if each["name"] == "Nommer"
        )
    finally:
        monitoring.close()


def test_fedmsg_check_finds_the_consumer(bus: Bus, run: Run, tmp_path: Path) -> None:
    bus.config["moksha.monitoring.socket"] = f"ipc://{tmp_path}/monitoring"
    bus.start_hub()
    checked = run("fedmsg-check", "-c", "Nommer", cwd=bus.folder)
    assert checked.returncode == 0, checked.stderr
    assert "All consumers and producers are active!" in checked.stdout


class _Datagrepper(BaseHTTPRequestHandler):
    """Has one page of messages, as datagrepper gives them."""

    messages: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        page = {"pages": 1, "raw_messages": self.messages}
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def test_what_a_hub_missed_is_fetched_from_datagrepper_and_stored(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    last, missed = envelope(), [envelope(), envelope()]
    _Datagrepper.messages = [message["body"] for message in (last, *missed)]
    status = tmp_path / "status"
    bus.config["status_directory"] = str(status)
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), _Datagrepper) as server,
        contextlib.closing(Bus(tmp_path)) as again,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bus.config["datagrepper_url"] = f"http://127.0.0.1:{server.server_port}/raw"
        bus.start_hub()
        bus.publisher.publish(last)
        archive.wait_for(last)
        eventually(
            lambda: any('"post"' in file.read_text() for file in status.rglob("Nommer")),
            "its status",
        )
        bus.close()

        again.config = {**bus.config, "endpoints": {"test": [again.publisher.endpoint]}}
        again.start_hub()
        for message in missed:
            archive.wait_for(message)
        assert len(archive.messages()) == 3
        server.shutdown()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_an_idle_hub_in_order(bus: Bus, number: signal.Signals) -> None:
    hub = bus.start_hub()
    hub.send(number)
    assert hub.exit_code() == 0
    assert "Traceback" not in hub.log


def test_the_hub_says_which_database_it_writes_to_and_not_the_password(
    bus: Bus, database: str
) -> None:
    with_password = sa.make_url(database).set(password="s3cret")
    bus.config["datanommer.sqlalchemy.url"] = with_password.render_as_string(hide_password=False)
    hub = bus.start_hub()
    hub.wait_until_it_says("datanommer writes to postgresql")
    assert f"/{with_password.database}" in hub.log
    assert "named by datanommer.sqlalchemy.url in the fedmsg configuration" in hub.log
    assert "s3cret" not in hub.log


def test_without_validate_signatures_the_hub_says_so_and_stores(bus: Bus, archive: Archive) -> None:
    del bus.config["validate_signatures"]
    sent = envelope()
    hub = bus.start_hub()
    bus.publisher.publish(sent)
    archive.wait_for(sent)
    assert "Signatures are not validated" in hub.log
    assert "Set validate_signatures" in hub.log


def test_a_hub_where_it_is_not_enabled_runs_without_it(quiet_bus: Bus) -> None:
    del quiet_bus.config["datanommer.enabled"]
    hub = quiet_bus.start("fedmsg-hub")
    hub.wait_until_it_says("Running the MokshaHub reactor")
    assert "disabled by config - datanommer.consumer.hub_consumer:Nommer" in hub.log
    assert "datanommer writes to" not in hub.log
    assert not quiet_bus.publisher.has_new_subscriber(0.2)
    assert hub.is_alive


def test_a_hub_without_a_database_ends(quiet_bus: Bus) -> None:
    _assert_that_the_hub_ends(quiet_bus, 69, "No database is named")


def test_a_hub_with_an_at_in_the_password_of_its_database_ends(quiet_bus: Bus) -> None:
    quiet_bus.config["datanommer.sqlalchemy.url"] = "postgresql://u:x@s3cret@127.0.0.1/x"
    _assert_that_the_hub_ends(quiet_bus, 1, "Write an @ in a password as %40")


def test_a_hub_whose_database_is_empty_ends(quiet_bus: Bus, empty_database: str) -> None:
    quiet_bus.config["datanommer.sqlalchemy.url"] = empty_database
    _assert_that_the_hub_ends(quiet_bus, 1, "datanommer-create-db")


def test_a_hub_whose_database_is_missing_says_so_and_runs(quiet_bus: Bus, database: str) -> None:
    url = sa.make_url(database).set(database="no_such_database")
    quiet_bus.config["datanommer.sqlalchemy.url"] = url.render_as_string(hide_password=False)
    hub = quiet_bus.start_hub()
    hub.wait_until_it_says("The database does not take messages")
    assert "refuses the connection: connection to server" in hub.log
    assert "createdb" in hub.log
    assert "does not answer" not in hub.log


def test_a_hub_makes_the_embedded_server_that_it_is_to_fill(quiet_bus: Bus) -> None:
    folder = Path(tempfile.mkdtemp(prefix="hub-"))
    quiet_bus.config["datanommer.sqlalchemy.url"] = f"embedded://{folder}"
    try:
        _assert_that_the_hub_ends(quiet_bus, 1, f"The database embedded://{folder} is empty")
    finally:
        embedded.stop(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("form", ["migrated", "created"])
def test_a_hub_whose_database_is_behind_hears_and_stores_once_it_is_upgraded(
    quiet_bus: Bus, run: Run, empty_database: str, form: classic.Form, tmp_path: Path
) -> None:
    classic.make(empty_database, form)
    quiet_bus.config["datanommer.sqlalchemy.url"] = empty_database
    quiet_bus.config["datanommer.spool_min_free_bytes"] = 0
    hub = quiet_bus.start_hub()
    hub.wait_until_it_says("alembic upgrade +1")
    assert "steps behind this version of datanommer" in hub.log
    quiet_bus.publisher.publish(*(messages := [envelope() for _ in range(5)]))
    eventually(lambda: Spool(tmp_path / "spool").waiting().messages == 5, "all to be on the disk")
    assert classic.execute(empty_database, "SELECT * FROM messages") == []
    folder = Path(models.__file__).parent
    upgraded = run("alembic", "-x", f"url={empty_database}", "upgrade", "head", cwd=folder)
    assert upgraded.returncode == 0, upgraded.stderr
    with contextlib.closing(Archive(empty_database)) as archive:
        for each in messages:
            archive.wait_for(each)
    hub.wait_until_it_says("all that waited is stored")
    assert hub.is_alive


def test_a_hub_whose_database_is_that_of_another_program_ends(
    quiet_bus: Bus, empty_database: str
) -> None:
    classic.execute(empty_database, "CREATE TABLE messages (id int, body text)")
    quiet_bus.config["datanommer.sqlalchemy.url"] = empty_database
    _assert_that_the_hub_ends(quiet_bus, 1, "tables of another program")


def test_a_hub_whose_database_is_ahead_ends(quiet_bus: Bus, database: str) -> None:
    classic.execute(database, "UPDATE alembic_version SET version_num = '0123456789ab'")
    quiet_bus.config["datanommer.sqlalchemy.url"] = database
    try:
        _assert_that_the_hub_ends(quiet_bus, 1, "Upgrade datanommer")
    finally:
        classic.execute(database, f"UPDATE alembic_version SET version_num = '{HEAD}'")


def test_a_hub_with_topics_that_are_none_ends(quiet_bus: Bus) -> None:
    quiet_bus.config["datanommer.topic"] = ["org.example.*", None]
    _assert_that_the_hub_ends(quiet_bus, 1, "datanommer.topic")


def _assert_that_the_hub_ends(bus: Bus, exit_code: int, reason: str) -> None:
    hub = bus.start("fedmsg-hub")
    assert hub.exit_code() == exit_code, hub.log
    told = [line for line in hub.log.splitlines() if "CRITICAL" in line]
    assert len(told) == 1, hub.log
    assert "datanommer cannot start" in told[0]
    assert reason in told[0]
    assert "Traceback" not in hub.log
    assert "s3cret" not in hub.log
    assert not bus.publisher.has_new_subscriber(0)


def _publish_until_stored(command: list[str], bus: Bus, archive: Archive) -> None:
    """Publish again until a message arrives: a PUB socket drops what nobody has joined for yet."""

    before = len(archive.messages())

    def arrives() -> bool:
        subprocess.run(command, cwd=bus.folder, check=True, capture_output=True, timeout=60)
        return happens(lambda: len(archive.messages()) > before, 5)

    eventually(arrives, "a message")


def test_what_can_be_read_of_a_damaged_spool_is_stored_and_the_rest_is_counted(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    url = bus.config["datanommer.sqlalchemy.url"]
    bus.config["datanommer.spool_min_free_bytes"] = 0
    bus.config["datanommer.sqlalchemy.url"] = NOWHERE
    hub = bus.start_hub()
    folder = tmp_path / "spool"
    messages = [envelope(msg=f"{number} " + "x" * 10_000) for number in range(10)]
    bus.publisher.publish(*messages)
    eventually(lambda: Spool(folder).waiting().messages == 10, "all to be on the disk")
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    (file,) = folder.glob("*.spool")
    with file.open("r+b") as content:
        content.seek(35_000)
        content.write(b"nothing of the sort" * 500)
    bus.config["datanommer.sqlalchemy.url"] = url
    hub = bus.start_hub()
    hub.wait_until_it_says("Messages go into the database again")
    assert "2 of its messages cannot be read" in hub.log
    assert "all that waited is stored" not in hub.log
    assert [each.msg_id for each in archive.messages()] == [
        messages[number]["body"]["msg_id"] for number in (0, 1, 2, 5, 6, 7, 8, 9)
    ]
    assert len(damaged_files(folder)) == 1


def test_a_folder_of_the_spool_that_goes_is_made_again_and_what_was_in_it_counted(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    url = bus.config["datanommer.sqlalchemy.url"]
    bus.config["datanommer.spool_min_free_bytes"] = 0
    bus.config["datanommer.sqlalchemy.url"] = NOWHERE
    hub = bus.start_hub()
    folder = tmp_path / "spool"
    gone, kept = [envelope() for _ in range(5)], [envelope() for _ in range(5)]
    bus.publisher.publish(*gone)
    eventually(lambda: Spool(folder).waiting().messages == 5, "the first to be on the disk")
    shutil.rmtree(folder)
    bus.publisher.publish(*kept)
    eventually(lambda: len(list(folder.glob("*.spool"))) == 1, "the others to be on the disk")
    hub.send(signal.SIGTERM)
    assert hub.exit_code() == 0
    bus.config["datanommer.sqlalchemy.url"] = url
    hub = bus.start_hub()
    hub.wait_until_it_says("Messages go into the database again")
    assert "CRITICAL" in hub.log
    assert "Messages that waited in the spool are lost (5): their file is gone" in hub.log
    assert "all that waited is stored" not in hub.log
    found = [each.msg_id for each in archive.messages()]
    assert found == [each["body"]["msg_id"] for each in kept]


def test_a_hub_whose_spool_cannot_be_used_says_so_and_stores(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    bus.config["datanommer.spool_dir"] = str(tmp_path / "file" / "spool")
    hub = bus.start_hub()
    hub.wait_until_it_says("CRITICAL")
    assert "Not a directory" in hub.log
    assert "datanommer.spool_dir in the fedmsg configuration" in hub.log
    bus.publisher.publish(message := envelope())
    archive.wait_for(message)


def test_large_messages_that_wait_are_stored_in_little_memory(
    bus: Bus, archive: Archive, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool", min_free_bytes=0)
    for number in range(_LARGE_MESSAGES):
        spool.put([received(envelope(msg={"n": number, "text": "x" * 8_000_000}))])
    bus.config["datanommer.spool_min_free_bytes"] = 0
    hub = bus.start_hub()
    hub.wait_until_it_says("all that waited is stored")
    assert archive.scalar("SELECT count(*) FROM messages") == _LARGE_MESSAGES
    assert hub.peak_memory() < 400_000_000


def test_a_message_that_is_too_large_takes_little_more_than_its_copies(
    bus: Bus, archive: Archive
) -> None:
    hub = bus.start_hub()
    before = hub.peak_memory()
    too_large = envelope(msg="x" * 100_000_000)
    bus.publisher.publish(too_large)
    eventually(archive.rejected, "the reject")
    assert archive.rejected()[0].kind == "too large"
    # As the bus brought it, as text, as a value, and as JSON again.
    assert hub.peak_memory() - before < 450_000_000
