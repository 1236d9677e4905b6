"""Access keys: how one looks, and what of it is kept (CLD-2).

    pp_ 4f9Kd0aZq1 _ 43 characters of base64url: 256 random bits   2Xb0pQ
        id           secret                                        check sum

The check sum (CRC-32 of all before it, base 62) tells a typing error from a revoked key, and lets
scanners find leaked keys, as GitHub's tokens do. The catalog keeps id and SHA-256 of the secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import random
import re
import zlib
from dataclasses import dataclass, field

from pigpen.errors import Unauthorized

PREFIX = "pp_"
ID_LENGTH = 10
SECRET_BYTES = 32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"pp_([0-9A-Za-z]{10})_([A-Za-z0-9_-]{43})([0-9A-Za-z]{6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key in memory; its text and secret never show in a repr."""

    id: str
    secret: bytes = field(repr=False)
    #: what the catalog keeps; a key is read once and asked for it with each request
    secret_sha256: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret_sha256", hashlib.sha256(self.secret).digest())

    def to_text(self) -> str:
        """The whole key, as its owner keeps it."""
        secret = base64.urlsafe_b64encode(self.secret).decode().rstrip("=")
        text = f"{PREFIX}{self.id}_{secret}"
        return text + _check_sum(text)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A claim that is to be checked. ``login`` only in Basic."""

    key: AccessKey = field(repr=False)
    login: str | None = None


def make_access_key(source: random.Random) -> AccessKey:
    """:param source: `Env.random`."""
    name = "".join(_DIGITS[source.randrange(62)] for _ in range(ID_LENGTH))
    return AccessKey(name, source.randbytes(SECRET_BYTES))


def parse_access_key(text: str) -> AccessKey:
    """:raises Unauthorized: no key looks like this; nothing was looked up."""
    match = _FORM.fullmatch(text)
    if match is None or _check_sum(text[:-6]) != match.group(3):
        raise Unauthorized
    secret = binascii.a2b_base64(match.group(2).translate(_STANDARD) + "=")
    return AccessKey(match.group(1), secret)


_STANDARD = str.maketrans("-_", "+/")


def _check_sum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits
