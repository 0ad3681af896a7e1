"""Signatures as bytes: a quarter smaller than the base64 text that messages bring.

The text is expected in the form that its signer writes: one line from fedmsg.crypto.gpg, and from
fedmsg.crypto.x509 and x509_ng a newline after every 76 characters and at the end. Any other text
cannot be packed and stays as it is.
"""

from __future__ import annotations

import base64
import binascii

#: The `crypto` of messages whose signature is one line.
ONE_LINE = "gpg"


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
    encode = base64.b64encode if crypto == ONE_LINE else base64.encodebytes
    return encode(packed).decode("ascii")
