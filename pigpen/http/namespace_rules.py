"""What every namespace decides alike, whatever keeps it: names, times, properties, locks. Pure."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from pigpen.errors import BadKey, Forbidden, InsufficientStorage
from pigpen.http.key import MAX_KEY_BYTES, Key
from pigpen.http.namespace import (
    MAX_LOCK_SECONDS,
    MAX_MEETING,
    MAX_OWNER_BYTES,
    MAX_PROPERTIES,
    MAX_PROPERTY_BYTES,
    MAX_PROPERTY_NAME_BYTES,
    MAX_VALUE_BYTES,
)

#: the end of the year 9999, ms: later times have no HTTP date
_LAST_MS: Final = 253_402_300_799_000


class Held(Protocol):
    """What decides about a lock in the way."""

    @property
    def token(self) -> str: ...

    @property
    def principal(self) -> str: ...


L = TypeVar("L", bound=Held)


def check_names(key: Key) -> None:
    """:raises BadKey: a name holds a slash, as keys of stores may."""
    if any("/" in name for name in key.names):
        raise BadKey(reason="a name holds a slash")


def spellings(name: str) -> tuple[str, ...]:
    """A name as sent, then composed, then decomposed (DAV-62)."""
    if name.isascii():
        return (name,)
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return tuple(dict.fromkeys(forms))


def grown_time(now: int, before: int | None, wished: int | None = None) -> tuple[int, bool]:
    """Last-Modified of a new version, ms: later than that of the one before, unless the writer set
    one (CLD-13).

    :param before: Last-Modified of the version before; None: there was none.
    :return: also whether both fall into the same second (DAV-32).
    """
    modified = now if wished is None else min(wished, _LAST_MS)
    if before is None:
        return modified, False
    if wished is None:
        modified = max(modified, before + 1)
    return modified, modified // 1000 == before // 1000


def check_property(namespace: str, name: str, value: str) -> None:
    """One that is set. :raises InsufficientStorage: its value is over 64 KiB (DAV-52), or its
    namespace and name over 2,000 bytes."""
    if len(value.encode()) > MAX_VALUE_BYTES:
        raise InsufficientStorage(reason=f"a property has at most {MAX_VALUE_BYTES} bytes")
    if len(f"{namespace}{name}".encode()) > MAX_PROPERTY_NAME_BYTES:
        reason = f"namespace and name of a property have at most {MAX_PROPERTY_NAME_BYTES} bytes"
        raise InsufficientStorage(reason=reason)


def check_properties(number: int, size: int) -> None:
    """Of one node, after a change. ``size``: bytes of names and values.

    :raises InsufficientStorage: over 1,000, or over 1 MiB (DAV-52).
    """
    if number > MAX_PROPERTIES:
        raise InsufficientStorage(reason=f"a node has at most {MAX_PROPERTIES} properties")
    if size > MAX_PROPERTY_BYTES:
        raise InsufficientStorage(
            reason=f"a node's properties have at most {MAX_PROPERTY_BYTES} bytes"
        )


def check_key_bytes(longest: int) -> None:
    """Of the keys that COPY or MOVE of a collection makes below its destination.

    :raises Forbidden: nobody could ask for the longest.
    """
    if longest > MAX_KEY_BYTES:
        reason = f"a key below the destination would have over {MAX_KEY_BYTES} bytes"
        raise Forbidden(reason=reason)


def check_owner(owner: str) -> None:
    """Of a lock. :raises InsufficientStorage: over 4 KiB."""
    if len(owner.encode()) > MAX_OWNER_BYTES:
        raise InsufficientStorage(reason=f"a lock's owner has at most {MAX_OWNER_BYTES} bytes")


def check_meeting(number: int) -> None:
    """Of shared locks, beside a new one, that are on the same node, above or below it.

    :raises InsufficientStorage: over 256.
    """
    if number >= MAX_MEETING:
        raise InsufficientStorage(reason=f"at most {MAX_MEETING} shared locks may meet")


def new_token(source: random.Random, now: int) -> str:
    """The token of a new lock (RFC 4918 6.5): a UUID of version 7 (RFC 9562 5.7), 74 random bits.

    Tokens that are made together lie together: with random ones a commit of several locks writes
    a page for each, and takes almost twice as long where there are thousands.

    :param now: ms since 1970.
    """
    value = (now << 80 | source.getrandbits(80)) & ~(0xF << 76 | 0x3 << 62)
    digits = f"{(value | 0x7 << 76 | 0x2 << 62) & (1 << 128) - 1:032x}"
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return f"urn:uuid:{'-'.join(parts)}"


def lock_end(now: int, seconds: int) -> int:
    """When a lock ends, ms (DAV-43)."""
    return now + 1000 * max(1, min(seconds, MAX_LOCK_SECONDS))


def in_the_way(locks: Sequence[L], submitted: frozenset[str], principal: str) -> Sequence[L]:
    """The locks on one node whose token is missing; it counts only from who took the lock.

    One token is enough, as several locks on one node are shared ones (DAV-41, 46).
    """
    if any(lock.token in submitted and lock.principal == principal for lock in locks):
        return ()
    return locks
