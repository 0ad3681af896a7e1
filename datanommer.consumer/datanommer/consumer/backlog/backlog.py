"""What the hub missed while it was down, fetched from a datagrepper.

fedmsg does that too, but tries only once: an error page ends it with a traceback, and the next
message overwrites the time when the gap began. So datanommer does it itself, with the same keys of
the configuration. It remembers a gap until all its messages are stored, in the spool or rejected.
Fetching a message twice does no harm: it counts as a duplicate.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from fedmsg.consumers import current_proc

from datanommer.consumer.backlog.datagrepper import Datagrepper
from datanommer.consumer.backlog.status import Gap, Status
from datanommer.consumer.backoff import Backoff
from datanommer.consumer.failure import explain
from datanommer.consumer.quiet_log import QuietLog
from datanommer.models.configuration import DATAGREPPER_URL_KEY, STATUS_DIRECTORY_KEY
from datanommer.models.errors import ConfigurationError, NotStorable
from datanommer.models.receiving.received import Received

log = logging.getLogger("fedmsg.consumers.datanommer.backlog")

#: How long after its start the hub may still miss messages, because it is connecting. The other
#: archive also needs a moment until it has them.
SETTLING_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_PAGE_SECONDS = 15.0  # for the page that is being stored, at the end


class Backlog:
    """Notes what the hub has handled, and fetches what it missed in a thread of its own.

    Args:
        datagrepper: where it is fetched from.
        status: what the hub has handled, and the gaps.
        topics: those that the hub listens to. A ``*`` at the end stands for anything.
        keep: stores messages or puts them into the spool, and settles each.
    """

    def __init__(
        self,
        datagrepper: Datagrepper,
        status: Status,
        topics: Sequence[str],
        keep: Callable[[Sequence[Received]], None],
    ) -> None:
        self._datagrepper = datagrepper
        self._status = status
        self._prefixes = tuple(topic.replace("*", "") for topic in topics)
        self._keep = keep
        self._log = QuietLog(log, per_minute=1)
        self._stopping = threading.Event()
        self._keeping = threading.Lock()

    def start(self) -> None:
        """Look for what was missed; call it once the hub has subscribed, and before it runs."""
        until = time.time() + SETTLING_SECONDS
        if gaps := self._status.missed(until):
            thread = threading.Thread(
                target=self._fetch_all,
                args=[gaps, time.monotonic() + SETTLING_SECONDS],
                name="datanommer-backlog",
                daemon=True,
            )
            thread.start()

    def note(self, status: str, received: Received) -> None:
        """Write down how far the hub is.

        Args:
            status: ``"pre"`` before a message is handled, and ``"post"`` afterwards.
            received: the message.
        """
        try:
            self._status.note(status, received.envelope())
        except NotStorable:
            pass  # what cannot be read does not say when it was sent
        except Exception as error:  # noqa: BLE001  a fault of ours must not keep it from the database
            self._log.warning("The status file is not written: %s.", explain(error, log))

    def close(self) -> None:
        """Stop fetching; waits for the page that is being stored, but not for datagrepper."""
        self._stopping.set()
        # A page that is stuck is fetched again after the next start.
        if self._keeping.acquire(timeout=_PAGE_SECONDS):
            self._keeping.release()
        self._log.close()
        self._status.close()

    def _fetch_all(self, gaps: Sequence[Gap], moment: float) -> None:
        self._stopping.wait(moment - time.monotonic())
        for gap in gaps:
            if self._stopping.is_set():
                return
            self._fetch(gap)

    def _fetch(self, gap: Gap) -> None:
        log.info("What this hub missed (%s) is being fetched from %s.", gap, self._datagrepper)
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        number, last, fetched = 1, 1, 0
        while number <= last and not self._stopping.is_set():
            try:
                bodies, last = self._datagrepper.page(*gap, number)
                messages = self._wanted(bodies)
            except Exception as error:  # noqa: BLE001  a fault of ours must lose nothing either
                self._log.warning(
                    "What this hub missed (%s) cannot be fetched from %s: %s. It will be tried "
                    "again until it works.",
                    gap,
                    self._datagrepper,
                    explain(error, log),
                )
                self._stopping.wait(backoff.pause())
                continue
            backoff.reset()
            if not self._is_kept(messages):
                return
            fetched += len(messages)
            number += 1
        if number > last:
            self._status.forget(gap)
            log.warning(
                "What this hub missed (%s) is fetched: %s messages. Those already stored count as "
                "duplicates.",
                gap,
                fetched,
            )

    def _wanted(self, bodies: Sequence[dict[str, Any]]) -> list[Received]:
        envelopes = [{"topic": body.get("topic"), "body": body} for body in bodies]
        return [
            Received.of(each)
            for each in envelopes
            # What has no topic is kept in `rejected`, as it is when it comes over the bus.
            if not isinstance(each["topic"], str) or each["topic"].startswith(self._prefixes)
        ]

    def _is_kept(self, messages: Sequence[Received]) -> bool:
        """Keep messages; whether all were. If not, the hub ends, and fetches them again later."""
        settlement = _Settlement()
        for each in messages:
            each.settlement = settlement
        with self._keeping:
            if not self._stopping.is_set():
                self._keep(messages)
        return settlement.count == len(messages)


class _Settlement:
    """Counts the messages of a page that are kept, or refused."""

    def __init__(self) -> None:
        self.count = 0

    def acknowledge(self) -> None:
        self.count += 1

    refuse = acknowledge


def configured(
    config: Mapping[str, Any],
    name: str,
    topics: Sequence[str],
    keep: Callable[[Sequence[Received]], None],
) -> Backlog | None:
    """The backlog of a consumer; None where the configuration does not ask for one.

    Args:
        config: the fedmsg configuration.
        name: of the consumer's class, and of its status file.
        topics: as `Backlog` takes them.
        keep: likewise.

    Raises:
        ConfigurationError: the folder or the URL cannot be used.
    """
    folder, url = config.get(STATUS_DIRECTORY_KEY), config.get(DATAGREPPER_URL_KEY)
    if not folder or not url:
        return None
    if not isinstance(folder, str):
        raise ConfigurationError(
            f"{STATUS_DIRECTORY_KEY} in the fedmsg configuration must be the path of a folder, "
            'such as "/var/run/fedmsg/status".'
        )
    datagrepper = Datagrepper(url)
    # As in fedmsg.consumers (fedmsg 1.1.7).
    status = Status(Path(folder, current_proc().name(), name), log)
    return Backlog(datagrepper, status, topics, keep)


@contextlib.contextmanager
def withheld(config: MutableMapping[str, Any]) -> Iterator[None]:
    """Take the keys of the backlog out of the configuration for a while.

    fedmsg's own backlog code reads them when a consumer is made. It logs the URL with its password
    and raises on a damaged status file. Afterwards, other consumers of the hub find them again.
    """
    keys = (STATUS_DIRECTORY_KEY, DATAGREPPER_URL_KEY)
    values = {key: config.pop(key) for key in keys if key in config}
    try:
        yield
    finally:
        config.update(values)
