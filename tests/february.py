"""Two weeks of Fedora's bus in February 2013, made up: what docs/shell.rst asks about."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from certificates import Authority, Period
from syncs import Script

Envelope = dict[str, Any]

#: When the certificates of the wiki and of the authority were valid.
YEAR: Period = (datetime(2013, 1, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC))
#: The host whose certificate signs what the wiki says.
SIGNER = "mediawiki-app01.phx2.fedoraproject.org"

_PREFIX = "org.fedoraproject.prod"
#: Koji's numbers of what became of a build.
_BUILDING, _COMPLETE, _FAILED = 0, 1, 3
#: Package, version, release, owner, tester, when it was pushed, what the commit says.
_SHIPPED = [
    ("python-kitchen", "1.1.1", "3.fc18", "toshio", "ralph", (4, 15, 2), "Fix the tests on i686"),
    ("fedmsg", "0.6.3", "1.fc18", "ralph", "toshio", (5, 19, 40), "Latest upstream"),
    ("nethack", "3.4.3", "27.fc18", "lmacken", "toshio", (6, 9, 15), "Fix the desktop file"),
    ("liveusb-creator", "3.11.8", "1.fc18", "lmacken", "ralph", (6, 17, 30), "Latest upstream"),
    ("fedmsg", "0.6.4", "1.fc18", "ralph", "lmacken", (8, 20, 5), "Latest upstream"),
    ("bodhi", "0.9.4", "1.fc18", "lmacken", "toshio", (11, 14, 22), "Send fedmsg messages"),
    ("python-fedora", "0.3.31", "1.fc18", "toshio", "lmacken", (13, 16, 8), "New release"),
    ("moksha", "1.0.9", "1.fc18", "ralph", "lmacken", (14, 18, 33), "Latest upstream"),
    ("bodhi", "0.9.5", "1.fc18", "lmacken", "ralph", (15, 15, 51), "Latest upstream"),
    ("fedmsg", "0.6.5", "1.fc18", "ralph", "toshio", (18, 8, 20), "Latest upstream"),
]
#: Package, version, release, owner, when the build was started.
_FAILURES = [
    ("moksha", "1.0.8", "1.fc18", "ralph", (12, 20, 11)),
    ("python-fedora", "0.3.30", "1.fc18", "toshio", (13, 9, 47)),
]
#: Page, user, summary, when it was saved.
_EDITS = [
    ("Messaging SIG", "Ralph", "/* Mission */", (5, 13, 26)),
    ("Infrastructure/Meetings", "Toshio", "agenda of Thursday", (7, 18, 50)),
    ("Bodhi", "Lmacken", "what it sends to the bus", (11, 15, 3)),
    ("Messaging SIG", "Ralph", "/* Topics */", (15, 21, 14)),
    ("Infrastructure/Meetings", "Toshio", "agenda of Thursday", (18, 12, 41)),
]


def bus(authority: Authority) -> list[Envelope]:
    """All that was sent, in order of time; what the wiki sent is signed."""
    authority.issue(SIGNER, YEAR)
    authority.revoke()
    return [
        authority.sign(each, SIGNER) if ".wiki." in each["topic"] else each for each in unsigned()
    ]


def unsigned() -> list[Envelope]:
    """The same without signatures, as in docs/february.ndjson."""
    sent = [*_builds(), *_wiki(), *_tagger(), *_repos(), *_mass_branch(), *_syncs()]
    sent.sort(key=lambda envelope: envelope["body"]["timestamp"])
    for i, envelope in enumerate(sent, 1):
        number = hashlib.sha256(f"message {i} of February".encode()).digest()[:16]
        envelope["body"].update(i=i, msg_id=f"2013-{uuid.UUID(bytes=number, version=4)}")
    return sent


def broken() -> list[Envelope]:
    """What senders got wrong."""
    undated = _said((14, 9, 30), "askbot.post.edit", "apache", agent="ralph")
    undated["body"].update(
        i=1, msg_id="2013-5f0c1d66-2d5b-4f0a-9a57-0e3c7f1b8d11", timestamp="yesterday"
    )
    return [
        {"topic": f"{_PREFIX}.bodhi.update.comment", "body": "testing, please ignore"},
        undated,
    ]


def news() -> Envelope:
    """What comes in while somebody watches."""
    envelope = _comment("fedmsg-0.6.5-1.fc18", "lmacken", 1, "Works for me.", (18, 14, 2))
    envelope["body"].update(i=1000, msg_id="2013-0a3f7a52-6b7e-4a83-8f3c-1d1f1f5f6d0c")
    return envelope


def _moment(at: tuple[int, int, int], **later: int) -> datetime:
    day, hour, minute = at
    return datetime(2013, 2, day, hour, minute, 7 * day % 60, tzinfo=UTC) + timedelta(**later)


def _said(
    at: tuple[int, int, int], topic: str, sender: str, *, minutes: int = 0, **msg: Any
) -> Envelope:
    timestamp = int(_moment(at, minutes=minutes).timestamp())
    full = f"{_PREFIX}.{topic}"
    body = {"msg": msg, "timestamp": timestamp, "topic": full, "username": sender}
    return {"topic": full, "body": body}


def _builds() -> Iterator[Envelope]:
    for build_id, (name, version, release, owner, at) in enumerate(_FAILURES, 383_100):
        for state, minutes in ((_BUILDING, 0), (_FAILED, 11)):
            yield _state(name, version, release, owner, at, build_id, state, minutes)
    for build_id, (name, version, release, owner, tester, at, summary) in enumerate(
        _SHIPPED, 383_200
    ):
        nvr = f"{name}-{version}-{release}"
        commit = {
            "branch": release.split(".")[1].replace("fc", "f"),
            "email": f"{owner}@fedoraproject.org",
            "message": f"{summary}\n",
            "name": owner.title(),
            "repo": name,
            "rev": hashlib.sha1(nvr.encode(), usedforsecurity=False).hexdigest(),
            "stats": {"files": {f"{name}.spec": {"deletions": 1, "insertions": 5, "lines": 6}}},
            "summary": summary,
            "username": owner,
        }
        yield _said(at, "git.receive", "pkgs", commit=commit)
        yield _state(name, version, release, owner, at, build_id, _BUILDING, 4)
        yield _state(name, version, release, owner, at, build_id, _COMPLETE, 19)
        yield _said(
            at,
            "buildsys.tag",
            "apache",
            minutes=20,
            name=name,
            version=version,
            release=release,
            owner=owner,
            user=owner,
            tag="f18-candidate",
            tag_id=199,
            instance="primary",
        )
        update = {"title": nvr, "submitter": owner, "status": "pending"}
        yield _said(
            at, "bodhi.update.request.testing", "apache", minutes=34, agent=owner, update=update
        )
        if tester in ("lmacken", "toshio") and version != "0.6.5":
            yield _comment(nvr, tester, 1, "Works for me.", at, minutes=180)


def _state(
    name: str,
    version: str,
    release: str,
    owner: str,
    at: tuple[int, int, int],
    build_id: int,
    new: int,
    minutes: int,
) -> Envelope:
    return _said(
        at,
        "buildsys.build.state.change",
        "apache",
        minutes=minutes,
        attribute="state",
        build_id=build_id,
        instance="primary",
        name=name,
        new=new,
        old=None if new == _BUILDING else _BUILDING,
        owner=owner,
        release=release,
        task_id=4_900_000 + build_id,
        version=version,
    )


def _comment(
    nvr: str, author: str, karma: int, text: str, at: tuple[int, int, int], *, minutes: int = 0
) -> Envelope:
    comment = {"author": author, "karma": karma, "text": text, "update_title": nvr}
    return _said(
        at, "bodhi.update.comment", "apache", minutes=minutes, agent=author, comment=comment
    )


def _wiki() -> Iterator[Envelope]:
    for title, user, summary, at in _EDITS:
        url = f"https://fedoraproject.org/wiki/{title.replace(' ', '_')}"
        yield _said(
            at, "wiki.article.edit", "apache", summary=summary, title=title, url=url, user=user
        )


def _tagger() -> Iterator[Envelope]:
    for package, tag, hour in (("fedmsg", "messaging", 19), ("nethack", "game", 20)):
        vote = {
            "like": True,
            "tag": {"package": package, "tag": tag},
            "user": {"username": "ralph"},
        }
        yield _said((10, hour, 12), "fedoratagger.tag.create", "apache", vote=vote)


def _repos() -> Iterator[Envelope]:
    """What koji says twice an hour; on the 18th, nobody heard it from ten to twelve."""
    for hour in (6, 7, 8, 9, 12, 13):
        for minute in (0, 30):
            yield _said(
                (18, hour, minute),
                "buildsys.repo.done",
                "apache",
                tag="f18-build",
                tag_id=197,
                instance="primary",
            )


def _mass_branch() -> Iterator[Envelope]:
    yield _said((12, 6, 0), "git.mass_branch.start", "pkgs", agent="ausil")
    yield _said((12, 11, 44), "git.mass_branch.complete", "pkgs", agent="ausil")


def _syncs() -> Iterator[Envelope]:
    one, two = "proxy01.example.org", "proxy02.example.org"
    dates = ["2013-02-14", "2013-02-15", "2013-02-16", "2013-02-17"]
    for night, run_id in enumerate(
        ("9b6f1c1e-6a3a-4d0c-8f2e-2f8c7f0b5a11", "4d1f0a37-93be-45a5-b9e1-6a7d7c5f2b42")
    ):
        script = Script(run_id, _moment((17 + night, 1, 0)).replace(tzinfo=None))
        script.say("start").host(one, *dates[night + 1 : night + 3][::-1])
        script.say("host.start", two)
        if not night:
            script.say("host.logdate.start", two, dates[2]).fail(
                two, dates[2], "timed out", "final"
            )
        else:
            script.date(two, dates[3]).date(two, dates[2])
        script.say("host.finish", two).say("finish")
        yield from script.sent
