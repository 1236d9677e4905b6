"""Integrity: the length and digests a PUT announces, and the body held to them (DAV-25).

Repr-Digest, Content-Digest    sha-256                                      RFC 9530
Content-MD5                    base64                                       RFC 1864
OC-Checksum                    SHA256, SHA1, MD5, ADLER32: hexadecimal      ownCloud, rclone
X-Expected-Entity-Length       of a chunked body                            Finder
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from typing import Final, Protocol

import msgspec

from pigpen.errors import BadField, BadRequest, ShortBody
from pigpen.http.body import BaseBody, Body
from pigpen.http.message import Request
from pigpen.http.request_fields import digest_of

_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_HEX = re.compile(r"([0-9a-f]{2})+", re.ASCII | re.IGNORECASE)
#: bytes of the digests that are known
_SIZES: Final = {"sha256": 32, "sha1": 20, "md5": 16, "adler32": 4}


class Announced(msgspec.Struct, frozen=True):
    """``length``: in bytes, None: unknown. ``sha256``: the namespace verifies it. ``others``:
    further digests by name, for `CheckedBody`."""

    length: int | None
    sha256: bytes | None
    others: dict[str, bytes]


def announced_of(request: Request) -> Announced:
    """:raises BadField: one is malformed, or two contradict each other."""
    digests: dict[str, bytes] = {}
    announced = digest_of(request)
    if announced is not None:
        digests["sha256"] = announced
    for name, digest in [*_content_md5(request), *_checksums(request)]:
        if digests.setdefault(name, digest) != digest:
            raise BadField(field="OC-Checksum", reason="another field has another digest")
    return Announced(_length(request), digests.pop("sha256", None), digests)


def _length(request: Request) -> int | None:
    length = request.body.length
    value = request.headers.get("X-Expected-Entity-Length")
    if value is None:
        return length
    if not _LENGTH.fullmatch(value):
        raise BadField(field="X-Expected-Entity-Length", reason="it is not a number of bytes")
    if length is not None and length != int(value):
        raise BadField(field="X-Expected-Entity-Length", reason=f"the body has {length} bytes")
    return int(value)


def _content_md5(request: Request) -> list[tuple[str, bytes]]:
    value = request.headers.get("Content-MD5")
    if value is None:
        return []
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise BadField(field="Content-MD5", reason="it is not 16 bytes of base64")
    return [("md5", digest)]


def _checksums(request: Request) -> list[tuple[str, bytes]]:
    found = []
    for value in request.headers.getall("OC-Checksum", []):
        for part in value.split():
            kind, _, text = part.partition(":")
            size = _SIZES.get(kind.lower())
            if size is None:
                continue  # others pass
            if len(text) != 2 * size or not _HEX.fullmatch(text):
                raise BadField(field="OC-Checksum", reason=f"its {kind} is not hexadecimal")
            found.append((kind.lower(), bytes.fromhex(text)))
    return found


# -- the body -------------------------------------------------------------------------------------


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Adler32:
    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _hash(name: str) -> _Hash:
    return _Adler32() if name == "adler32" else hashlib.new(name, usedforsecurity=False)


def checked(body: Body, announced: Announced) -> Body:
    """The body; if it has more to keep than its own length, as a `CheckedBody`."""
    if announced.others or announced.length != body.length:
        return CheckedBody(body, announced)
    return body


class CheckedBody(BaseBody):
    """Gives its last chunk only when length and digests are right: else nobody gets the whole.

    A chunk is at most a window, so it is hashed in a turn of the reactor.
    """

    __slots__ = ("_announced", "_body", "_hashes", "_held", "_received", "length")

    def __init__(self, body: Body, announced: Announced) -> None:
        self.length = announced.length
        self._body = body
        self._announced = announced.others
        self._hashes = {name: _hash(name) for name in announced.others}
        self._held: bytes | None = None
        self._received = 0

    @property
    def held_back(self) -> bool:  # type: ignore[override]
        return self._body.held_back

    async def __anext__(self) -> bytes:
        """:raises BadRequest: it is another body than announced. :raises ShortBody: likewise."""
        while True:
            try:
                chunk = await anext(self._body)
            except StopAsyncIteration:
                return self._last()
            self._take(chunk)
            given, self._held = self._held, chunk
            if given is not None:
                return given

    def _last(self) -> bytes:
        chunk, self._held = self._held, None
        self._check()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def _take(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self.length is not None and self._received > self.length:
            raise BadRequest(reason=f"its body has more than the {self.length} bytes announced")
        for one in self._hashes.values():
            one.update(chunk)

    def _check(self) -> None:
        if self.length is not None and self._received < self.length:
            raise ShortBody(received=self._received, expected=self.length)
        for name, one in self._hashes.items():
            if one.digest() != self._announced[name]:
                raise BadRequest(reason=f"its body has another {name.upper()} than announced")

    async def aclose(self) -> None:
        self._held = None
        await self._body.aclose()
