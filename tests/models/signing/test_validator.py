"""A message is believed as fedmsg believes it, at a fraction of the cost; stored ones, too."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fedmsg.crypto
import pytest

from certificates import FUTURE, NOW, PAST, Authority, Period
from datanommer.models import add_all
from datanommer.models.database.binding import bound_engine
from datanommer.models.errors import ConfigurationError, SignaturesUnknown
from datanommer.models.filtering.filters import Filters
from datanommer.models.signing import signer
from datanommer.models.signing.archive_check import Verification
from datanommer.models.signing.archive_check import verify as verify_archive
from datanommer.models.signing.archive_validator import ArchiveValidator
from datanommer.models.signing.validator import Validator
from envelopes import envelope, without
from shell import Run, peak_memory

TOPIC = "org.example.dev.demo.hello"
#: When the messages of `envelope` were sent.
SENT = datetime(2013, 2, 18, 5, 55, 18, tzinfo=UTC)
THEN = (SENT - timedelta(days=1), SENT + timedelta(days=1))

Body = dict[str, Any]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority whose certificates nobody changes."""
    authority = Authority(tmp_path_factory.mktemp("pki"))
    authority.issue("shell.test")
    authority.issue("other.test")
    authority.issue("revoked.test")
    authority.issue("expired.test", PAST)
    authority.issue("early.test", FUTURE)
    authority.revoke("revoked.test")
    return authority


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority, which nobody trusts."""
    authority = Authority(tmp_path_factory.mktemp("strange-pki"))
    authority.issue("shell.test")
    return authority


@pytest.fixture
def own_authority(tmp_path: Path) -> Authority:
    """An authority for a test to change."""
    authority = Authority(tmp_path)
    authority.issue("shell.test")
    return authority


@pytest.fixture
def gpg_home(tmp_path: Path) -> Iterator[Path]:
    """A folder of keys, and of the agent that gpg starts for them."""
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    yield home
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def signed(by: Authority, name: str = "shell.test", **body: Any) -> Body:
    message: Body = by.sign(envelope(TOPIC, **body), name)["body"]
    return message


def verdict_of_fedmsg(body: Body, config: dict[str, Any]) -> bool:
    """Whether fedmsg lets the message through; an exception is not letting through."""
    fedmsg.crypto.init(**config)
    try:
        return bool(fedmsg.crypto.validate(copy.deepcopy(body), **config))
    except Exception:  # noqa: BLE001
        return False


def changed(body: Body, **changes: Any) -> Body:
    return {**body, **changes}


def without_keys(body: Body, *keys: str) -> Body:
    return {key: value for key, value in body.items() if key not in keys}


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MALFORMED = base64_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
POLICY = {"routing_policy": {TOPIC: ["shell.test", "spare.test"]}}
OTHER_POLICY = {"routing_policy": {TOPIC: ["other.test"]}}
NITPICKY = {"routing_nitpicky": True}

#: What is made of a good message and the two authorities; what the configuration has beside its
#: usual keys; and what is said of it, None where it is valid.
CASES: dict[str, tuple[Callable[[Body, Authority, Authority], Body], Body, str | None]] = {
    "valid": (lambda good, *_: good, {}, None),
    "hard content": (
        lambda _, us, __: signed(us, msg={"n": [1e22, -0.0, 1.0, 2**70], "t": "w\u00f6\0\ud800"}),
        {},
        None,
    ),
    "bytes": (
        lambda good, *_: changed(
            good,
            signature=good["signature"].encode(),
            certificate=good["certificate"].encode(),
        ),
        {},
        None,
    ),
    "bytes that are not UTF-8": (
        lambda good, *_: changed(good, signature=b"\xff"),
        {},
        "its signature is not text",
    ),
    "the old form, without crypto": (
        lambda good, *_: without_keys(good, "crypto"),
        {},
        "its signature does not fit what it says",
    ),
    "no backend named": (lambda good, *_: good, {"crypto_validate_backends": []}, None),
    "with headers since it was signed": (
        lambda good, *_: changed(good, headers={"a": "b"}),
        {},
        "its signature does not fit what it says",
    ),
    "with headers when it was signed": (lambda _, us, __: signed(us, headers={"a": "b"}), {}, None),
    "from datagrepper": (
        lambda good, *_: changed(good, source_name="datanommer", source_version="0.6"),
        {},
        "its signature does not fit what it says",
    ),
    "unsigned": (lambda *_: envelope(TOPIC)["body"], {}, "unsigned"),
    "stripped": (
        lambda good, *_: without_keys(good, "signature", "certificate"),
        {},
        "its signature is missing",
    ),
    "without its certificate": (
        lambda good, *_: without_keys(good, "certificate"),
        {},
        "its certificate is missing",
    ),
    "null for a signature": (
        lambda good, *_: changed(good, signature=None),
        {},
        "its signature is missing",
    ),
    "a list for a signature": (
        lambda good, *_: changed(good, signature=[1]),
        {},
        "its signature is not text",
    ),
    "tampered body": (
        lambda good, *_: changed(good, msg={"forged": 1}),
        {},
        "its signature does not fit what it says",
    ),
    "tampered topic": (
        lambda good, *_: changed(good, topic=f"{TOPIC}.forged"),
        {},
        "its signature does not fit what it says",
    ),
    "a key more": (
        lambda good, *_: changed(good, link="https://example.com"),
        {},
        "its signature does not fit what it says",
    ),
    "signature of another message": (
        lambda good, us, _: changed(good, signature=signed(us)["signature"]),
        {},
        "its signature does not fit what it says",
    ),
    "another certificate of the same CA": (
        lambda good, us, _: changed(good, certificate=signed(us, "other.test")["certificate"]),
        {},
        "its signature does not fit what it says",
    ),
    "foreign CA": (
        lambda _, __, them: signed(them),
        {},
        "its certificate is refused: certificate signature failure",
    ),
    "expired": (
        lambda _, us, __: signed(us, "expired.test"),
        {},
        "its certificate is refused: certificate has expired",
    ),
    "not yet valid": (
        lambda _, us, __: signed(us, "early.test"),
        {},
        "its certificate is refused: certificate is not yet valid",
    ),
    "revoked": (
        lambda _, us, __: signed(us, "revoked.test"),
        {},
        "its certificate is refused: certificate revoked",
    ),
    "revoked, and nobody asks": (
        lambda _, us, __: signed(us, "revoked.test"),
        {"crl_location": None},
        None,
    ),
    "malformed certificate": (
        lambda good, *_: changed(good, certificate=MALFORMED),
        {},
        "its certificate is malformed",
    ),
    "no certificate at all in it": (
        lambda good, *_: changed(good, certificate=base64_of("hello")),
        {},
        "its certificate is malformed",
    ),
    "certificate that is not base64": (
        lambda good, *_: changed(good, certificate="x"),
        {},
        "its certificate is not base64",
    ),
    "signature that is not base64": (
        lambda good, *_: changed(good, signature="x"),
        {},
        "its signature is not base64",
    ),
    "signature that is not ASCII": (
        lambda good, *_: changed(good, signature="w\u00f6\ud800"),
        {},
        "its signature is not base64",
    ),
    "allowed by the policy": (lambda good, *_: good, POLICY, None),
    "not allowed by the policy": (
        lambda good, *_: good,
        OTHER_POLICY,
        "'shell.test' may not send this topic (routing_policy)",
    ),
    "nitpicky": (
        lambda good, *_: good,
        NITPICKY,
        "no routing_policy has this topic (routing_nitpicky)",
    ),
    "nitpicky and allowed": (lambda good, *_: good, {**POLICY, **NITPICKY}, None),
    "gpg where it is not allowed": (
        lambda good, *_: changed(good, crypto="gpg"),
        {},
        "signed with gpg, which crypto_validate_backends does not allow",
    ),
    "x509 where it is not allowed": (
        lambda good, *_: good,
        {"crypto_validate_backends": ["gpg"]},
        "signed with x509, which crypto_validate_backends does not allow",
    ),
    "gpg with what gpg did not sign": (
        lambda good, *_: changed(good, crypto="gpg"),
        {"crypto_validate_backends": ["gpg", "x509"]},
        "gpg refuses the signature",
    ),
    "an unknown backend": (
        lambda good, *_: changed(good, crypto="rot13"),
        {},
        "signed with what fedmsg does not know",
    ),
    "a list for a backend": (
        lambda good, *_: changed(good, crypto=["x509"]),
        {},
        "signed with what fedmsg does not know",
    ),
    "a list for a topic": (
        lambda _, us, __: us.sign(envelope(topic=[TOPIC]), "shell.test")["body"],  # type: ignore[arg-type]
        POLICY,
        "cannot be validated (TypeError)",
    ),
    "what JSON has no form for": (
        lambda good, *_: changed(good, msg=object()),
        {},
        "cannot be validated (TypeError)",
    ),
}


class TestTheVerdict:
    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("kind", [Validator, ArchiveValidator])
    def test_is_that_of_fedmsg_and_comes_with_a_reason(
        self, kind: type[Validator], case: str, authority: Authority, stranger: Authority
    ) -> None:
        make, configured, reason = CASES[case]
        body = make(signed(authority), authority, stranger)
        config = {**authority.config, "gpg_home": str(authority.folder), **configured}
        before = copy.deepcopy(body) if case != "what JSON has no form for" else body
        found = kind(config).validate(body)
        assert (found is None) == (reason is None) == verdict_of_fedmsg(body, config)
        assert body == before
        if kind is Validator:
            assert found == reason

    def test_is_the_same_the_second_time(self, authority: Authority, stranger: Authority) -> None:
        validator = Validator(authority.config)
        for make, configured, reason in CASES.values():
            if not configured:
                body = make(signed(authority), authority, stranger)
                assert [validator.validate(body) for _ in range(2)] == [reason, reason]

    def test_is_good_for_what_gpg_signed(self, gpg_home: Path, authority: Authority) -> None:
        home = str(gpg_home)
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
        subprocess.run([*gpg, "--quick-gen-key", "test@example.com"], check=True)
        config = {
            **authority.config,
            "crypto_validate_backends": ["gpg"],
            "gpg_home": home,
        }
        body = fedmsg.crypto.gpg.sign(
            envelope()["body"], gpg_home=home, gpg_signing_key="test@example.com"
        )
        body["signature"] = body["signature"].decode()
        assert verdict_of_fedmsg(body, config)
        assert Validator(config).validate(body) is None
        assert Validator(config).validate(changed(body, msg=1)) == "gpg refuses the signature"

    def test_says_nothing_of_content_and_certificate(
        self, authority: Authority, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        body = changed(signed(authority), msg={"password": "secret-content"})
        reason = Validator(authority.config).validate(body)
        assert reason
        assert "secret" not in reason + caplog.text
        assert body["certificate"][:20] not in caplog.text


class Clock:
    """Shows what a test sets it to.

    Attributes:
        now: what it shows, in epoch seconds.
    """

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


REVOKED = "its certificate is refused: certificate revoked"
EXPIRED = "its certificate is refused: certificate has expired"
EARLY = "its certificate is refused: certificate is not yet valid"


class TestTheCertificates:
    @pytest.mark.parametrize("valid", [PAST, FUTURE], ids=["past", "future"])
    @pytest.mark.parametrize("of_ca", [True, False], ids=["CA and CRL", "CRL"])
    def test_are_refused_as_fedmsg_does_while_their_authority_is_not_valid(
        self, of_ca: bool, valid: Period, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path, valid if of_ca else NOW)
        authority.issue("shell.test")
        authority.revoke(valid=valid)
        body = signed(authority)
        assert not verdict_of_fedmsg(body, authority.config)
        assert Validator(authority.config).validate(body) is not None

    def test_count_as_revoked_within_a_second(self, own_authority: Authority, clock: Clock) -> None:
        validator = Validator(own_authority.config, clock=clock)
        body = signed(own_authority)
        assert validator.validate(body) is None
        own_authority.revoke("shell.test")
        assert validator.validate(body) is None
        clock.now += 1
        assert validator.validate(body) == REVOKED

    def test_count_as_revoked_sooner_where_they_are_kept_for_less(
        self, own_authority: Authority, clock: Clock
    ) -> None:
        validator = Validator(own_authority.config, keep_for=0.05, clock=clock)
        body = signed(own_authority)
        assert validator.validate(body) is None
        own_authority.revoke("shell.test")
        clock.now += 0.06
        assert validator.validate(body) == REVOKED

    def test_count_as_revoked_when_the_clock_is_set_back(
        self, own_authority: Authority, clock: Clock
    ) -> None:
        validator = Validator(own_authority.config, clock=clock)
        body = signed(own_authority)
        assert validator.validate(body) is None
        own_authority.revoke("shell.test")
        clock.now -= 3600
        assert validator.validate(body) == REVOKED

    def test_a_new_authority_counts_from_its_first_message_on(self, tmp_path: Path) -> None:
        old = Authority(tmp_path)
        validator = Validator(old.config)
        new = Authority(tmp_path)
        new.issue("shell.test")
        assert validator.validate(signed(new)) is None

    def test_a_list_that_is_being_written_changes_nothing(
        self, own_authority: Authority, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        validator = Validator(own_authority.config, clock=clock)
        crl = own_authority.folder / "crl.pem"
        crl.write_bytes(crl.read_bytes()[:100])
        clock.now += 1
        assert validator.validate(signed(own_authority)) is None
        assert "What was read before stays in use" in caplog.text
        own_authority.revoke("shell.test")
        clock.now += 1
        assert validator.validate(signed(own_authority)) == REVOKED

    def test_a_certificate_is_trusted_no_longer_than_it_is_valid(
        self, own_authority: Authority, clock: Clock
    ) -> None:
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        own_authority.issue("brief.test", (NOW[0], end))
        validator = Validator(own_authority.config, clock=clock)
        body = signed(own_authority, "brief.test")
        clock.now = end.timestamp() - 1
        assert validator.validate(body) is None
        clock.now = end.timestamp() + 1
        assert validator.validate(body) == EXPIRED

    def test_a_refused_certificate_is_good_as_soon_as_it_is_valid(
        self, own_authority: Authority, clock: Clock
    ) -> None:
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        own_authority.issue("soon.test", (begin, NOW[1]))
        validator = Validator(own_authority.config, clock=clock)
        body = signed(own_authority, "soon.test")
        clock.now = begin.timestamp() - 1
        assert validator.validate(body) == EARLY
        clock.now = begin.timestamp()
        assert validator.validate(body) is None

    def test_those_of_the_past_need_only_have_been_valid_then(
        self, own_authority: Authority, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        body = signed(own_authority)
        sent = clock.now
        clock.now = NOW[1].timestamp() + 3600
        validator = ArchiveValidator(own_authority.config, clock=clock)
        assert validator.validate(body, sent) is None
        assert validator.validate(body) == "its certificate was not valid at the time"
        assert f"ended on {NOW[1]:%Y-%m-%d %H:%M}" in caplog.text
        assert "certificates that were revoked later are not known" in caplog.text

    def test_a_new_one_with_each_message_does_not_fill_the_memory(
        self, authority: Authority
    ) -> None:
        validator = Validator(authority.config)
        good = signed(authority)
        for number in range(signer._MAX_SIGNERS + 100):
            certificate = base64_of(f"{number}" + "x" * 10_000)
            assert validator.validate(changed(good, certificate=certificate)) is not None
        assert validator._signers
        assert len(validator._signers._by_digest) <= signer._MAX_SIGNERS
        assert validator.validate(good) is None


def advice(config: dict[str, Any], kind: type[Validator] = Validator) -> str:
    with pytest.raises(ConfigurationError) as raised:
        kind(config)
    return str(raised.value)


class TestAConfigurationThatCannotWork:
    @pytest.mark.parametrize("key", ["ca_cert_location", "crl_location"])
    @pytest.mark.parametrize(
        "content", [None, "", "hello", b"\x30\x82\xff", MALFORMED, "-----BEGIN X509 CRL-----"]
    )
    def test_is_one_whose_ca_or_crl_is_not_there_or_not_pem(
        self, key: str, content: str | bytes | None, authority: Authority, tmp_path: Path
    ) -> None:
        file = tmp_path / "there.pem"
        if content is not None:
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        said = advice({**authority.config, key: str(file)})
        assert str(file) in said
        assert "PEM" in said

    def test_is_one_whose_ca_is_not_named(self, authority: Authority) -> None:
        assert "Set ca_cert_location" in advice({**authority.config, "ca_cert_location": None})

    def test_is_one_whose_ca_is_on_the_web_and_does_not_answer(self, authority: Authority) -> None:
        url = "https://127.0.0.1:1/ca.crt"
        assert url in advice({**authority.config, "ca_cert_location": url})

    def test_is_one_whose_crl_is_of_another_ca(
        self, authority: Authority, stranger: Authority
    ) -> None:
        crl = stranger.config["crl_location"]
        for kind in (Validator, ArchiveValidator):
            assert "is not of the CA" in advice({**authority.config, "crl_location": crl}, kind)

    def test_is_not_one_whose_crl_has_ended_because_there_will_be_another(
        self, own_authority: Authority
    ) -> None:
        own_authority.revoke(valid=PAST)
        validator = Validator(own_authority.config)
        said = validator.outdated()
        assert said is not None
        assert said.startswith("The CRL")
        assert f"to {PAST[1]:%Y-%m-%d}" in said
        assert validator.validate(signed(own_authority)) is not None
        own_authority.revoke()
        assert Validator(own_authority.config).outdated() is None

    def test_is_one_with_an_unknown_backend(self, authority: Authority) -> None:
        said = advice({**authority.config, "crypto_validate_backends": ["x509", "rot13"]})
        assert "'rot13'" in said

    def test_is_gpg_without_the_program(
        self, authority: Authority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        assert "Install GnuPG" in advice(
            {**authority.config, "crypto_validate_backends": ["x509", "gpg"]}
        )

    def test_is_gpg_without_its_folder_of_keys(self, authority: Authority) -> None:
        configured = {"crypto_validate_backends": ["gpg"], "gpg_home": "/nonexistent/gpg"}
        assert "gpg_home (/nonexistent/gpg)" in advice({**authority.config, **configured})

    @pytest.mark.parametrize("kind", [Validator, ArchiveValidator])
    @pytest.mark.parametrize(
        ("state_of_the_machine", "expected"),
        [
            # As from pyOpenSSL 24.3 on.
            ("import OpenSSL.crypto; del OpenSSL.crypto.load_crl", "'pyOpenSSL<24.3'"),
            ("import sys; sys.modules['OpenSSL'] = None", "fedmsg[crypto_ng]"),
            ("import sys; sys.modules['cryptography'] = None", "fedmsg[crypto_ng]"),
            # To OpenSSL, a digest that is forbidden is one that it does not know.
            (
                "from cryptography.hazmat.primitives.hashes import SHA1; SHA1.name = 'forbidden'",
                "update-crypto-policies",
            ),
        ],
    )
    def test_is_any_where_the_libraries_do_not_do_what_fedmsg_needs(
        self, state_of_the_machine: str, expected: str, kind: type[Validator], authority: Authority
    ) -> None:
        code = (
            "import sys, json, warnings; warnings.simplefilter('ignore')\n"
            f"{state_of_the_machine}\n"
            "from datanommer.models import errors\n"
            f"from {kind.__module__} import {kind.__name__} as Validator\n"
            "try: Validator(json.loads(sys.argv[1]))\n"
            "except errors.ConfigurationError as error: print(error)\n"
        )
        said = subprocess.run(
            [sys.executable, "-c", code, json.dumps(authority.config)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert expected in said.stdout


def verified(validator: ArchiveValidator) -> list[Verification]:
    return list(verify_archive(bound_engine(), validator, Filters()))


@pytest.fixture
def verify(archive: str, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Run datanommer-verify with the configuration of an authority."""

    def verify(authority: Authority, *options: str, **configured: Any) -> Any:
        file = tmp_path_factory.mktemp("config") / "fedmsg.py"
        file.write_text(f"config = { ({**authority.config, **configured})!r}\n")
        return run("datanommer-verify", "--url", archive, "--config-filename", str(file), *options)

    return verify


