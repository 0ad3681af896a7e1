"""A made-up bus that is busy in the way that a real one is; the same seed gives the same messages.

A few topics, users and packages have most of the messages (Zipf), robots have a category of their
own, a message has 1.1 kB of JSON in the mean with a long tail, and 40 hosts sign them.
"""

from __future__ import annotations

import base64
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

#: Where the processors of fedmsg_meta_fedora_infrastructure look.
FEDORA = "org.fedoraproject.prod"
#: Where no processor looks.
UNKNOWN = "org.example.prod"

TOPICS = 400
USERS = 5_000
PACKAGES = 20_000
HOSTS = 40
MEAN_BYTES = 1_100
#: All messages were sent in these two years (epoch seconds).
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2022, 2024))

_CHUNK = 1000
_SPREAD = 1.0  # of the logarithm of the size: one message in a thousand has over 10 kB
_ROBOT_SHARE = 0.7  # of the messages of a category that has a robot
_ROBOTS = 6
_NAMES = (
    *("buildsys", "git", "bodhi", "copr", "pagure", "github", "koschei", "wiki", "askbot"),
    *("fedbadges", "fas", "planet", "ansible", "mailman", "meetbot", "pkgdb", "anitya", "faf"),
    *("hotness", "openqa", "taskotron", "releng", "compose", "jenkins", "nagios", "trac"),
)
#: All categories, the busiest first.
CATEGORIES = (*_NAMES, *(f"service{number}" for number in range(len(_NAMES), 60)))
# Topics that fedmsg_meta_fedora_infrastructure finds users and packages in.
_KNOWN = {
    "buildsys": ("build.state.change", "tag"),
    "git": ("receive",),
    "bodhi": ("update.comment",),
    "wiki": ("article.edit",),
}


class Sent(NamedTuple):
    """A message of the bus, and whom it concerns.

    Attributes:
        envelope: ``{"topic": str, "body": {...}}``, signed with a signature that fits nothing.
        users: the names of the users, sorted.
        packages: the names of the packages, sorted.
    """

    envelope: dict[str, Any]
    users: tuple[str, ...]
    packages: tuple[str, ...]


