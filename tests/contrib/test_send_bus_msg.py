"""``send_bus_msg``: whatever a script hands it, a line of JSON goes out, and the script goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shell import ROOT, script

FUNCTION = ROOT / "contrib" / "send_bus_msg.sh"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: How scripts that are careful begin, and what shells and their users have been seen to set.
STRICT = "set -Eeuo pipefail; trap 'echo trapped; exit 9' ERR"
ODD = (
    f"{STRICT}; set -fT; set -o posix; IFS=a:=; shopt -s nocasematch extglob nullglob failglob"
    "; shopt -s localvar_inherit 2>/dev/null || :"
    "; readonly key=1 value=1 topic=1 text=1 IFS; declare -i _key=1 _text=1 _id=1"
    "; date() { echo mine; }; uname() { echo mine; }; exec {keep}</dev/null"
)
TIMEOUT = 60


def bash(
    text: str, *arguments: bytes | str, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a script that has sourced the function; `$@` are the arguments."""
    return subprocess.run(
        ["bash", "-c", text, str(FUNCTION), *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )


def dry_run(
    *arguments: bytes | str, options: str = STRICT, **environment: str
) -> tuple[bytes, str]:
    """What the function prints, and what it says, in a script that must go on after it."""
    result = bash(
        f'{options}; . "$0"; send_bus_msg "$@"; echo "went on"',
        *arguments,
        SEND_BUS_MSG_DRY_RUN="1",
        **environment,
    )
    assert result.returncode == 0, result.stderr
    printed, went_on = result.stdout.removesuffix(b"\n").rpartition(b"went on")[:2]
    assert went_on
    return printed, result.stderr.decode(errors="surrogateescape")


def line(*arguments: bytes | str, **options: str) -> dict[str, Any]:
    """The line that the function would publish."""
    printed, said = dry_run(*arguments, **options)
    assert said == ""
    assert printed.count(b"\n") == 1
    # As fedora-messaging reads it.
    (text,) = printed.decode().splitlines()
    read: dict[str, Any] = json.loads(text, object_pairs_hook=without_duplicates)
    return read


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def body(*fields: bytes | str, **options: str) -> dict[str, Any]:
    read: dict[str, Any] = line("logging.stats.debug.x", "host=h", *fields, **options)["body"]
    return {key: value for key, value in read.items() if key != "host"}


class TestLine:
    def test_is_what_fedora_messaging_takes(self) -> None:
        before = datetime.now(UTC).replace(microsecond=0)
        sent = line("logging.stats.sync.start", "host=log01.example.com", "run_id=r 1", "n:int=7")
        assert list(sent) == ["body", "headers", "id", "queue", "topic"]
        assert sent["topic"] == "logging.stats.sync.start"
        assert sent["queue"]
        assert sent["body"] == {"host": "log01.example.com", "run_id": "r 1", "n": 7}
        headers = sent["headers"]
        assert headers["fedora_messaging_schema"] == "base.message"
        assert headers["fedora_messaging_severity"] == 20
        sent_at = datetime.fromisoformat(headers["sent-at"])
        assert sent_at.utcoffset() == timedelta(0)
        assert before <= sent_at <= datetime.now(UTC)
        assert UUID.fullmatch(sent["id"])

    def test_is_read_by_fedora_messaging_itself(self) -> None:
        from fedora_messaging import message

        printed, _ = dry_run("logging.stats.debug.x", "host=h", "text=a\u2028b\x85c\x0bd\u00e9")
        (loaded,) = message.loads(printed.decode())
        loaded.validate()
        assert loaded.topic == "logging.stats.debug.x"
        assert loaded.body == {"host": "h", "text": "a\u2028b\x85c\x0bd\u00e9"}

    def test_each_message_has_an_id_of_its_own(self) -> None:
        assert line("a.b")["id"] != line("a.b")["id"]

    def test_the_time_is_in_utc_whatever_the_zone_is(self) -> None:
        sent_at = datetime.fromisoformat(line("a", TZ="Asia/Tokyo")["headers"]["sent-at"])
        assert abs(datetime.now(UTC) - sent_at) < timedelta(minutes=2)

    def test_the_host_is_added_where_it_is_not_given(self) -> None:
        host = line("a.b", "run_id=1")["body"]["host"]
        assert host.split(".")[0] == os.uname().nodename.split(".")[0]
        assert line("a.b", "host=other")["body"] == {"host": "other"}
        assert line("a.b", "host=")["body"] == {"host": ""}
        # Another key that only ends like it.
        assert "host" in line("a.b", "synced_host=proxy01")["body"]


class TestId:
    """From uuidgen where it works; else from the kernel."""

    @pytest.mark.parametrize("program", [None, "exit 1", "echo", "echo no uuid"])
    def test_is_never_empty(self, tmp_path: Path, program: str | None) -> None:
        for name in ("date", "uname", "bash", "timeout"):
            (tmp_path / name).symlink_to(str(shutil.which(name)))
        if program:
            fake(tmp_path, "uuidgen", program)
        assert UUID.fullmatch(line("a", "host=h", PATH=str(tmp_path))["id"])

    def test_is_that_of_uuidgen(self, tmp_path: Path) -> None:
        fake(tmp_path, "uuidgen", "echo 01234567-89ab-cdef-0123-456789abcdef")
        assert line("a", PATH=f"{tmp_path}:{os.environ['PATH']}")["id"].startswith("01234567-89ab")


#: All that an argument of a program can hold: any bytes but NUL.
BYTES = st.binary(max_size=60).map(lambda value: value.replace(b"\0", b""))
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60).map(str.encode)
#: What has bitten somebody: ends of lines, quotes, and characters that are cut off.
PIECES = [
    *(bytes([code]) for code in range(1, 32)),
    *(b"\\", b'"', b"'", b"&", b"%s", b"$(id)", b"`", b"=", b":int", b"*", b"~", b"\x7f\x01"),
    *(each.encode() for each in "\x7f\x85\u2028\u2029\xe9\u20ac\U0001f600"),
    *(b"\xff", b"\xc0\xaf", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\x80"),
    *(b"\xe0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80", b"\xf5\x80"),
]
TRAPS = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


class TestValues:
    @pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
    @given(values=st.lists(BYTES | TEXT | TRAPS, min_size=20, max_size=40))
    @settings(max_examples=25, deadline=None)
    def test_any_bytes_are_sent_as_json(self, locale: str, values: list[bytes]) -> None:
        fields = [f"k{number}=".encode() + value for number, value in enumerate(values)]
        assert body(*fields, LC_ALL=locale) == {
            f"k{number}": value.decode("utf-8", "replace") for number, value in enumerate(values)
        }

    @given(st.lists(st.integers() | st.integers(-(10**40), 10**40), min_size=20, max_size=40))
    @settings(max_examples=10, deadline=None)
    def test_any_whole_number_is_one(self, numbers: list[int]) -> None:
        fields = [f"k{place}:int={number}" for place, number in enumerate(numbers)]
        assert list(body(*fields).values()) == numbers

    def test_a_number_may_be_written_as_date_writes_it(self) -> None:
        assert body("a:int=007", "b:int=+7", "c:int=-08", "d:int=000", "e:int=-0") == {
            "a": 7,
            "b": 7,
            "c": -8,
            "d": 0,
            "e": 0,
        }

    def test_what_looks_like_json_stays_text(self) -> None:
        assert body('n=1, "host": "evil"', "m={}", "o=null", "p=a=b=c", "q=:int=5") == {
            "n": '1, "host": "evil"',
            "m": "{}",
            "o": "null",
            "p": "a=b=c",
            "q": ":int=5",
        }

    @pytest.mark.parametrize(
        "piece",
        [b"x", b'"', "line of a \u201clog\u201d\t\n".encode(), b"caf\xe9 \xe2\x82 \xff"],
        ids=["plain", "quotes", "log", "not UTF-8"],
    )
    def test_a_long_value_is_sent_whole(self, tmp_path: Path, piece: bytes) -> None:
        value = piece * (400_000 // len(piece))
        if b"\xff" in piece:
            value = value[:20_000]
        file = tmp_path / "value"
        file.write_bytes(value + b".")  # $() takes newlines at the end away
        result = bash(
            'set -euo pipefail; . "$0"; send_bus_msg a host=h v="$(<"$1")"; echo "went on"',
            str(file),
            SEND_BUS_MSG_DRY_RUN="1",
        )
        sent, rest = result.stdout.split(b"\n", 1)
        assert rest == b"went on\n"
        assert json.loads(sent)["body"]["v"] == (value + b".").decode("utf-8", "replace")


class TestWrongArguments:
    """One line says what is wrong; nothing is sent, and the script goes on."""

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("",),
            ("a b",),
            ('a"',),
            ("a..b",),
            (".a",),
            ("a.",),
            ("a\n",),
            ("\u00e9",),
            ("a" * 256,),
            ("a", "x"),
            ("a", ""),
            ("a", "=x"),
            ("a", ":int=5"),
            ("a", "k:=x"),
            ("a", "k:float=1"),
            ("a", "k:int:int=1"),
            ("a", 'k"=x'),
            ("a", "k\n=x"),
            ("a", "k e y=x"),
            ("a", "\u00e9=x"),
            ("a", "k=1", "k=2"),
            ("a", "k=1", "k:int=2"),
            ("a", "host=1", "host=2"),
            *(
                ("a", f"n:int={value}")
                for value in [
                    "",
                    " 5",
                    "5 ",
                    "1.0",
                    "1e3",
                    "0x1f",
                    "--5",
                    "-",
                    "five",
                    "5\n",
                    "1_0",
                ]
            ),
            ("a", 'n:int=1, "host": "evil"'),
            ("a", "n:int=\u0665"),
        ],
    )
    def test_send_nothing(self, arguments: tuple[str, ...]) -> None:
        printed, said = dry_run(*arguments)
        assert printed == b""
        assert said.startswith("send_bus_msg: ")
        assert said.endswith("The message was not sent.\n")
        assert said.count("\n") == 1
        assert len(said) < 600

    def test_escapes_for_terminals_are_not_repeated(self) -> None:
        assert "\x1b" not in dry_run("a\x1b[31m")[1]


