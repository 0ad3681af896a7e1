"""Signatures as bytes: a quarter smaller than the base64 text that messages bring them in.

The text is taken to be in the form of what signed the message: fedmsg.crypto.gpg writes one line,
fedmsg.crypto.x509 and x509_ng a newline after every 76 characters and at the end. Any other text
cannot be packed, and is kept as it is.
"""

from __future__ import annotations

import base64
import binascii

_ONE_LINE = "gpg"


def pack(signature: str, crypto: str | None) -> bytes | None:
    """The bytes of a signature; None where `unpack` would not give back the same text.

    Args:
        signature: base64, as it was sent.
        crypto: what the message says that it is signed with.
    """
    try:
        packed = binascii.a2b_base64(signature)
    except ValueError:
        return None
    return packed if packed and unpack(packed, crypto) == signature else None


def unpack(packed: bytes, crypto: str | None) -> str:
    """The text that `pack` was given."""
    encode = base64.b64encode if crypto == _ONE_LINE else base64.encodebytes
    return encode(packed).decode("ascii")


def sql(packed: str, crypto: str) -> str:
    """SQL that gives the text as a JSON string.

    Args:
        packed: the column of the bytes.
        crypto: the column of what it is signed with.
    """
    # PostgreSQL breaks the lines at 76 characters, too, and as a rule writes no newline at the end.
    lines = f"rtrim(encode({packed}, 'base64'), chr(10))"
    return (
        f"""CASE {crypto} WHEN '{_ONE_LINE}' THEN '"' || replace({lines}, chr(10), '') || '"' """
        rf"""ELSE '"' || replace({lines}, chr(10), '\n') || '\n"' END"""
    )