class Bus:
    """Some number of messages, spread over two years.

    Args:
        messages: how many there are.
        seed: of all that is random.
        prefix: of the topics: `FEDORA` or `UNKNOWN`.
        mean_bytes: of JSON in `msg`; at least 500.
        signed: whether messages have a certificate and a signature.
    """

    def __init__(
        self,
        messages: int,
        *,
        seed: int = 0,
        prefix: str = FEDORA,
        mean_bytes: int = MEAN_BYTES,
        signed: bool = True,
    ) -> None:
        choice = random.Random(seed)
        self.messages = messages
        self._seed = seed
        self._signed = signed
        self._topics = [f"{prefix}.{category}.{rest}" for category, rest, _ in _topics()]
        self._topic_weights = list(itertools.accumulate(weight for *_, weight in _topics()))
        self._users = [f"user{number}" for number in range(USERS)]
        self._user_weights = list(itertools.accumulate(_shares(USERS, 1.0)))
        self._packages = [f"{_word(choice)}-{number}" for number in range(PACKAGES)]
        self._package_weights = list(itertools.accumulate(_shares(PACKAGES, 1.0)))
        self._certificates = [_base64(choice, 1_500) for _ in range(HOSTS)]
        self._files = [_file(choice) for _ in range(5_000)]
        self._words = " ".join(_word(choice) for _ in range(100_000))
        self._mu = math.log(mean_bytes - _FRAME_BYTES) - _SPREAD**2 / 2

    @property
    def topics(self) -> Sequence[str]:
        """All topics that messages may have, the busiest of a category first."""
        return self._topics

    @property
    def packages(self) -> Sequence[str]:
        """All packages, the busiest first."""
        return self._packages

    @property
    def seconds(self) -> int:
        """The time in which all of them are sent."""
        return LAST - FIRST

    def sent(self, start: int = 0, stop: int | None = None) -> Iterator[Sent]:
        """The messages from `start` to before `stop`, oldest first (give or take seconds)."""
        stop = self.messages if stop is None else stop
        for chunk in range(start // _CHUNK, -(-stop // _CHUNK)):
            first = chunk * _CHUNK
            yield from self._chunk(chunk)[max(start - first, 0) : stop - first]

    def envelopes(self, start: int = 0, stop: int | None = None) -> list[dict[str, Any]]:
        """The envelopes of `sent`."""
        return [sent.envelope for sent in self.sent(start, stop)]

    def _chunk(self, chunk: int) -> list[Sent]:
        # A chunk has a seed of its own, so that processes can share the work.
        choice = random.Random(f"{self._seed}/{chunk}")
        topics = choice.choices(range(TOPICS), cum_weights=self._topic_weights, k=_CHUNK)
        users = choice.choices(self._users, cum_weights=self._user_weights, k=_CHUNK)
        packages = choice.choices(self._packages, cum_weights=self._package_weights, k=_CHUNK)
        return [
            self._message(choice, chunk * _CHUNK + place, *drawn)
            for place, drawn in enumerate(zip(topics, users, packages, strict=True))
        ]

    def _message(
        self, choice: random.Random, number: int, topic_number: int, user: str, package: str
    ) -> Sent:
        topic = self._topics[topic_number]
        category = topic.split(".")[3]
        robot = robot_of(category)
        if robot and choice.random() < _ROBOT_SHARE:
            user = robot
        lot = choice.random()
        users = () if lot < 0.3 else (user,)  # noqa: PLR2004  as often as on the real bus
        packages = () if lot > 0.7 else (package,)  # noqa: PLR2004
        timestamp = FIRST + int((LAST - FIRST) * number / self.messages) + choice.randrange(-2, 3)
        body: dict[str, Any] = {
            "i": number % 10_000 + 1,
            "msg": self._content(choice, number, users, packages),
            "msg_id": f"{2022 + (timestamp >= _NEW_YEAR)}-{_uuid(choice)}",
            "timestamp": max(FIRST, timestamp),
            "topic": topic,
            "username": "apache",
        }
        if self._signed:
            body["crypto"] = "x509"
            body["certificate"] = self._certificates[topic_number % HOSTS]
            body["signature"] = _base64(choice, 256)
        return Sent({"topic": topic, "body": body}, users, packages)

    def _content(
        self,
        choice: random.Random,
        number: int,
        users: tuple[str, ...],
        packages: tuple[str, ...],
    ) -> dict[str, Any]:
        size = int(choice.lognormvariate(self._mu, _SPREAD))
        user, package = users[0] if users else None, packages[0] if packages else ""
        word = choice.randrange(len(self._words) - size // 2)
        file = choice.randrange(len(self._files) // 2)
        return {
            "agent": user,
            "owner": user,
            "user": user,
            "name": package,
            "build_id": number,
            "old": 0,
            "new": choice.randrange(5),
            "instance": "primary",
            "commit": {
                "repo": package,
                "username": user,
                "rev": f"{choice.getrandbits(160):040x}",
                "message": self._words[word : word + size // 2],
            },
            "comment": {"author": user, "karma": 0, "text": "", "timestamp": 1360349639.0},
            "files": self._files[file : file + size // 2 // _FILE_BYTES],
        }


def robot_of(category: str) -> str | None:
    """The user that sends most messages of a busy category, and none of any other."""
    return f"{category}-robot" if category in CATEGORIES[:_ROBOTS] else None


_NEW_YEAR = datetime(2023, 1, 1, tzinfo=UTC).timestamp()
# Measured: the bytes of a message besides its files and its text, and those of a file.
_FRAME_BYTES = 320
_FILE_BYTES = 60


def _topics() -> list[tuple[str, str, float]]:
    """The category, the rest of its name and the weight of each topic."""
    sizes = [1] * len(CATEGORIES)
    shares = _shares(len(CATEGORIES), 0.8)
    for number in range(len(sizes)):
        sizes[number] += int((TOPICS - len(sizes)) * shares[number])
    sizes[0] += TOPICS - sum(sizes)
    return [
        (category, rest, weight * share)
        for category, size, weight in zip(
            CATEGORIES, sizes, _shares(len(CATEGORIES), 1.3), strict=True
        )
        for rest, share in zip(_rests(category, size), _shares(size, 1.5), strict=True)
    ]


def _rests(category: str, size: int) -> list[str]:
    known = _KNOWN.get(category, ())
    return [*known, *(f"thing{number}.change" for number in range(len(known), size))]


def _shares(number: int, exponent: float) -> list[float]:
    """The shares of so many things, the largest first (Zipf); the sum is 1."""
    weights = [rank**-exponent for rank in range(1, number + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _word(choice: random.Random) -> str:
    return "".join(choice.choices("etaoinshrdlucmfwypvbgkjqxz", _LETTERS, k=choice.randint(2, 10)))


_LETTERS = [1 / (2 + rank) for rank in range(26)]


def _file(choice: random.Random) -> dict[str, Any]:
    path = f"{_word(choice)}/{_word(choice)}.{choice.choice(['c', 'py', 'spec', 'po'])}"
    return {"path": path, "added": choice.randrange(100), "removed": choice.randrange(100)}


def _base64(choice: random.Random, size: int) -> str:
    """Random bytes in base64, as fedmsg.crypto.x509 and x509_ng write it."""
    return base64.encodebytes(choice.randbytes(size)).decode()


def _uuid(choice: random.Random) -> str:
    digits = f"{choice.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
