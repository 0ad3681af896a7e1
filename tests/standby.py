"""A standby of a server of one's own: it follows by streaming, answers questions, is promoted."""

from __future__ import annotations

from bus import eventually
from postgres import Postgres

_NAME = "standby"


class Standby(Postgres):
    """A hot standby with a copy of the data of a primary.

    Replay is held back with ``set("recovery_min_apply_delay", "5s")``: what is committed on the
    primary is here already, and not seen before that.

    Args:
        primary: the server to follow, which runs.
    """

    def __init__(self, primary: Postgres) -> None:
        self._primary = primary
        super().__init__()

    def _initialise(self) -> None:
        where = f"host={self._primary.folder} port={self._primary.port} user=postgres"
        name = f"application_name={_NAME}"
        self._run(
            *("pg_basebackup", "-D", self._data, "-d", f"{where} {name}"),
            *("--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf"),
        )

    def be_synchronous(self, is_synchronous: bool) -> None:
        """Let each commit of the primary wait until it is on the disk of this standby, or not."""
        self._primary.set("synchronous_standby_names", _NAME if is_synchronous else "")

    def fall_behind(self) -> None:
        """Let it get nothing more from its primary."""
        self.set("primary_conninfo", "")

    def wait_for_replay(self) -> None:
        """Wait until it shows all that is committed on the primary, which runs."""
        ((end,),) = self._primary.execute("SELECT pg_current_wal_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{end}'"
        eventually(lambda: self.execute(replayed) == [(True,)], "the standby to catch up")

    def promote(self) -> None:
        """Let it follow no longer, and take changes; the primary should be stopped or killed."""
        assert self.execute("SELECT pg_promote()") == [(True,)]
