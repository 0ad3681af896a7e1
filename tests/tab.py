"""What Tab makes of a line that is typed into a real shell: bash, zsh or fish."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

_BIN = Path(sys.executable).parent
#: Shells that read no configuration of the machine.
_INTERACTIVE = {"bash": ["bash", "--norc", "--noprofile"], "zsh": ["zsh", "-df"]}
#: What lets Tab insert all that there is, and not only what all of it begins with.
_EVERY = {
    "bash": r"""bind '"\t": insert-completions'""",
    "zsh": "zstyle ':completion:*' completer _all_matches _complete; "
    "zstyle ':completion:*' insert true",
}
_SOURCE = {
    "bash": 'eval "$(datanommer completion bash)"',
    "zsh": 'eval "$(datanommer completion zsh)"',
    "fish": "datanommer completion fish | source",
}


def tab(
    shell: str, line: str, *, setup: str = "", every: bool = True, **environment: str
) -> list[str]:
    """What stands in the place of the last word of a line after Tab, as the shell reads it.

    Args:
        shell: bash, zsh or fish.
        line: what is typed before Tab.
        setup: what the shell runs before; by default the line of the documentation.
        every: insert all candidates; else what all of them begin with, as Tab does.
        environment: of the shell.
    """
    path = f"{_BIN}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "TERM": "dumb", **environment}
    setup = setup or _SOURCE[shell]
    if shell == "fish":
        command = ["fish", "--no-config", "--command", f"{setup}; complete -C $argv[1]", line]
        found = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=30, check=True
        )
        assert not found.stderr
        return [each.partition("\t")[0] for each in found.stdout.splitlines()]
    insert = _EVERY[shell] if every else ":"
    words = _typed(shell, f"{setup}; {insert}; PS1=; stty cols 500", line, env)
    return words[len(line.split(" ")) - 1 :]


def _typed(shell: str, setup: str, line: str, env: dict[str, str]) -> list[str]:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        _INTERACTIVE[shell],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=env,
        start_new_session=True,
    )
    os.close(follower)
    try:
        os.write(leader, f"{setup}; echo RE''ADY\n".encode())
        _read_until(leader, rb"READY\r?\n")
        # What comes to the front of the line shows what the shell makes of the rest.
        os.write(leader, f"{line}\t\x01printf '<%s>\\n' \r echo DO''NE\r".encode())
        shown = _read_until(leader, rb"DONE\r?\n").decode()
        return re.findall(r"^<(.*)>\r?$", shown, re.MULTILINE)
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def _read_until(descriptor: int, expected: bytes) -> bytes:
    shown = b""
    end = time.monotonic() + 30
    while not re.search(expected, shown):
        assert select.select([descriptor], [], [], max(end - time.monotonic(), 0))[0], shown
        shown += os.read(descriptor, 65536)
    return shown
