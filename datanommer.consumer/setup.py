"""The distribution of the plug-in for fedmsg-hub: python-datanommer-consumer."""

import sys
from pathlib import Path

# When pip builds, Python does not look for modules in this folder.
sys.path.insert(0, str(Path(__file__).parent))

from distribution import VERSION, setup

setup(
    name="datanommer.consumer",
    description="A plug-in for fedmsg-hub that stores the messages of the bus in PostgreSQL",
    install_requires=[
        # Brings the right versions of fedmsg and setuptools, and what signatures need.
        f"datanommer.models=={VERSION}",
        # consumers: fedmsg.consumers imports psutil. commands: fedmsg-hub, -relay and -logger.
        "fedmsg[consumers,commands]",
        "moksha.hub==1.5.17",
        "requests>=2.28",
    ],
    extras_require={
        # For a STOMP broker with TLS: tells whether a certificate is the broker's.
        "stomp": ["service_identity>=21.1"],
        # For Callback, which stores what comes over AMQP.
        "amqp": ["fedora-messaging>=3.9,<4"],
        # For datanommer.metrics: what Prometheus asks for.
        "metrics": ["prometheus_client>=0.17"],
    },
    entry_points={"moksha.consumer": ["datanommer = datanommer.consumer:Nommer"]},
)
