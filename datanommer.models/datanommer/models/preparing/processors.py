"""The processors of `fedmsg.meta`, which know what the messages of each application mean.

They are other people's code: whatever one does, nothing is raised.
"""

from __future__ import annotations

import dis
import inspect
import logging
import warnings
from collections.abc import Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any

from datanommer.models import configuration
from datanommer.models.errors import ConfigurationError

log = logging.getLogger(__name__)

#: For how many topics the processor is remembered; a bus has some hundreds.
_KNOWN_TOPICS = 10_000
# What reads variables that it does not name.
_ANY_VARIABLE = {"locals", "vars", "dir", "eval", "exec"}

_config: Mapping[str, Any] | None = None
_config_filename: str | None = None
# Whether every processor recognises its messages by the topic alone.
_topic_decides = False


def configure(config: Mapping[str, Any]) -> None:
    """Make the processors ready. Otherwise the first message does, and reads the configuration.

    Args:
        config: the fedmsg configuration.
    """
    global _config, _topic_decides  # noqa: PLW0603  as fedmsg.meta keeps its processors
    with warnings.catch_warnings():
        # Imported here, because that takes 0.4 s of CPU. fedmsg imports pkg_resources, which warns
        # that it is deprecated.
        warnings.simplefilter("ignore")
        import fedmsg.meta
        from fedmsg.meta.base import BaseProcessor

        fedmsg.meta.log.addFilter(_without_traceback)
        try:
            fedmsg.meta.make_processors(**config)
        finally:
            fedmsg.meta.log.removeFilter(_without_traceback)
    _config = config
    _topic_decides = all(
        getattr(getattr(processor, "handle_msg", None), "__func__", None)
        is BaseProcessor.handle_msg
        for processor in fedmsg.meta.processors
    )
    _processor_of_topic.cache_clear()


def configure_from(filename: str | None) -> None:
    """Name the file that the first message reads the configuration from."""
    global _config_filename  # noqa: PLW0603
    _config_filename = filename


def processor_of(body: Mapping[str, Any]) -> Any:
    """The processor of a message; None where only the default one fits, which knows nothing.

    Args:
        body: the body of the message, with `topic` and `msg`.
    """
    if _config is None:
        configure(_loaded())
    topic = body.get("topic")
    if _topic_decides and isinstance(topic, str):
        return _processor_of_topic(topic)
    return _find_processor(body)


def ask(processor: Any, method: str, body: Mapping[str, Any]) -> Any:
    """What a processor says of a message; None where it fails.

    As `fedmsg.meta` does it, without a traceback in the log for each message that a processor
    fails on.

    Args:
        processor: the processor of the message.
        method: such as ``usernames`` or ``subtitle``.
        body: the body of the message.
    """
    try:
        function = getattr(processor, method)
        if _reads_config(getattr(function, "__func__", None)):
            return function(body, **(_config or {}))
        return function(body)
    except Exception as error:  # processors are other people's code
        log.debug(
            "fedmsg.meta failed on %s: %s", body.get("msg_id"), type(error).__name__, exc_info=True
        )
        return None


@lru_cache(maxsize=_KNOWN_TOPICS)
def tells(kind: type[Any], method: str) -> bool:
    """Whether a class of processors has a method of its own, and not the default one.

    Two thirds of Fedora's processors know no packages.
    """
    from fedmsg.meta.base import BaseProcessor

    return getattr(kind, method, None) is not getattr(BaseProcessor, method)


@lru_cache(maxsize=_KNOWN_TOPICS)
def _reads_config(function: Any) -> bool:
    """Whether a method of a processor may read the configuration, which it gets as keywords.

    Nearly all are ``def method(self, msg, **config)`` and look at `msg` alone. To hand over the
    hundred keys of a hub takes longer than all that they do.
    """
    if not isinstance(function, FunctionType):
        return True
    takes = inspect.getfullargspec(function)
    is_usual = len(takes.args) == len(("self", "msg")) and takes.varkw
    if not is_usual or takes.varargs or takes.kwonlyargs:
        return True
    read: set[Any] = set()
    for instruction in dis.get_instructions(function):
        argument = instruction.argval  # two names, where Python 3.13 reads two at once
        read.update(argument if isinstance(argument, tuple) else [argument])
    return not read.isdisjoint({takes.varkw, *_ANY_VARIABLE})


@lru_cache(maxsize=_KNOWN_TOPICS)
def _processor_of_topic(topic: str) -> Any:
    return _find_processor({"topic": topic})


def _find_processor(body: Mapping[str, Any]) -> Any:
    import fedmsg.meta
    from fedmsg.meta.default import DefaultProcessor

    processor = ask(fedmsg.meta, "msg2processor", body)
    return None if isinstance(processor, DefaultProcessor) else processor


def _without_traceback(record: logging.LogRecord) -> bool:
    """Drop the traceback of a processor that cannot be loaded: which one and why is enough."""
    record.exc_info = None
    return True


def _loaded() -> Mapping[str, Any]:
    try:
        return configuration.load(_config_filename)
    except ConfigurationError as error:
        log.warning("The processors of fedmsg.meta run with the defaults of fedmsg. %s", error)
        return configuration.defaults()
