"""What all distributions of datanommer have in common; each setup.py adds what is its own.

Every folder with a setup.py has this file: in a checkout as a link, in an sdist as a copy.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import setuptools
from setuptools.command.build import build

VERSION = "2.0.0"
# Not resolved: the folder of the link is the one whose setup.py imports this.
_FOLDER = Path(__file__).parent


class FreshBuild(build):
    """A build in a checkout must not ship modules and revisions that an old build/ still holds."""

    def run(self) -> None:
        shutil.rmtree(_FOLDER / "build", ignore_errors=True)
        super().run()


def setup(*, name: str, description: str, install_requires: list[str], **own: Any) -> None:
    """Describe one distribution to setuptools.

    Args:
        name: what pip calls it.
        description: what it is for, in one line.
        install_requires: what it needs; siblings as ``==VERSION``, as PyPI has other people's
            packages of the same names.
        own: what else setuptools is to know of this one, such as ``entry_points``.
    """
    setuptools.setup(
        name=name,
        version=VERSION,
        description=description,
        long_description=(_FOLDER / "README.rst").read_text(encoding="utf-8"),
        long_description_content_type="text/x-rst",
        license_expression="GPL-3.0-or-later",
        license_files=["LICENSE"],
        url="https://github.com/fedora-infra/datanommer/",
        packages=setuptools.find_namespace_packages(
            str(_FOLDER), include=["datanommer.*"], exclude=["*.__pycache__"]
        ),
        package_data={"": ["py.typed", "*.css", "*.html", "*.ini", "*.json", "*.mako", "*.sql"]},
        python_requires=">=3.11",
        install_requires=install_requires,
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
        **own,
    )
