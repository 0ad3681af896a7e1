"""``datanommer-create-db``: an empty database to head, by way of the migrations."""

from __future__ import annotations

import click

from datanommer.commands.failures import Command
from datanommer.commands.options import database_options


@click.command(cls=Command)
@database_options
def main(url: str | None, config_filename: str | None) -> None:
    """Create the tables in an empty database.

    Where no database is named anywhere, the embedded default is made. A database that has tables
    already is left as it is.
    """
    from datanommer.models import database, migrations

    location = database.locate(url, config_filename=config_filename, default_may_be_made=True)
    name = database.describe(location.url)
    engine = database.create_engine(location.url)
    if migrations.examine(engine).is_empty:
        migrations.upgrade(engine)
        click.echo(f"Created the tables in {name}.", err=True)
    else:
        migrations.require_head(engine)
        click.echo(f"{name} has all tables already; nothing was changed.", err=True)
