"""Names in the archive, for Tab: topics, categories, users and packages.

Somebody is waiting with a half-typed line. So they come within a second or not at all, without a
message, and nothing is started or changed for them.
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

#: Seconds for the database to answer. By then 0.25 have passed, or 0.5 if the fedmsg configuration
#: names it, or more on a busy machine: the database is not blamed for those.
_PATIENCE = 0.4
#: They make the server give up as well.
_SETTINGS = {"statement_timeout": "400ms", "lock_timeout": "400ms"}
#: The filters to complete, and the kind of names for each: an agent is a user.
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
    """A function that completes the value of a filter; None if the archive has no names for it.

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
            # Other names cannot be typed.
            return [CompletionItem(name) for name in found if name.isprintable()]
        return []

    return names


def _ask(kind: str, start: str, url: str | None, config_filename: str | None) -> Sequence[str]:
    from datanommer.models import embedded
    from datanommer.models.database import engine as engines
    from datanommer.models.database import location
    from datanommer.models.filtering import suggestions

    # If a replica does not answer, there is no time left to ask the primary.
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
    """End the process, without candidates, if something takes too long."""
    # A thread, not SIGALRM: Python does not notice a signal while the driver or DNS hangs.
    timer = threading.Timer(_PATIENCE, os._exit, [0])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
