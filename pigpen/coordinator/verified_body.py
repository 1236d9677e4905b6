"""VerifiedBody: bytes on their way through here that must be what the catalog says (REL-P3)."""

from __future__ import annotations

import hashlib

from pigpen.errors import WrongContent
from pigpen.http.body import BaseBody, Body


class VerifiedBody(BaseBody):
    """A whole body; it fails before its last chunk if its SHA-256 is another.

    So a reader who knows the length never takes wrong bytes for a whole answer.
    """

    __slots__ = ("_body", "_digest", "_held", "_sha256", "length")

    def __init__(self, body: Body, sha256: bytes) -> None:
        self._body = body
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        #: the chunk that the next one, or a good end, lets go
        self._held = b""
        self.length = body.length

    async def __anext__(self) -> bytes:
        """:raises WrongContent: a host's disk, or the host, has changed the bytes."""
        while True:
            try:
                chunk = await anext(self._body)
            except StopAsyncIteration:
                return self._last()
            self._digest.update(chunk)
            held, self._held = self._held, chunk
            if held:
                return held

    def _last(self) -> bytes:
        held, self._held = self._held, b""
        if not held:
            raise StopAsyncIteration
        if self._digest.digest() != self._sha256:
            raise WrongContent(reason="its SHA-256 is another than the catalog's")
        return held

    async def aclose(self) -> None:
        self._held = b""
        await self._body.aclose()


_is_body: type[Body] = VerifiedBody