@pytest.fixture(scope="module")
def authority_of_then(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority of 2013, of which nothing is valid any longer."""
    authority = Authority(tmp_path_factory.mktemp("old-pki"), valid=THEN)
    authority.issue("shell.test", THEN)
    authority.issue("revoked.test", THEN)
    authority.issue("late.test", (THEN[1], THEN[1] + timedelta(days=1)))
    authority.revoke("revoked.test", valid=THEN)
    return authority


class TestVerifying:
    def test_a_message_is_as_valid_as_when_it_was_sent_whatever_it_holds(
        self, verify: Callable[..., Any], authority_of_then: Authority
    ) -> None:
        messages = [
            envelope(msg={"b": 1, "a": [1.0, 1e22, -0.0, "w\u00f6rld", "\0", "\ud800"]}),
            envelope(timestamp=1361166918.0),
            envelope(timestamp=1361166918.8867381),
            envelope(msg="text", headers={"a": "b"}, link="https://example.com", username=5),
            without(envelope(), "i", "username", "msg"),
            envelope(i=None, headers=None),
            without(envelope(), "msg_id"),
        ]
        sent = [authority_of_then.sign(message, "shell.test") for message in messages]
        assert add_all([*sent, envelope()]).stored == len(messages) + 1
        ended = verify(authority_of_then)
        assert ended.stdout == f"valid {len(messages)}, invalid 0, unsigned 1\n"
        assert ended.returncode == 0
        assert "certificates that were revoked later are not known" in ended.stderr

    @pytest.mark.parametrize(
        "change",
        [
            """msg = '{"forged": 1}'""",
            "i = i + 1",
            "topic = topic || '.forged'",
            "category = 'forged'",
            "timestamp = timestamp + interval '1 second'",
            "username = 'forged'",
            "username = NULL",
            "signature = NULL",
            "certificate_id = NULL",
            "msg_id = '2013-forged'",
            """headers = '{"a": 1}'""",
            """extra = '{"set": {"link": 1}}'""",
            """extra = '{"unset": ["i"]}'""",
            "extra = '[1]'",
            """extra = '{"set": 1}'""",
            # The body is what was signed, but not what the columns tell.
            """username = 'forged', extra = '{"set": {"username": "apache"}}'""",
            """msg = '1', extra = json_build_object('set', json_build_object('msg', msg))""",
            """source_name = 'forged', extra = '{"unset": ["source_name"]}'""",
        ],
    )
    def test_a_row_that_was_changed_by_hand_is_found(
        self, change: str, archive: str, authority: Authority
    ) -> None:
        now = int(time.time())
        messages = [envelope(timestamp=now, msg_id=f"2013-{name}") for name in ("kept", "changed")]
        add_all([authority.sign(message, "shell.test") for message in messages])
        with bound_engine().begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE messages SET {change} WHERE msg_id = '2013-changed'"
            )
        found = verified(ArchiveValidator(authority.config))
        assert sorted(verdict.outcome for verdict in found) == ["invalid", "valid"]
        for verdict in found:
            assert (verdict.outcome == "valid") == (verdict.msg_id == "2013-kept")
            assert (verdict.outcome == "invalid") == bool(verdict.reason)

    @pytest.mark.parametrize("headers", [{}, {"amqp-message-id": "2013-of-the-headers"}])
    def test_an_id_that_was_made_and_then_changed_by_hand_is_found(
        self, headers: dict[str, str], archive: str, authority_of_then: Authority
    ) -> None:
        message = without(envelope(headers=headers), "msg_id")
        add_all([authority_of_then.sign(message, "shell.test")])
        validator = ArchiveValidator(authority_of_then.config)
        assert [verdict.outcome for verdict in verified(validator)] == ["valid"]
        with bound_engine().begin() as connection:
            connection.exec_driver_sql("UPDATE messages SET msg_id = '2013-forged'")
        (found,) = verified(validator)
        assert found.reason == "its columns do not belong to its body"

    def test_a_message_that_came_without_a_time_is_as_valid_as_any_other(
        self, archive: str, authority: Authority
    ) -> None:
        messages = [without(envelope(), "timestamp"), without(envelope(), "timestamp", "msg_id")]
        add_all([authority.sign(message, "shell.test") for message in messages])
        found = verify_archive(bound_engine(), ArchiveValidator(authority.config), Filters())
        assert [verdict.outcome for verdict in found] == ["valid", "valid"]

    def test_an_invalid_message_is_a_line_and_an_exit_code(
        self, verify: Callable[..., Any], authority_of_then: Authority
    ) -> None:
        add_all(
            [
                authority_of_then.sign(envelope(msg_id=f"2013-{name}"), "shell.test")
                for name in ("kept", "changed")
            ]
        )
        with bound_engine().begin() as connection:
            connection.exec_driver_sql(
                "UPDATE messages SET username = 'forged' WHERE msg_id = '2013-changed'"
            )
        ended = verify(authority_of_then)
        assert ended.stdout.splitlines() == [
            f"2013-changed\t{TOPIC}\tits signature does not fit what it says",
            "valid 1, invalid 1, unsigned 0",
        ]
        assert ended.returncode == 65

    def test_where_all_should_be_signed_a_signature_that_was_taken_off_is_found(
        self, verify: Callable[..., Any], authority_of_then: Authority
    ) -> None:
        names = ("kept", "stripped")
        messages = [envelope(msg_id=f"2013-{name}") for name in names]
        add_all([authority_of_then.sign(message, "shell.test") for message in messages])
        with bound_engine().begin() as connection:
            connection.exec_driver_sql(
                "UPDATE messages SET signature = NULL, certificate_id = NULL, crypto = NULL "
                "WHERE msg_id = '2013-stripped'"
            )
        assert verify(authority_of_then).stdout == "valid 1, invalid 0, unsigned 1\n"
        ended = verify(authority_of_then, "--all-signed")
        assert ended.stdout.splitlines() == [
            f"2013-stripped\t{TOPIC}\tit has no signature",
            "valid 1, invalid 1, unsigned 0",
        ]
        assert ended.returncode == 65

    def test_a_certificate_must_have_been_valid_and_must_not_be_revoked_since(
        self, verify: Callable[..., Any], authority_of_then: Authority, tmp_path: Path
    ) -> None:
        stranger = Authority(tmp_path, valid=THEN)
        stranger.issue("shell.test", THEN)
        add_all(
            [
                authority_of_then.sign(envelope(msg_id="2013-revoked"), "revoked.test"),
                authority_of_then.sign(envelope(msg_id="2013-late"), "late.test"),
                stranger.sign(envelope(msg_id="2013-stranger"), "shell.test"),
            ]
        )
        *lines, counts = verify(authority_of_then).stdout.splitlines()
        assert counts == "valid 0, invalid 3, unsigned 0"
        assert [line.split("\t")[::2] for line in lines] == [
            ["2013-revoked", f"its certificate is refused: revoked on {THEN[0]:%Y-%m-%d}"],
            ["2013-late", "its certificate is refused: certificate has expired"],
            ["2013-stranger", "its certificate is refused: certificate signature failure"],
        ]

    def test_the_routing_policy_counts(self, archive: str, authority_of_then: Authority) -> None:
        add_all([authority_of_then.sign(envelope(), "shell.test")])
        for policy, outcome in ((POLICY, "valid"), (OTHER_POLICY, "invalid")):
            validator = ArchiveValidator({**authority_of_then.config, **policy})
            assert [verdict.outcome for verdict in verified(validator)] == [outcome]

    @pytest.mark.parametrize(
        ("options", "number"),
        [
            (["--since", "2013-02-18T05:55:18"], 2),
            (["--before", "2013-02-18T05:55:17", "--topic", TOPIC], 1),
            (["--category", "bodhi"], 1),
            (["--category", "bodhi", "--before", "2013-02-17"], 0),
        ],
    )
    def test_looks_only_at_what_is_asked_for(
        self,
        options: list[str],
        number: int,
        verify: Callable[..., Any],
        authority_of_then: Authority,
    ) -> None:
        messages = (
            envelope(timestamp=1361166917),
            envelope("org.example.dev.bodhi.hello"),
            envelope(),
        )
        add_all([authority_of_then.sign(message, "shell.test") for message in messages])
        ended = verify(authority_of_then, *options)
        assert ended.stdout == f"valid {number}, invalid 0, unsigned 0\n"

    @pytest.mark.parametrize("timestamp", [1361166918, 1361166918.5])
    def test_a_message_of_the_classic_line_is_valid_without_what_that_line_added(
        self, timestamp: float, verify: Callable[..., Any], authority_of_then: Authority
    ) -> None:
        plain = authority_of_then.sign(envelope(timestamp=timestamp), "shell.test")
        without_id = authority_of_then.sign(without(envelope(), "msg_id"), "shell.test")
        from_datagrepper = authority_of_then.sign(envelope(), "shell.test")
        from_datagrepper["body"].update(timestamp=1361166918.0)
        without_id["body"].update(msg_id="2013-classic-7")
        messages = [plain, without_id, from_datagrepper]
        for message in messages:
            message["body"].update(source_name="datanommer", source_version="0.6", headers={})
        add_all(messages)
        assert verify(authority_of_then).stdout == "valid 3, invalid 0, unsigned 0\n"

    def test_a_line_is_a_line_whatever_the_id(
        self, verify: Callable[..., Any], authority: Authority
    ) -> None:
        add_all([envelope(msg_id="2013\n\x1b[2J", crypto="x509")])
        line, _ = verify(authority).stdout.splitlines()
        assert line.startswith(r"'2013\n\x1b[2J'")

    def test_without_a_ca_says_what_to_set(
        self, verify: Callable[..., Any], authority: Authority, tmp_path: Path
    ) -> None:
        ended = verify(authority, ca_cert_location=str(tmp_path / "none.crt"))
        assert ended.returncode == 1
        assert ended.stdout == ""
        assert "Set ca_cert_location" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_with_a_gpg_that_cannot_be_run_says_so(
        self,
        archive: str,
        authority: Authority,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        add_all([envelope(crypto="gpg", signature="c2ln")])
        config = {"crypto_validate_backends": ["gpg"], "gpg_home": str(tmp_path)}
        validator = ArchiveValidator({**authority.config, **config})
        program = tmp_path / "gpg"
        program.write_bytes(b"\0")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SignaturesUnknown, match="gpg cannot be run: Exec format error"):
            verified(validator)

    def test_takes_no_more_memory_for_more_messages(
        self, archive: str, authority_of_then: Authority, tmp_path: Path
    ) -> None:
        config = tmp_path / "fedmsg.py"
        config.write_text(f"config = {authority_of_then.config!r}\n")
        message = authority_of_then.sign(envelope(msg="x" * 2000), "shell.test")
        add_all([message])
        arguments = ("--url", archive, "--config-filename", str(config))
        few = peak_memory("datanommer-verify", "--before", "2013-02-17", *arguments)
        with bound_engine().begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO messages (msg_id, i, topic, category, timestamp, msg)"
                "SELECT msg_id || n, i, topic, category, timestamp, msg "
                "FROM messages, generate_series(1, 20000) n"
            )
        many = peak_memory("datanommer-verify", *arguments)
        assert many - few < 15_000  # the messages are 40 MB
