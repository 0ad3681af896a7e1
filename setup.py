"""The meta-distribution: the three modules of datanommer in one go."""

import sys
from pathlib import Path

# When pip builds, Python does not look for modules in this folder.
sys.path.insert(0, str(Path(__file__).parent))

from distribution import VERSION, setup

setup(
    name="datanommer",
    description="Store the messages of a fedmsg bus in PostgreSQL, and find them again",
    install_requires=[
        f"datanommer.models=={VERSION}",
        f"datanommer.consumer=={VERSION}",
        f"datanommer.commands=={VERSION}",
    ],
    extras_require={
        "amqp": [f"datanommer.consumer[amqp]=={VERSION}"],
        "metrics": [f"datanommer.consumer[metrics]=={VERSION}"],
        "stomp": [f"datanommer.consumer[stomp]=={VERSION}"],
        "embedded": [f"datanommer.models[embedded]=={VERSION}"],
        "parquet": [f"datanommer.models[parquet]=={VERSION}"],
        "fedora": [f"datanommer.models[fedora]=={VERSION}"],
        "report": [f"datanommer.commands[report]=={VERSION}"],
        "schemas": [f"datanommer.models[schemas]=={VERSION}"],
    },
)
