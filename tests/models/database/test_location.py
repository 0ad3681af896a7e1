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
                *"@:/?&=%[] #;,",
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
    st.sampled_from(["@", "@host", "@host/db", "@/db", "@host:5432/db?sslmode=require", "@h,g/db"]),
)
def test_a_password_before_an_at_is_never_shown(
    scheme: str, slashes: str, before: list[str], after: str
) -> None:
    assert SECRET not in shown(f"{scheme}{slashes}{''.join(before)}u:{SECRET}{after}")


def test_what_is_no_secret_is_shown() -> None:
    url = f"postgresql://u:{SECRET}@host:5433/db?sslmode=require"
    assert shown(url) == "postgresql://u:***@host:5433/db?sslmode=require"
