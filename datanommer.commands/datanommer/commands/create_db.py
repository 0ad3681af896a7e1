"""``datanommer-create-db``: creates the tables in an empty database, with the migrations."""

from __future__ import annotations

import click

from datanommer.commands.command import Command
from datanommer.commands.interruption import cancel_at_end
from datanommer.commands.options.database import database_options
from datanommer.commands.output import progress


@click.command(
    cls=Command,
    examples=[
        "datanommer-create-db",
        "datanommer-create-db --url embedded:///srv/archive",
    ],
)
@database_options
def main(url: str | None, config_filename: str | None) -> None:
    """Create the tables in an empty database.

    If no database is named anywhere, the embedded default is created. So is the embedded server
    that is named, if there is none. A database that has tables already is left as it is.
    """
    from datanommer.models.database import engine as engines
    from datanommer.models.database import location, migrations

    database = location.locate(url, config_filename=config_filename, default_may_be_made=True)
    name = location.describe(database.url)
    with progress.shown(lambda: "starting the server"):
        engine = engines.create_engine(database.url, create=True)
    cancel_at_end(engine)
    if migrations.examine(engine).is_empty:
        migrations.upgrade(engine)
        click.echo(f"Created the tables in {name}.", err=True)
    else:
        migrations.require_head(engine)
        click.echo(f"{name} has all tables already; nothing was changed.", err=True)
