"""Whatever is given as the URL of a database, its password is not shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datanommer.models.database import location
from datanommer.models.errors import ConfigurationError

SECRET = "s3cret"


def shown(url: str) -> str:
    """What people see of a URL."""
    try:
        return location.describe(url)
    except ConfigurationError as error:
        return str(error)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql:///u:{SECRET}@host/db",
        f"postgresql:////u:{SECRET}@host/db",
        f"postgresql:/u:{SECRET}@host/db",
        f"postgresql:u:{SECRET}@host/db",
        f"postgresql://host/u:{SECRET}@host/db",
        f"postgresql:///?dbname=postgresql://u:{SECRET}@host/db",
        f"postgresql://host/db?dbname=password={SECRET}",
        f"postgresql:///host=h password={SECRET}",
        f"postgresql:///password={SECRET}",
        f"postgresql://u@x:{SECRET}@host/db",
        f"postgresql://u:x@{SECRET}@host/db",
        f"postgresql://u@{SECRET}@host/db",
        f"postgresql://host/db?password={SECRET}",
        f"postgresql://host/db?passfile={SECRET}",
        f"postgresql://host/db?sslpassword={SECRET}",
        f"postgresql://host/db?options=-c my.token={SECRET}",
        f"postgresql://u:{SECRET},x@h1:1,h2:2/db",
        f"postgresql://u:1,{SECRET}/x@h1,h2/db",
        f"postgresql://h1,u:{SECRET}@h2,h3/db",
        f"postgresql://h1:1,h2:2/u:{SECRET}@host/db",
        f"postgresql://h1:1,h2:2,u:{SECRET}/db",
        f"postgresql://h1:1,h2:2/db?password={SECRET}",
        f"embedded://u:{SECRET}@host/db",
        f"mysql://u:{SECRET}@host/db",
        f"host=h password={SECRET}",
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown(url: str) -> None:
    assert SECRET not in shown(url)


@given(
    st.sampled_from(["postgresql", "postgres", "postgresql+psycopg2", "embedded", "PostgreSQL"]),
    st.sampled_from([":", "://", ":///", ":////", ":/"]),
    st.lists(
        st.sampled_from(
            [
                *"@:/?&=%[] #;,1",
                "h1:1,h2:2",
                "[::1]:1,",
                "u",
                "host",
                "db",
                "5432",
                "dbname=",
                "password=",
                "%40",
                "postgresql://",
            ]
        )
    ),
    st.sampled_from(
        [
            "@",
            "@host",
            "@host/db",
            "@/db",
            "@host:5432/db?sslmode=require",
            "@h,g/db",
            "@h:1,[::1]:2/db?connect_timeout=1",
        ]
    ),
)
def test_a_password_before_an_at_is_never_shown(
    scheme: str, slashes: str, before: list[str], after: str
) -> None:
    assert SECRET not in shown(f"{scheme}{slashes}{''.join(before)}u:{SECRET}{after}")


def test_what_is_no_secret_is_shown() -> None:
    url = f"postgresql://u:{SECRET}@host:5433/db?sslmode=require"
    assert shown(url) == "postgresql://u:***@host:5433/db?sslmode=require"


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p@h1:5432,h2:5433/db", "h1,h2", "5432,5433"),
        ("postgres://u:p@h1,h2:5433,h3/db?sslmode=require", "h1,h2,h3", ",5433,"),
        ("postgresql://[::1]:5432,[fe80::2],h3:1/db", "::1,fe80::2,h3", "5432,,1"),
        ("postgresql://u:p@%2Frun%2Fpg,h2/db", "/run/pg,h2", ","),
        ("postgresql://u:p@/db?host=h1:5432&host=h2:5433", "h1,h2", "5432,5433"),
        ("postgresql://u:p@/db?host=::1,h2&port=5432,5433", "::1,h2", "5432,5433"),
    ],
)
def test_several_hosts_go_to_libpq_with_their_ports(url: str, hosts: str, ports: str) -> None:
    for each in (url, location.describe(url)):
        parsed = location.parse(each)
        arguments = parsed.get_dialect()().create_connect_args(parsed)[1]
        assert (arguments["host"], arguments["port"]) == (hosts, ports)
        assert (parsed.database, parsed.host) == ("db", None)


def test_several_hosts_are_shown_without_the_password() -> None:
    url = f"postgresql://u:{SECRET}@h1:5432,[::1]:5433/db?target_session_attrs=read-write"
    expected = "postgresql://u:***@/db?host=h1,::1&port=5432,5433&target_session_attrs=read-write"
    assert shown(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h1:x,h2:5432/db",
        "postgresql://u:p@[::1,h2/db",
        "postgresql://u:p@[::1]x,[::2]/db",
        "postgresql://u:p@::1,::2/db",
        "postgresql://u:p@h1,h2/db?port=5432",
        "host=h1,h2 dbname=db",
    ],
)
def test_hosts_that_are_refused_are_told_how_to_write_them(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"several servers, .*@host1:5432,host2:5432/"):
        location.parse(url)
