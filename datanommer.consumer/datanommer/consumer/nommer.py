"""The consumer that fedmsg-hub runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fedmsg.consumers import FedmsgConsumer

import datanommer.models
from datanommer.models import database, extraction, migrations, store
from datanommer.models.errors import ConfigurationError, DatanommerError
from datanommer.models.message import Row

#: The key of the fedmsg configuration that names the topics to listen to.
TOPIC_KEY = "datanommer.topic"
_SIGNATURES_KEY = "validate_signatures"

# Below the logger of fedmsg: wherever a configuration sends the hub's log, this goes there too.
log = logging.getLogger("fedmsg.consumers.datanommer")


class Nommer(FedmsgConsumer):  # type: ignore[misc]  # fedmsg has no types
    """Stores every message of the topics that it listens to.

    Without ``datanommer.enabled`` in the fedmsg configuration it does nothing.

    Args:
        hub: the hub of moksha, with the fedmsg configuration in its `config`.

    Raises:
        SystemExit: it cannot start, and has logged why. moksha would log any other exception and
            go on: a hub that looks alive and stores nothing.
    """

    config_key = "datanommer.enabled"
    topic: str | list[str] = "*"

    def __init__(self, hub: Any) -> None:
        if not hub.config.get(self.config_key):
            super().__init__(hub)
            return
        try:
            self._prepare(hub.config)
            super().__init__(hub)  # subscribes: nothing is taken before all of the above is good
        except DatanommerError as error:
            log.critical("datanommer cannot start, and ends the hub. %s", error)
            raise SystemExit(error.exit_code) from None
        except Exception as error:
            log.critical("datanommer cannot start, and ends the hub.", exc_info=True)
            raise SystemExit(1) from error

    def _prepare(self, config: Mapping[str, Any]) -> None:
        self.topic = _topics(config)
        if config.get(_SIGNATURES_KEY) is None:
            # fedmsg would look it up in vain, after it has subscribed.
            self.validate_signatures = False
            log.warning(
                "Signatures are not validated: the fedmsg configuration does not say whether "
                "they should be. Set %s there.",
                _SIGNATURES_KEY,
            )
        _bind_models(config)
        # Here, and not with the first message: several worker threads would race for it.
        extraction.configure(config)

    def validate(self, message: dict[str, Any]) -> None:
        """Refuse a message that is not signed as the configuration asks.

        Raises:
            RuntimeWarning: it is refused. fedmsg lets other exceptions through, such as those of
                a malformed certificate, and expects only this one.
        """
        try:
            super().validate(message)
        except RuntimeWarning:
            raise
        except Exception as error:
            raise RuntimeWarning(f"{type(error).__name__}: {error}") from error

    def consume(self, message: dict[str, Any]) -> None:
        """Store one message; what cannot be stored as it is, is kept among the rejected.

        Args:
            message: the envelope, ``{"topic": str, "body": {...}}``. Where the sender's body was
                no JSON object with a topic, `validate` has put it into `msg` of a body.

        Raises:
            sqlalchemy.exc.DBAPIError, psycopg2.Error: the database failed; nothing was stored.
        """
        item = store.prepare(message)
        counts = store.store([item])
        if counts.rejected:
            # What has a row, and is refused all the same, has the id of another message.
            kind = item.kind if isinstance(item, store.Reject) else "conflict"
            log.warning("Rejected (%s): %s", kind, _name(item))
        elif counts.duplicates:
            log.debug("Duplicate: %s", _name(item))


def _topics(config: Mapping[str, Any]) -> str | list[str]:
    """The topics to listen to: ``*`` stands for anything at the end of one.

    Raises:
        ConfigurationError: they are neither text nor a list of texts.
    """
    topics = config.get(TOPIC_KEY, Nommer.topic)
    if isinstance(topics, str):
        return topics
    if isinstance(topics, list | tuple) and topics and all(isinstance(t, str) for t in topics):
        return list(topics)
    raise ConfigurationError(
        f"{TOPIC_KEY} in the fedmsg configuration must be a topic or a list of topics, "
        'such as "*" (all of them) or ["org.fedoraproject.prod.bodhi.*"].'
    )


def _bind_models(config: Mapping[str, Any]) -> None:
    location = database.locate(config=config)
    log.info(
        "datanommer writes to %s, named by %s.", database.describe(location.url), location.source
    )
    engine = database.create_engine(location.url)
    migrations.require_head(engine)
    datanommer.models.init(engine=engine)


def _name(item: Row | store.Reject) -> str:
    """Which message it is, for the log: never its content, and no more than a line."""
    return f"msg_id {_shown(item.msg_id)}, topic {_shown(item.topic)}"


def _shown(value: Any) -> str:
    # What is rejected may have anything for an id.
    return repr(value[:200]) if isinstance(value, str) else type(value).__name__
