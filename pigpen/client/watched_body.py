"""Bodies that are looked at as they pass: for the progress bar and the digest."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from pigpen.errors import PigpenError
from pigpen.http.body import BaseBody, Body


class WatchedBody(BaseBody):
    """A body whose every chunk is shown to somebody as it passes.

    ``error``: why it ended early, which is another thing than the fault of who takes it.
    """

    __slots__ = ("_body", "_position", "_seen", "error", "length")

    def __init__(
        self,
        body: Body,
        length: int | None,
        offset: int,
        seen: Callable[[int, bytes], Awaitable[None]],
    ) -> None:
        self._body = body
        self._position = offset
        self._seen = seen
        self.length = length
        self.error: Exception | None = None

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._body)
        except (PigpenError, OSError) as error:
            self.error = error
            raise
        await self._seen(self._position, chunk)
        self._position += len(chunk)
        return chunk

    async def aclose(self) -> None:
        await self._body.aclose()


class RunningDigest:
    """The SHA-256 of bytes that come in order, some of them twice."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._end = 0
        self._asked = 0
        #: no byte was skipped: the value is that of all bytes so far
        self.complete = True

    @property
    def value(self) -> bytes:
        return self._hash.digest()

    @property
    def size(self) -> int:
        """How many bytes there were, those that were skipped too."""
        return self._end

    def feed(self, offset: int, chunk: bytes) -> None:
        if offset > self._end:
            self.complete = False
        new = chunk[max(self._end - offset, 0) :]
        if new and self.complete:
            self._hash.update(new)
        self._end = max(self._end, offset + len(chunk))

    def moved(self) -> bool:
        """Whether more bytes passed since this was asked last."""
        moved, self._asked = self._end > self._asked, self._end
        return moved


_is_body: type[Body] = WatchedBody
