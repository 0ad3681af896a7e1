"""What can go wrong with a spool while messages wait in it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from bus import happens

from .scene import Scene

SpoolFault = Callable[[Scene, random.Random], AbstractContextManager[None]]

_PAGE = 4096
_NOTICE_SECONDS = 5


@contextlib.contextmanager
def page_damaged(scene: Scene, choice: random.Random) -> Iterator[None]:
    """The disk gives back something else than was written."""
    file = choice.choice(_files(scene))
    with file.open("r+b") as content:
        content.seek(choice.randrange(file.stat().st_size // _PAGE + 1) * _PAGE)
        content.write(choice.randbytes(_PAGE))
    yield


@contextlib.contextmanager
def file_truncated(scene: Scene, choice: random.Random) -> Iterator[None]:
    file = choice.choice(_files(scene))
    os.truncate(file, choice.randrange(file.stat().st_size))
    yield


@contextlib.contextmanager
def folder_gone(scene: Scene, choice: random.Random) -> Iterator[None]:
    """Somebody removes the folder. The hub notices with the next message."""
    gone = scene.spool.with_name(f"gone-{choice.randrange(2**32)}")
    scene.spool.rename(gone)
    shutil.rmtree(gone)
    # Who ends before it has noticed takes with it what it knew.
    happens(lambda: Path(scene.spool / "state").exists(), _NOTICE_SECONDS)
    yield


@contextlib.contextmanager
def disk_full(scene: Scene, _: random.Random) -> Iterator[None]:
    assert scene.disk
    scene.disk.fill()
    try:
        yield
    finally:
        scene.disk.empty()


#: Those that cost messages, which are to be counted.
COSTLY: dict[str, SpoolFault] = {
    fault.__name__: fault for fault in (page_damaged, file_truncated, folder_gone)
}


def _files(scene: Scene) -> list[Path]:
    """The files of the spool that hold messages, or how far it is."""
    return [file for file in scene.spool.iterdir() if file.stat().st_size > 0]
