"""A server that refuses a connection has answered: what it says is told, and what to do."""

from __future__ import annotations

import re
import shlex
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from databases import Databases
from datanommer.models.database import migrations
from datanommer.models.database.engine import create_engine
from datanommer.models.errors import DatabaseUnavailable
from shell import Run

SECRET = "s3cret"
# A request for a password, as a message of PostgreSQL's protocol.
PASSWORD_WANTED = b"R" + struct.pack("!ii", 8, 3)

Answer = Callable[[bytes], str]


def error(severity: str, text: str) -> bytes:
    """An error, as a message of PostgreSQL's protocol."""
    fields = f"S{severity}\0VFATAL\0C28000\0M{text}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


@pytest.fixture
def answering() -> Iterator[Answer]:
    """The URL of a server that answers a client with some bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(content: bytes) -> str:
            threading.Thread(target=serve, args=[content], daemon=True).start()
            port = server.getsockname()[1]
            where = f"127.0.0.1:{port}/db?sslmode=disable&gssencmode=disable"
            return f"postgresql://u:{SECRET}@{where}"

        def serve(content: bytes) -> None:
            client, _ = server.accept()
            with client:
                client.recv(10_000)
                client.sendall(content)
                client.recv(10_000)

        yield answer


def told(url: str) -> str:
    engine = create_engine(url)
    with pytest.raises(DatabaseUnavailable) as raised:
        migrations.require_head(engine)
    assert SECRET not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('database "db" does not exist', r"createdb -h 127\.0\.0\.1 -p \d+ -U u db$"),
        ('role "u" does not exist', r"create this one: createuser -h 127\.0\.0\.1 -p \d+ u$"),
        ('password authentication failed for user "u"', r"in ~/\.pgpass, in PGPASSWORD or in"),
        ('Peer authentication failed for user "u"', "Run this as the system user of that name"),
        ('no pg_hba.conf entry for host "h", user "u", database "db"', "Add a line for this"),
        ("sorry, too many clients already", "Try again later"),
        ("remaining connection slots are reserved for roles with ...", "Try again later"),
        ('too many connections for role "u"', "Try again later"),
        ("the database system is starting up", "Try again in a moment"),
        ("something of tomorrow", "The server runs: check the URL"),
    ],
)
def test_what_the_server_says_is_told_with_what_to_do(
    answering: Answer, said: str, advice: str
) -> None:
    message = told(answering(error("FATAL", said)))
    assert "/db?sslmode=disable refuses the connection: " in message
    assert said in message
    assert "does not answer" not in message
    assert re.search(advice, message)


@pytest.mark.parametrize(
    ("severity", "said"),
    [
        ("ВАЖНО", 'база данных "db" не существует'),
        ("致命错误", '数据库 "db" 不存在'),
        ("FATAL", "Datenbank »db« existiert nicht"),
    ],
)
def test_so_is_what_it_says_in_another_language(
    answering: Answer, severity: str, said: str
) -> None:
    message = told(answering(error(severity, said)))
    assert said in message
    assert "refuses the connection" in message
    assert "The server runs: check the URL" in message


def test_a_password_that_is_wanted_and_not_given(
    answering: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    message = told(answering(PASSWORD_WANTED).replace(f":{SECRET}", ""))
    assert "refuses the connection" in message
    assert "Give the password in ~/.pgpass, in PGPASSWORD or in the URL" in message


def test_a_server_that_hangs_up_does_not_answer(answering: Answer) -> None:
    message = told(answering(b""))
    assert "does not answer" in message
    assert message.endswith("Check its URL, and that the server runs.")


@pytest.mark.needs_program("createdb")
def test_what_is_to_be_typed_for_a_missing_database_makes_it(
    database: str, databases_of_server: Databases, run: Run
) -> None:
    name = f"{sa.make_url(database).database}_missing"
    url = databases_of_server.url(name)
    refused = run("datanommer-stats", "--url", url)
    command = refused.stderr.rpartition(": ")[2]
    try:
        subprocess.run(shlex.split(command), check=True)
        assert run("datanommer-create-db", "--url", url).returncode == 0
    finally:
        databases_of_server.drop(name)
