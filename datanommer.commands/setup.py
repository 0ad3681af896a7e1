"""The distribution of the command-line tools: datanommer-commands."""

import runpy
import shutil
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build import build

HERE = Path(__file__).parent
# Read as a file: a build needs nothing of datanommer to be installed.
LIST = HERE / "datanommer" / "commands" / "command_list.py"
COMMANDS = runpy.run_path(str(LIST))["COMMANDS"]


class FreshBuild(build):
    """A build in a checkout must not ship modules that an old build/ still holds."""

    def run(self) -> None:
        shutil.rmtree(HERE / "build", ignore_errors=True)
        super().run()


setup(
    name="datanommer.commands",
    version="2.0.0",
    description="Tools for the shell around the archive of a fedmsg bus",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license_expression="GPL-3.0-or-later",
    license_files=["LICENSE"],
    url="https://github.com/fedora-infra/datanommer/",
    packages=find_namespace_packages(include=["datanommer.*"], exclude=["*.__pycache__"]),
    package_data={"datanommer.commands": ["py.typed"]},
    python_requires=">=3.11",
    install_requires=["datanommer.models==2.0.0", "click>=8.2"],
    entry_points={
        "console_scripts": [
            "datanommer = datanommer.commands.cli:main",
            *(
                f"datanommer-{name} = datanommer.commands.{name.replace('-', '_')}:main"
                for name in COMMANDS
            ),
        ]
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
