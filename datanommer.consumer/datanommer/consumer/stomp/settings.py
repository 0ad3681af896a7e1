"""What the fedmsg configuration says about STOMP: moksha's keys, and one of datanommer."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moksha.common.lib.converters import asbool

from datanommer.models import configuration
from datanommer.models.configuration import STOMP_VHOST_KEY, TOPIC_KEY
from datanommer.models.errors import ConfigurationError

#: What is offered and asked for where the configuration does not say so, in milliseconds.
HEART_BEAT = 10_000
#: How many batches may be under way: one is stored, one examined, one gathered.
_BATCHES = 3
_MODES = ("auto", "client", "client-individual")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to speak to the broker.

    Attributes:
        user: of the broker.
        password: of the user.
        vhost: the virtual host; None for the name of the broker's host.
        queue: what to subscribe to, instead of the topics of the consumers.
        acknowledges: whether messages are acknowledged one by one, once they are kept.
        refuses: whether the broker hears of messages that are not kept and never will be.
        unescapes: whether headers have escapes, in what comes and in what is sent.
        heart_beat: how often each side says that it is there, in milliseconds; 0 for never.
        prefetch: how many messages may be under way.
    """

    user: str
    password: str = field(repr=False)
    vhost: str | None
    queue: str | None
    acknowledges: bool
    refuses: bool
    unescapes: bool
    heart_beat: int
    prefetch: int

    @classmethod
    def of(cls, config: Mapping[str, Any], batch_size: int) -> Settings:
        """What a configuration says; the defaults are those of moksha.hub 1.5.17.

        Args:
            config: the fedmsg configuration.
            batch_size: the most messages of a batch.

        Raises:
            ConfigurationError: a value cannot be used, or a library is missing.
        """
        mode = config.get("stomp_ack_mode", "client-individual")
        if mode not in _MODES:
            raise ConfigurationError(
                f"stomp_ack_mode in the fedmsg configuration must be one of {', '.join(_MODES)}."
            )
        _require_service_identity(config)
        queue = config.get("stomp_queue")
        if not queue and config.get(TOPIC_KEY, "*") == "*":
            raise ConfigurationError(
                "The fedmsg configuration does not say what to subscribe to over STOMP. Name a "
                f"queue with stomp_queue, or destinations with {TOPIC_KEY}, such as "
                '"/topic/VirtualTopic.eng.>".'
            )
        heart_beats = range(24 * 60 * 60 * 1000 + 1)
        return cls(
            user=config.get("stomp_user", "guest"),
            password=config.get("stomp_pass", "guest"),
            vhost=config.get(STOMP_VHOST_KEY),
            queue=queue or None,
            acknowledges=mode != "auto",
            refuses=asbool(config.get("stomp_send_explicit_nacks", True)),
            unescapes=asbool(config.get("stomp_unescape_headers", True)),
            heart_beat=configuration.whole_number(
                config, "stomp_heartbeat", HEART_BEAT, heart_beats
            ),
            prefetch=_BATCHES * batch_size,
        )


def _require_service_identity(config: Mapping[str, Any]) -> None:
    has_certificate = config.get("stomp_ssl_key") and config.get("stomp_ssl_crt")
    if has_certificate and importlib.util.find_spec("service_identity") is None:
        raise ConfigurationError(
            "stomp_ssl_key is in the fedmsg configuration, but nothing here can check a broker's "
            "certificate. Install datanommer.consumer[stomp]."
        )