class TestCallers:
    """What a script has set does not matter, and stays as it is."""

    @pytest.mark.parametrize("options", [STRICT, ODD, "set -x", "set -v", "set -a", ":"])
    def test_the_line_is_the_same(self, options: str) -> None:
        arguments = (
            "logging.stats.sync.HOST.x",
            "host=h",
            "A=a:b=\u00e9*?",
            "n:int=-09",
            b"b=\xff\x01",
        )
        printed, _ = dry_run(*arguments, options=options)
        read = json.loads(printed.splitlines()[-1])
        assert read["topic"] == "logging.stats.sync.HOST.x"
        assert read["body"] == {"host": "h", "A": "a:b=\u00e9*?", "n": -9, "b": "\ufffd\x01"}
        assert datetime.fromisoformat(read["headers"]["sent-at"])

    @pytest.mark.parametrize("options", [STRICT, ODD, ":"])
    def test_nothing_is_left_behind_but_the_function(self, options: str) -> None:
        look = "{ declare -p; declare -F; set +o; shopt; alias; trap; umask; pwd; jobs -p; }"
        result = bash(
            f'{options}; before=$({look}); . "$0"; send_bus_msg a b=c >/dev/null'
            f'; after=$({look}); diff <(echo "$before") <(echo "$after") || :',
            SEND_BUS_MSG_DRY_RUN="1",
        )
        changed = {
            text
            for text in re.findall(r"^[<>] (.*)$", result.stdout.decode(), re.MULTILINE)
            if not re.match(
                r"declare -\S* (_|before|S?RANDOM|SECONDS|EPOCH\w+|BASH_\w+|PIPESTATUS|LINENO)\b",
                text,
            )
        }
        assert changed == {"declare -f send_bus_msg"}

    def test_standard_input_is_left_to_the_script(self, publisher: Path) -> None:
        result = subprocess.run(
            ["bash", "-c", '. "$0"; while read -r x; do send_bus_msg a x="$x"; done', FUNCTION],
            env={**os.environ, "PATH": f"{publisher}:{os.environ['PATH']}"},
            input=b"1\n2\n3\n",
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        assert (result.stdout, result.stderr) == (b"", b"")
        assert [json.loads(each)["body"]["x"] for each in published(publisher)] == ["1", "2", "3"]

    def test_a_disk_where_nothing_can_be_written_does_not_matter(self) -> None:
        printed, _ = dry_run("a", "b=" + "x" * 100_000, TMPDIR="/nonexistent")
        assert json.loads(printed)


def fake(folder: Path, name: str, text: str) -> None:
    """Put a program of that name into a folder."""
    file = folder / name
    file.write_text(f"#!{shutil.which('bash')}\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def publisher(tmp_path: Path) -> Path:
    """A folder with a `fedora-messaging` that notes what it is to publish."""
    note = f'cat >>"{tmp_path}/published"; echo "$@" >>"{tmp_path}/arguments"; echo Publishing'
    fake(tmp_path, "fedora-messaging", note)
    return tmp_path


def published(folder: Path) -> list[str]:
    return (folder / "published").read_text().splitlines()


class TestPublishing:
    """By the program `fedora-messaging`, which may do whatever it likes."""

    def send(self, folder: Path, *arguments: str, **environment: str) -> str:
        """Send in a careful script, which must go on; what the function says."""
        result = bash(
            f'{STRICT}; . "$0"; send_bus_msg "$@"; echo "went on"',
            *(arguments or ("logging.stats.sync.start", "run_id=1")),
            **{"PATH": f"{folder}:{os.environ['PATH']}", **environment},
        )
        assert (result.returncode, result.stdout) == (0, b"went on\n")
        return result.stderr.decode()

    def fails(self, folder: Path, *arguments: str, **environment: str) -> str:
        said = self.send(folder, *arguments, **environment)
        assert said.startswith("send_bus_msg: ")
        assert said.count("\n") == 1
        return said

    def test_what_goes_out_is_the_line(self, publisher: Path) -> None:
        assert self.send(publisher, "a.b", "host=h", 'k="\n') == ""
        (sent,) = published(publisher)
        assert json.loads(sent)["body"] == {"host": "h", "k": '"\n'}
        assert (publisher / "arguments").read_text() == "publish -\n"

    def test_the_program_reads_utf8_in_any_locale(self, tmp_path: Path) -> None:
        # Python itself takes UTF-8 in this locale, unless it is told not to.
        ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        read = f"import sys; open('{tmp_path}/read', 'wb').write(sys.stdin.read().encode('utf-16'))"
        fake(tmp_path, "fedora-messaging", f'exec {sys.executable} -c "{read}"')
        assert self.send(tmp_path, "a", "text=\u20ac", **ascii_only) == ""
        sent = json.loads((tmp_path / "read").read_bytes().decode("utf-16"))
        assert sent["body"]["text"] == "\u20ac"

    def test_a_failure_is_one_line_with_its_last_words(self, tmp_path: Path) -> None:
        fake(tmp_path, "fedora-messaging", "echo Traceback >&2; echo 'No route to host'; exit 111")
        said = self.fails(tmp_path)
        assert "logging.stats.sync.start was not sent" in said
        assert "111" in said
        assert "No route to host" in said
        assert "Traceback" not in said

    def test_a_program_that_is_not_there(self, tmp_path: Path) -> None:
        for name in ("date", "uname", "bash", "timeout", "hostname"):
            if found := shutil.which(name):
                (tmp_path / name).symlink_to(found)
        assert "127" in self.fails(tmp_path, PATH=str(tmp_path))

    @pytest.mark.parametrize("text", ["sleep 60", "trap '' TERM; sleep 60; sleep 60", "sleep 60 &"])
    def test_one_that_hangs_is_ended_after_the_timeout(self, tmp_path: Path, text: str) -> None:
        fake(tmp_path, "fedora-messaging", f"cat >/dev/null; {text}\nwait")
        started = time.monotonic()
        assert "longer than 0.5 seconds" in self.fails(tmp_path, SEND_BUS_MSG_TIMEOUT="0.5")
        assert time.monotonic() - started < 30

    def test_one_that_reads_nothing_is_no_matter(self, tmp_path: Path) -> None:
        fake(tmp_path, "fedora-messaging", "exec <&-; exit 3")
        assert "3" in self.fails(tmp_path, "a", "b=" + "x" * 100_000)

    @pytest.mark.parametrize("timeout", ["0", "soon", "-1", "1h 2", "$(id)"])
    def test_a_timeout_that_is_none_is_said_and_the_default_used(
        self, publisher: Path, timeout: str
    ) -> None:
        assert "SEND_BUS_MSG_TIMEOUT" in self.fails(publisher, SEND_BUS_MSG_TIMEOUT=timeout)
        assert len(published(publisher)) == 1

    def test_an_interrupt_ends_the_script_at_once(self, tmp_path: Path) -> None:
        fake(tmp_path, "fedora-messaging", f'echo >"{tmp_path}/started"; sleep 20')
        process = subprocess.Popen(
            ["bash", "-c", '. "$0"; send_bus_msg a; echo "went on"', FUNCTION],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        assert process.wait(timeout=15) == -signal.SIGINT
        assert process.communicate()[0] == b""


def scripts() -> list[Path]:
    """The shell scripts of the checkout."""
    named = [*ROOT.glob("*.sh"), *ROOT.glob("contrib/*.sh"), *ROOT.glob("packaging/*.sh")]
    return [*named, ROOT / ".ci" / "run"]


def test_shellcheck_finds_nothing_in_any_shell_script() -> None:
    result = subprocess.run(
        [script("shellcheck"), "--norc", *scripts()], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
