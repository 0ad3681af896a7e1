"""Why nothing was found: a name that the archive does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from datanommer.commands.output.formatting import printable

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datanommer.models.filtering.filters import Filters


def explain(engine: sa.Engine, filters: Filters) -> None:
    """Say on standard error which names no message has, and which may have been meant.

    Args:
        engine: of the database.
        filters: as they were typed.
    """
    from datanommer.models.filtering import suggestions

    with engine.connect() as connection:
        for kind, name, similar in suggestions.unknown(connection, filters):
            hint = f" Did you mean {' or '.join(map(printable, similar))}?" if similar else ""
            click.echo(f"No message has the {kind} {printable(name)}.{hint}", err=True)
