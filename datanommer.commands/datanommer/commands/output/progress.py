"""Shows on standard error how far a command is: on a terminal, and after two seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

# Seconds.
_AFTER = 2.0
_BETWEEN_LINES = 0.5
_CLEAR_LINE = "\r\x1b[K"

#: Functions that say how far the work is, the innermost last.
_descriptions: list[Callable[[], str]] = []
_is_over = threading.Event()
_threads: list[threading.Thread] = []


@contextlib.contextmanager
def shown(describe: Callable[[], str]) -> Iterator[None]:
    """Show how far some work is, instead of the work that it is a part of.

    Args:
        describe: says it, such as "1,234 messages"; called in another thread.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    _descriptions.append(describe)
    if not _threads:
        _threads.append(threading.Thread(target=_show, daemon=True))
        _threads[0].start()
    try:
        yield
    finally:
        if len(_descriptions) == 1:
            hide()
        _descriptions.pop()


def hide() -> None:
    """Show no more: the same terminal is going to show something else."""
    _is_over.set()
    for thread in _threads:
        thread.join()


def _show() -> None:
    start = time.monotonic()
    wait = _AFTER
    while not _is_over.wait(wait):
        wait = _BETWEEN_LINES
        seconds = int(time.monotonic() - start)
        _write(f"{_CLEAR_LINE}{_descriptions[-1]()}, {seconds} s")
    if wait != _AFTER:
        _write(_CLEAR_LINE)


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
