"""A row at which whoever writes it waits, until the test lets them go on."""

from __future__ import annotations

from typing import Self

import psycopg2

from bus import eventually
from classic import execute

_LOCK = 7
_TRIGGER = """
    CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared({lock}); RETURN COALESCE(NEW, OLD); END $$;
    CREATE TRIGGER wait BEFORE {event} FOR EACH ROW WHEN ({row}) EXECUTE FUNCTION wait();
"""
# Of this database: other tests wait for locks in others of the same server.
_WAITING = """
    SELECT 1 FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' AND datname = current_database()
"""


class Halfway:
    """Hold up whoever writes a row: as a context manager.

    Args:
        url: of the database.
        event: of the trigger: ``DELETE ON messages``.
        row: which row, as the trigger sees it: ``OLD.id = 600``.
    """

    def __init__(self, url: str, event: str, row: str) -> None:
        self._url = url
        execute(url, _TRIGGER.format(lock=_LOCK, event=event, row=row))

    def __enter__(self) -> Self:
        self._holder = psycopg2.connect(self._url)
        self._holder.cursor().execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def wait(self) -> None:
        """Wait until somebody waits there."""
        eventually(lambda: execute(self._url, _WAITING), "somebody to wait halfway")

    def let_go(self) -> None:
        """Let them go on, and all who come after them."""
        self._holder.close()
