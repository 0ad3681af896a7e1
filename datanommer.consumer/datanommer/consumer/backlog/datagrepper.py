"""A datagrepper: the HTTP interface of an archive, which has what this hub missed.

It does not give back what was sent, but the columns of its archive;
`datanommer.models.preparing.archive_copy` undoes that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

from datanommer.models.configuration import DATAGREPPER_URL_KEY
from datanommer.models.errors import ConfigurationError, DatanommerError
from datanommer.models.preparing.archive_copy import restored

#: The most messages of a page: datagrepper gives no more.
PAGE_SIZE = 100
#: For how long a datagrepper may say nothing. It first counts all messages of the gap.
TIMEOUT_SECONDS = 60.0
_CONNECT_SECONDS = 10.0


class DatagrepperError(DatanommerError):
    """A datagrepper did not give what it was asked for."""


class Page(NamedTuple):
    """A page of messages.

    Attributes:
        bodies: the bodies of the messages, as far as they can be restored.
        last: the number of the last page; 0 where there is none.
    """

    bodies: list[dict[str, Any]]
    last: int


class Datagrepper:
    """A datagrepper.

    Args:
        url: of its messages, such as ``https://apps.example.com/datagrepper/raw``.

    Raises:
        ConfigurationError: it is not an HTTP URL.
    """

    def __init__(self, url: Any) -> None:
        self._name = _without_secrets(url)
        self._url: str = url

    def __str__(self) -> str:
        return self._name

    def page(self, start: int, end: int, number: int) -> Page:
        """One page of the messages that were sent within a time, the oldest first.

        Args:
            start: epoch seconds.
            end: likewise.
            number: of the page, from 1.

        Raises:
            DatagrepperError: it did not answer, or its answer is not a page of messages.
        """
        range_of_page: dict[str, int | str] = {
            "start": start,
            "end": end,
            "order": "asc",
            "page": number,
            "rows_per_page": PAGE_SIZE,
        }
        try:
            response = requests.get(
                self._url,
                params=range_of_page,
                headers={"Accept": "application/json"},
                timeout=(_CONNECT_SECONDS, TIMEOUT_SECONDS),
            )
            if response.status_code != requests.codes.ok:
                raise DatagrepperError(f"it answers with HTTP status {response.status_code}")
            content = response.json()
        except (requests.JSONDecodeError, RecursionError):
            raise DatagrepperError("its answer cannot be read as JSON") from None
        except requests.RequestException as error:
            raise DatagrepperError(_reason(error)) from None
        return _read(content)


def _read(content: Any) -> Page:
    try:
        last, messages = content["pages"], content["raw_messages"]
    except (KeyError, TypeError):
        raise DatagrepperError("its answer has not the keys pages and raw_messages") from None
    is_list = isinstance(messages, list) and all(isinstance(each, dict) for each in messages)
    if type(last) is not int or not is_list:
        raise DatagrepperError("its answer is not a page of messages")
    return Page([restored(each) for each in messages], last)


def _without_secrets(url: Any) -> str:
    """The URL without a password, which may be before the host or in the query."""
    try:
        parts = urlsplit(url)
        # Raises if there can be no such port.
        port = "" if parts.port is None else f":{parts.port}"
        if parts.scheme in ("http", "https") and parts.hostname:
            return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
    except (AttributeError, TypeError, ValueError):
        pass
    raise ConfigurationError(
        f"{DATAGREPPER_URL_KEY} in the fedmsg configuration must be a URL, such as "
        '"https://apps.example.com/datagrepper/raw".'
    )


def _reason(error: requests.RequestException) -> str:
    """Why a request failed, without quoting any part of the URL."""
    if isinstance(error, requests.ConnectTimeout):
        return f"no connection within {_CONNECT_SECONDS:.0f} seconds"
    if isinstance(error, requests.Timeout):
        return f"no answer for {TIMEOUT_SECONDS:.0f} seconds"
    for each in _causes(error):
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
    return f"the connection failed ({type(error).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
