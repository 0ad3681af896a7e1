"""The PostgreSQL server of an archive: who we are there, and whether its standbys keep up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import sqlalchemy as sa

_SERVER = sa.text(
    """
    SELECT current_setting('server_version'), current_user,
        (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
        ARRAY(
            SELECT rolname::text FROM pg_roles
            WHERE rolname IN ('datanommer_owner', 'datanommer_maintainer', 'datanommer_writer',
                'datanommer_reader') AND pg_has_role(current_user, oid, 'MEMBER')
            ORDER BY rolname
        ),
        pg_is_in_recovery()
    """
)
# A role without pg_monitor sees only the process of a standby.
_FOLLOWERS = sa.text(
    """
    SELECT application_name, state, behind,
        CASE WHEN behind = 0 THEN 0 ELSE extract(epoch FROM replay_lag)::float8 END
    FROM pg_stat_replication, LATERAL (
        SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint AS behind
    ) AS difference
    ORDER BY application_name
    """
)
# A standby that has replayed all that it got is up to date, if it is still streaming.
_FOLLOWING = sa.text(
    """
    SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) AS is_streaming,
        pg_last_wal_receive_lsn() IS NOT DISTINCT FROM pg_last_wal_replay_lsn(),
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
    """
)


class Server(NamedTuple):
    """A server, and who we are there.

    Attributes:
        version: of PostgreSQL.
        role: the name of the role that we run as.
        is_superuser: whether it may do anything.
        groups: the roles of datanommer that it is a member of.
        is_standby: whether the server is a standby, which takes no changes.
    """

    version: str
    role: str
    is_superuser: bool
    groups: Sequence[str]
    is_standby: bool


class Standby(NamedTuple):
    """A standby.

    Attributes:
        name: its ``application_name``.
        is_streaming: whether it gets what its primary writes; None if the role may not see that.
        behind: how many bytes it has still to replay; None if that is not known.
        lag: how far it is behind in time; None if that is not known.
    """

    name: str
    is_streaming: bool | None
    behind: int | None
    lag: timedelta | None


def look(connection: sa.Connection) -> Server:
    """The server, and who we are there.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    return Server(*connection.execute(_SERVER).one())


def standbys(connection: sa.Connection) -> list[Standby]:
    """The standbys that follow a primary; on a standby, only itself.

    Raises:
        sqlalchemy.exc.DBAPIError: the database failed.
    """
    if connection.scalar(sa.text("SELECT pg_is_in_recovery()")):
        return [_itself(connection)]
    return [
        Standby(
            name or "a standby",
            None if state is None else state == "streaming",
            behind,
            _duration(seconds),
        )
        for name, state, behind, seconds in connection.execute(_FOLLOWERS)
    ]


def _itself(connection: sa.Connection) -> Standby:
    is_streaming, has_replayed_all, seconds = connection.execute(_FOLLOWING).one()
    is_current = is_streaming and has_replayed_all
    return Standby(
        "this server", is_streaming, None, timedelta(0) if is_current else _duration(seconds)
    )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
