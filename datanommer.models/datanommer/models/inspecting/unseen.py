"""What could not be seen, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from datanommer.models.database import engine as engines
from datanommer.models.errors import DatabaseUnavailable, DatanommerError

Seen = TypeVar("Seen")


class Unseen(NamedTuple):
    """A part that could not be seen.

    Attributes:
        reason: why, in a sentence.
        is_away: whether that is because there is no database, or none that answers.
    """

    reason: str
    is_away: bool = False


def see(look: Callable[[], Seen]) -> Seen | Unseen:
    """What a look gives; if it fails, why it did.

    Args:
        look: asks the database, or reads a file.
    """
    try:
        return look()
    except DatanommerError as error:
        return Unseen(str(error), is_away=isinstance(error, DatabaseUnavailable))
    except sa.exc.DBAPIError as error:
        return Unseen(f"The database refused: {engines.reason(error)}.")
    except OSError as error:
        return Unseen(f"{error.filename} cannot be read: {error.strerror}.")
