"""Run a command, and fail if anything that it started still runs when it has ended.

``python tests/left_running.py COMMAND [ARGUMENT ...]``

What is left is named, a line each, and killed; the exit code is 1 then, unless the command's own
says that something else is wrong. This process adopts, as init does, whoever outlives its parent:
a daemon is seen, too, whoever's it is and whatever it has made of its environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import sys
import time

import psutil  # type: ignore[import-untyped]

#: How each line begins that names a process; runtests.sh looks for it.
LINE = "LEFT RUNNING"
_PATIENCE = 5.0  # seconds, for who was told to end and has not yet
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot adopt processes")
    command = sys.argv[1:]
    child = os.posix_spawnp(command[0], command, os.environ)
    # A Ctrl-C in the terminal goes to the command, too: it is the one to end.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    code = _exit_code(child)
    left = [process for process in _left() if _runs(process)]
    for line in [_line(process) for process in left]:
        sys.stdout.write(line)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _left()
    return code or int(bool(left))


def _exit_code(child: int) -> int:
    """Wait for the command, and take leave of the adopted that end meanwhile."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code  # as a shell says it


def _left() -> list[psutil.Process]:
    """Wait until all have ended, but not for long; the processes that have not."""
    end = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        left: list[psutil.Process] = psutil.Process().children(recursive=True)
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _line(process: psutil.Process) -> str:
    try:
        # PostgreSQL writes its titles over its arguments, and empty ones stay behind them.
        what = shlex.join(filter(None, process.cmdline())) or process.name()
        where = process.cwd()
    except psutil.Error as error:
        what, where = "a process", str(error)
    return f"{LINE} {process.pid}: {what} (in {where})\n"


if __name__ == "__main__":
    sys.exit(main())
