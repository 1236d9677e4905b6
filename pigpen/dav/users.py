"""Users: a file of names and hashed passwords, as Apache's htdigest writes it (DAV-100).

    NAME:REALM:HA1     HA1 = MD5 or SHA-256, hexadecimal, of "NAME:REALM:PASSWORD" (RFC 7616 3.4.2)

A name may have a line for each of the two. Empty lines and lines that begin with # count nothing.
HA1 is as good as the password for Digest, so the file must be readable by its owner only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

import msgspec

from pigpen.errors import ConfigError

REALM: Final = "pigpen"
MAX_FILE_BYTES: Final = 1024 * 1024

_NAME = re.compile(r"[^:\x00-\x1f\x7f\"\\]{1,200}")
_HASH = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
#: hash functions by the names of RFC 7616, the better first
ALGORITHMS: Final = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
_BY_LENGTH = {64: "SHA-256", 32: "MD5"}


def hash_text(algorithm: str, text: str) -> str:
    """:param algorithm: a key of ALGORITHMS."""
    return ALGORITHMS[algorithm](text.encode()).hexdigest()


def user_lines(name: str, password: str) -> str:
    """The lines of a new user. :raises ConfigError: the name cannot be one."""
    if not _NAME.fullmatch(name):
        raise ConfigError(path="user", reason="a name has 1 to 200 characters, no colon or quote")
    return "".join(
        f"{name}:{REALM}:{hash_text(algorithm, f'{name}:{REALM}:{password}')}\n"
        for algorithm in ALGORITHMS
    )


class Users(msgspec.Struct, frozen=True):
    """HA1 by (name, algorithm)."""

    hashes: dict[tuple[str, str], str]

    def __repr__(self) -> str:
        return f"<{len(self.hashes)} users>"

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Those with a hash, the better first."""
        have = {algorithm for _, algorithm in self.hashes}
        return tuple(name for name in ALGORITHMS if name in have)

    def ha1(self, name: str, algorithm: str) -> str | None:
        return self.hashes.get((name, algorithm))

    def knows(self, name: str, password: str) -> bool:
        """Whether a password is right; a name that nobody has takes as long as a wrong one."""
        right = False
        for algorithm in ALGORITHMS:
            given = hash_text(algorithm, f"{name}:{REALM}:{password}")
            kept = self.ha1(name, algorithm)
            right |= hmac.compare_digest(given, kept or "") and kept is not None
        return right


def parse_users(text: str, path: str) -> Users:
    """:param path: of the file, for the error. :raises ConfigError: a line is malformed."""
    hashes: dict[tuple[str, str], str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        realm, _, ha1 = rest.strip().partition(":")
        where = f"{path}, line {number}"
        if not _NAME.fullmatch(name) or not _HASH.fullmatch(ha1.lower()):
            raise ConfigError(path=where, reason="write NAME:pigpen:HA1, as htdigest does")
        if realm != REALM:
            raise ConfigError(path=where, reason=f"the realm must be {REALM}")
        hashes[name, _BY_LENGTH[len(ha1)]] = ha1.lower()
    if not hashes:
        raise ConfigError(path=path, reason="it names no user, so nobody could log in")
    return Users(hashes)
