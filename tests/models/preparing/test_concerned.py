"""Users, packages and agents are those that fedmsg.meta and the schema classes know."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fedmsg.meta
import pytest
from fedmsg.meta.base import BaseProcessor

from datanommer.models import configuration
from datanommer.models.preparing import concerned, processors
from envelopes import BODHI_MSG, BODHI_TOPIC

CONFIG = {
    **configuration.defaults(),
    "topic_prefix_re": r"org\.fedoraproject\.(dev|stg|prod)",
    "endpoints": {},
}


Install = Callable[[type[BaseProcessor]], None]


class Demo(BaseProcessor):  # type: ignore[misc]  # fedmsg has no types
    """Knows the users of the messages of its category."""

    __name__ = "demo"
    __description__ = __link__ = __docs__ = __obj__ = "demo"

    def usernames(self, msg: dict[str, Any], **config: Any) -> set[str]:
        return {msg["msg"]["user"]}

    def packages(self, msg: dict[str, Any], **config: Any) -> set[str]:
        return {msg["msg"]["package"]}


class ByContent(Demo):
    """Takes for its own what its content says, whatever the topic."""

    def handle_msg(self, msg: dict[str, Any], **config: Any) -> str | None:
        return "" if msg["msg"].get("mine") else None


@pytest.fixture(autouse=True)
def _installed() -> None:
    """The processors that are installed."""
    processors.configure(CONFIG)


@pytest.fixture
def install() -> Iterator[Install]:
    """Let a processor of a test be asked before those that are installed."""
    installed = fedmsg.meta.processors

    def install(kind: type[BaseProcessor]) -> None:
        fedmsg.meta.processors = [kind(lambda text: text, **CONFIG), *installed]
        processors.configure(CONFIG)

    yield install
    fedmsg.meta.processors = installed
    processors.configure(CONFIG)


def body(topic: str, **msg: Any) -> dict[str, Any]:
    return {"topic": topic, "msg": msg, "msg_id": "2013-1", "i": 1, "timestamp": 1_361_166_918}


BODIES = {
    "bodhi": body(BODHI_TOPIC, **BODHI_MSG),
    "koji": body(
        "org.fedoraproject.prod.buildsys.build.state.change",
        owner="ralph",
        name="python-fedmsg",
        instance="primary",
        new=1,
    ),
    "lacks what the processor reads": body("org.fedoraproject.prod.github.issue.comment"),
    "no processor": body("org.example.dev.demo.hello", user="ralph"),
    "another topic below": body("org.fedoraproject.prod.bodhi.unheard-of", agent="ralph"),
}


def found(message: dict[str, Any]) -> tuple[Any, Any]:
    """The users and the packages of a message."""
    users, packages, *_ = concerned.find(message)
    return users or (), packages or ()


@pytest.mark.parametrize("message", BODIES.values(), ids=BODIES)
def test_the_names_are_those_that_fedmsg_meta_finds(message: dict[str, Any]) -> None:
    expected = (
        tuple(sorted(fedmsg.meta.msg2usernames(message, **CONFIG))),
        tuple(sorted(fedmsg.meta.msg2packages(message, **CONFIG))),
    )
    assert [found(message) for _ in range(2)] == [expected] * 2


def test_the_test_would_see_names() -> None:
    assert found(BODIES["bodhi"]) == (("ralph",), ("xmonad",))


def test_each_message_of_a_topic_has_names_of_its_own(install: Install) -> None:
    install(Demo)
    topic = "org.fedoraproject.prod.demo.hello"
    names = [found(body(topic, user=user, package="nethack")) for user in ("a", "b")]
    assert names == [(("a",), ("nethack",)), (("b",), ("nethack",))]


def test_a_processor_that_reads_the_content_is_asked_for_every_message(install: Install) -> None:
    install(ByContent)
    topic = "org.example.dev.demo.hello"
    names = [
        found(body(topic, mine=mine, user="ralph", package="nethack"))
        for mine in (False, True, False)
    ]
    assert names == [((), ()), (("ralph",), ("nethack",)), ((), ())]


class Configured(Demo):
    """Ways to read who it is from the configuration."""

    def key(self, msg: dict[str, Any], **config: Any) -> Any:
        return config["somebody"]

    def comprehension(self, msg: dict[str, Any], **config: Any) -> Any:
        return {name for key in ("somebody",) for name in config[key]}

    def all_variables(self, msg: dict[str, Any], **config: Any) -> Any:
        return locals()["config"]["somebody"]

    def keyword(self, msg: dict[str, Any], somebody: Any = (), **config: Any) -> Any:
        return somebody

    def keyword_only(self, msg: dict[str, Any], *, somebody: Any = (), **config: Any) -> Any:
        return somebody

    def other_method(self, *anything: Any, **config: Any) -> Any:
        return self.key(*anything, **config)

    partial = functools.partialmethod(key)


@pytest.mark.parametrize("way", [name for name in vars(Configured) if not name.startswith("_")])
def test_a_processor_may_read_the_configuration(
    install: Install, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setitem(CONFIG, "somebody", {"ralph"})
    install(type("Chosen", (Configured,), {"usernames": vars(Configured)[way]}))
    message = body("org.fedoraproject.prod.demo.hello", package="nethack")
    assert found(message) == (("ralph",), ("nethack",))


def test_a_processor_that_fails_on_a_message_finds_nobody_and_keeps_quiet(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install(Demo)
    names = found(body("org.fedoraproject.prod.demo.hello", package="nethack"))
    assert names == ((), ("nethack",))
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


@pytest.mark.parametrize("topic", [None, 5, ["a"]])
def test_a_body_whose_topic_is_no_text_concerns_nobody(topic: Any) -> None:
    assert found(body(topic)) == ((), ())


class TestWithoutAConfiguration:
    """As a program has it that only calls `init` and `add`, in a process of its own."""

    MAIL: ClassVar = {
        "topic": "org.fedoraproject.dev.mailman.receive",
        "msg": {
            "msg": {"from": "Ralph <ralph@fedoraproject.org>"},
            "mlist": {"list_name": "devel"},
        },
    }

    def extract(self, folder: Path) -> subprocess.CompletedProcess[str]:
        code = (
            "from datanommer.models.preparing import concerned, processors\n"
            f"print(concerned.find({self.MAIL!r})[:2])"
        )
        environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=folder,
            env={**environment, "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )

    def test_every_processor_is_ready_and_nothing_is_printed(self, tmp_path: Path) -> None:
        result = self.extract(tmp_path)
        assert (result.stdout, result.stderr) == ("(('ralph',), ())\n", "")

    def test_a_processor_that_cannot_be_loaded_is_named_without_a_traceback(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "fedmsg-config.py").write_text("config = {")
        result = self.extract(tmp_path)
        assert "Failed to load 'mailman' processor." in result.stderr
        assert "Traceback" not in result.stderr
