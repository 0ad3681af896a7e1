"""The meta-distribution: the three modules of datanommer in one go."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent

setup(
    name="datanommer",
    version="2.0.0",
    description="Store the messages of a fedmsg bus in PostgreSQL, and find them again",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license_expression="GPL-3.0-or-later",
    license_files=["LICENSE"],
    url="https://github.com/fedora-infra/datanommer/",
    packages=[],
    python_requires=">=3.11",
    install_requires=[
        "datanommer.models==2.0.0",
        "datanommer.consumer==2.0.0",
        "datanommer.commands==2.0.0",
    ],
    extras_require={
        "amqp": ["datanommer.consumer[amqp]==2.0.0"],
        "embedded": ["datanommer.models[embedded]==2.0.0"],
        "fedora": ["datanommer.models[fedora]==2.0.0"],
    },
)
