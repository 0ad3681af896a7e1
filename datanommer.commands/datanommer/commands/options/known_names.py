"""Names in the archive, for Tab: topics, categories, users and packages.

Somebody waits for them with a line half typed. So they come within a second or not at all, and
without a word; nothing is started or changed for them.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: In seconds, for the database. Until it is asked, 0.25 have passed, or 0.5 where the fedmsg
#: configuration names it; on a busy machine, more, and that is not the database's fault.
_PATIENCE = 0.4
#: The server's own: it gives up as well.
_SETTINGS = {"statement_timeout": "400ms", "lock_timeout": "400ms"}
#: The filters that it completes, and what the names are of: whoever did something is a user.
_KINDS = {
    "topics": "topics",
    "categories": "categories",
    "users": "users",
    "packages": "packages",
    "agents": "users",
}


def complete(
    filter_: str,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]] | None:
    """What completes the value of a filter; None where the archive has no names for it.

    Args:
        filter_: its name in `Filters`.
    """
    kind = _KINDS.get(filter_.removeprefix("not_"))
    if kind is None:
        return None

    def names(
        ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        # A configuration is Python: it may print something, or end the process.
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.suppress(Exception, SystemExit),
        ):
            found = _ask(kind, incomplete, ctx.params.get("url"), ctx.params.get("config_filename"))
            # No others can be typed.
            return [CompletionItem(name) for name in found if name.isprintable()]
        return []

    return names


def _ask(kind: str, start: str, url: str | None, config_filename: str | None) -> Sequence[str]:
    from datanommer.models import embedded
    from datanommer.models.database import engine as engines
    from datanommer.models.database import location
    from datanommer.models.filtering import suggestions

    # Where that is a replica that does not answer, nothing is completed: there is no time for two.
    named = location.locate(url, config_filename=config_filename, replica_will_do=True).url
    folder = location.embedded_folder(named)
    with _in_time():
        # An embedded server that does not run is not started.
        running = embedded.status(folder).url if folder else named
        if running is None:
            return []
        engine = engines.create_engine(running, settings=_SETTINGS, pre_ping=False)
        with engine.connect() as connection:
            return suggestions.starting_with(connection, kind, start)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """End the process, without candidates, where something takes too long."""
    # A thread: whatever hangs (the driver, a resolver of names), Python would hear no alarm.
    timer = threading.Timer(_PATIENCE, os._exit, [0])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
