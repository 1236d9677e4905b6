"""Bodies that pass through the coordinator: counted, and with the first bytes looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pigpen.http.body import BaseBody, Body


class Counter(Protocol):
    """A prometheus counter."""

    def inc(self, amount: float = 1) -> None: ...


class CountedBody(BaseBody):
    """The bytes of another body; each one is counted as it passes.

    `release` is called exactly once, when it ends, fails or is closed.
    """

    __slots__ = ("_body", "_counter", "_release", "length")

    def __init__(
        self, body: Body, counter: Counter, release: Callable[[], None] | None = None
    ) -> None:
        self._body = body
        self._counter = counter
        self._release = release
        self.length = body.length

    async def __anext__(self) -> bytes:
        try:
            chunk = await anext(self._body)
        except BaseException:
            self._end()
            raise
        self._counter.inc(len(chunk))
        return chunk

    async def aclose(self) -> None:
        self._end()
        await self._body.aclose()

    def _end(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()


class PrefixedBody(BaseBody):
    """Bytes that were read already, then the rest of the body they came from."""

    __slots__ = ("_body", "_prefix", "length")

    def __init__(self, prefix: list[bytes], body: Body) -> None:
        self._prefix = prefix[::-1]
        self._body = body
        self.length = body.length

    async def __anext__(self) -> bytes:
        if self._prefix:
            return self._prefix.pop()
        return await anext(self._body)

    async def aclose(self) -> None:
        self._prefix.clear()
        await self._body.aclose()


async def read_ahead(body: Body, limit: int) -> bytes | PrefixedBody:
    """All bytes of a small body; or the whole body, still to be read, of one over `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    while size <= limit:
        try:
            chunk = await anext(body)
        except StopAsyncIteration:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    return PrefixedBody(chunks, body)


_is_body: tuple[type[Body], ...] = (CountedBody, PrefixedBody)
