"""How a command ends at once: on Ctrl-C, and when nobody reads its output any more.

Python handles a signal only between two of its own instructions, so the main thread is deaf while
libpq waits for a server. So another thread handles it: it cancels what runs in the database, lets
the command say its last words, and ends the process. The server rolls back what was not committed.

The main thread only stands still; nothing is raised there. An exception that can come at any moment
may hit code that catches it, or a place where Python can only print it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import sqlalchemy as sa

#: The exit code of a command that was interrupted.
INTERRUPTED = 130
# Seconds: for the server to cancel, and for the main thread to reach a place to stand still.
_GRACE = 0.3
_BETWEEN_CANCELS = 0.05

_is_script = False
_heard: list[int] = []
_connections: list[weakref.ref[Any]] = []
_last_words: list[Callable[[], object]] = []
_ending = threading.Event()
_standing_still = threading.Event()


@contextlib.contextmanager
def console_script() -> Iterator[None]:
    """Let this module end the process; Ctrl-C does so unless the process ignores it."""
    global _is_script  # noqa: PLW0603  there is one process
    _is_script = True
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Python writes to it at once, whatever the main thread is doing.
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(reading,), daemon=True).start()
    _hear(signal.SIGINT)
    try:
        yield
    finally:
        # Our threads no longer run while Python shuts down.
        while _heard:
            signal.signal(_heard.pop(), signal.SIG_DFL)


def hear_sigterm() -> None:
    """Let SIGTERM do what Ctrl-C does, from now on."""
    if _is_script:
        _hear(signal.SIGTERM)


def cancel_at_end(engine: sa.Engine) -> None:
    """Have the statements of an engine's connections cancelled when the process has to end."""
    import sqlalchemy as sa

    @sa.event.listens_for(engine, "connect")
    def note(connection: Any, _record: object) -> None:
        _connections.append(weakref.ref(connection))


@contextlib.contextmanager
def last_words(say: Callable[[], object]) -> Iterator[None]:
    """Say something at the end of some work, and also when the work fails or is interrupted.

    After an interruption, the work goes on until `give_way`, or until the database cancels it, or
    for `_GRACE` seconds, so that what was committed is counted.

    Args:
        say: says it; called in another thread if the work was interrupted.
    """
    _last_words.append(say)
    try:
        yield
    finally:
        give_way()
        _last_words.remove(say)
        say()


@contextlib.contextmanager
def ended_by_reader() -> Iterator[None]:
    """Let the process end with exit code 0 as soon as nobody reads its standard output any more.

    This works even while it writes nothing: otherwise it might work for hours for nobody.
    """
    is_over = threading.Event()
    output = sys.stdout.fileno()
    if _is_script and stat.S_ISFIFO(os.fstat(output).st_mode):
        threading.Thread(target=_wait_for_reader, args=(output, is_over), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def is_ending() -> bool:
    """Whether the process is about to end, so that nothing more should be begun."""
    return _ending.is_set()


def give_way() -> None:
    """If the process is about to end, stand still until it has."""
    if _ending.is_set():
        _stand_still()


def _hear(number: int) -> None:
    if signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, _on_signal)
        _heard.append(number)


def _on_signal(_number: int, _frame: object) -> None:
    _ending.set()
    if not _last_words:
        _stand_still()


def _stand_still() -> NoReturn:
    _standing_still.set()
    while True:
        time.sleep(_GRACE)


def _listen(signals: int) -> None:
    os.read(signals, 1)
    interrupted = time.monotonic()
    threading.Thread(target=_end, args=(INTERRUPTED,), daemon=True).start()
    # Some senders signal a process, and then its group as well.
    while time.monotonic() - interrupted < _GRACE:
        os.read(signals, 1)
    os._exit(INTERRUPTED)


def _wait_for_reader(output: int, is_over: threading.Event) -> None:
    poll = select.poll()
    poll.register(output, 0)
    poll.poll()
    if not is_over.is_set():
        _end(0)


def _end(exit_code: int) -> None:
    _ending.set()
    canceller = threading.Thread(target=_cancel, daemon=True)
    canceller.start()
    canceller.join(_GRACE)
    for say in reversed(_last_words):
        with contextlib.suppress(Exception):
            say()
    os._exit(exit_code)


def _cancel() -> None:
    """Cancel again and again until the main thread stands still: another statement may follow."""
    while True:
        for reference in _connections:
            # The connection may be gone or closed by now, or the server down.
            with contextlib.suppress(Exception):
                reference().cancel()  # type: ignore[union-attr]
        if _standing_still.wait(_BETWEEN_CANCELS):
            break
