"""The distribution of the plug-in for fedmsg-hub: python-datanommer-consumer."""

import shutil
from pathlib import Path

from setuptools import find_namespace_packages, setup
from setuptools.command.build import build

HERE = Path(__file__).parent


class FreshBuild(build):
    """A build in a checkout must not ship modules that an old build/ still holds."""

    def run(self) -> None:
        shutil.rmtree(HERE / "build", ignore_errors=True)
        super().run()


setup(
    name="datanommer.consumer",
    version="2.0.0",
    description="A plug-in for fedmsg-hub that stores the messages of the bus in PostgreSQL",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license_expression="GPL-3.0-or-later",
    license_files=["LICENSE"],
    url="https://github.com/fedora-infra/datanommer/",
    packages=find_namespace_packages(include=["datanommer.*"], exclude=["*.__pycache__"]),
    package_data={"datanommer.consumer": ["py.typed"]},
    python_requires=">=3.11",
    install_requires=[
        "datanommer.models==2.0.0",
        # consumers: fedmsg.consumers imports psutil. commands: fedmsg-hub, -relay and -logger.
        # What signatures need comes with the models.
        "fedmsg[consumers,commands]==1.1.7",
        "moksha.hub==1.5.17",
        # moksha.hub imports pkg_resources, which setuptools 82 took out; up to 75.8.1 it does not
        # find distributions with a dot in their name, and the hub would not load this one.
        "setuptools>=75.8.2,<82",
    ],
    extras_require={
        # For Callback, which stores what comes over AMQP.
        "amqp": ["fedora-messaging>=3.9,<4"],
    },
    entry_points={"moksha.consumer": ["datanommer = datanommer.consumer:Nommer"]},
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
