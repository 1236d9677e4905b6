"""Body: the bytes of a request or response, asked for chunk by chunk.

Not asking for the next chunk *is* the back-pressure. Who receives a body iterates it to its end or
closes it with ``aclose()``. A body that ends early raises; it never ends cleanly.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import NoReturn, Protocol, Self

from twisted.internet.defer import Deferred

from pigpen.env import File
from pigpen.errors import BodyAborted, ShortBody, TooLarge

#: what a source holds at most while nobody asks
WINDOW_BYTES = 256 * 1024
#: how much of a file is read at a time
CHUNK_BYTES = 128 * 1024
#: what a disk says that cannot read; other errors come from the peer, or pass
_DAMAGE = frozenset({errno.EIO, errno.ENXIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)})


class Body(Protocol):
    """An async iterable of non-empty byte chunks, single use."""

    @property
    def length(self) -> int | None:
        """Bytes in all; None if unknown."""

    @property
    def replayable(self) -> bool:
        """Whether `replay` gives a fresh body of the same bytes."""

    @property
    def held_back(self) -> bool:
        """Whether the sender waits to be asked for the first byte (``Expect: 100-continue``, RFC
        9110 10.1.1): refusing or redirecting now costs it nothing."""

    def replay(self) -> Body:
        """A fresh body of the same bytes; only if `replayable`."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> bytes:
        """:raises PigpenError: the bytes ended early, or came too slowly."""

    async def aclose(self) -> None:
        """Give everything back; safe to repeat, also after the end."""


class BaseBody:
    """What most bodies share: of unknown length, sent once, not held back."""

    __slots__ = ()

    length: int | None = None
    replayable = False
    held_back = False

    def replay(self) -> Body:
        raise AssertionError("this body cannot be replayed")

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        return None


class BytesBody(BaseBody):
    """A small body in memory; whoever makes one bounds it."""

    __slots__ = ("_left", "data", "length")

    replayable = True

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.length = len(data)
        self._left: bytes | None = data or None

    def replay(self) -> Body:
        return BytesBody(self.data)

    async def __anext__(self) -> bytes:
        data, self._left = self._left, None
        if data is None:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        self._left = None


class FileBody(BaseBody):
    """A byte range of an open file; the server may send it with sendfile.

    It owns its use of the file: `release` is called exactly once, when it ends or is closed.
    ``deadline``: when whoever sends it must stop and abort, on the clock of Env; None: never.
    ``idle``: seconds in which a reader must take something, if that is less than all readers have.
    ``damaged``: the file did not give its bytes. ``sent``: how many bytes were taken so far; who
    sends straight from the file (sendfile) counts here.
    """

    __slots__ = ("_release", "damaged", "deadline", "file", "idle", "length", "offset", "sent")

    def __init__(
        self,
        file: File,
        offset: int,
        length: int,
        release: Callable[[], None],
        deadline: float | None = None,
        idle: float | None = None,
    ) -> None:
        self.file = file
        self.offset = offset
        self.length = length
        self.deadline = deadline
        self.idle = idle
        self.damaged = False
        self.sent = 0
        self._release: Callable[[], None] | None = release

    async def __anext__(self) -> bytes:
        left = (self.length or 0) - self.sent
        if left <= 0:
            self.close()
            raise StopAsyncIteration
        if self._release is None:
            raise BodyAborted(received=self.sent, reason="it was closed")
        return await self.read(min(left, CHUNK_BYTES))

    async def read(self, size: int) -> bytes:
        """The next bytes, at least one. :raises OSError: they cannot be read.
        :raises BodyAborted: the file became shorter."""
        try:
            chunk = await self.file.read_at(self.offset + self.sent, size)
        except OSError as error:
            self.failed(error)
            raise
        if not chunk:
            self.became_shorter()
        self.sent += len(chunk)
        return chunk

    def failed(self, error: OSError) -> None:
        """The bytes could not be read, or not be sent."""
        self.damaged = self.damaged or error.errno in _DAMAGE

    def became_shorter(self) -> NoReturn:
        """:raises BodyAborted: always."""
        self.damaged = True
        self.close()
        raise BodyAborted(received=self.sent, reason="the file became shorter")

    def close(self) -> None:
        """As `aclose`, for callers that cannot wait."""
        release, self._release = self._release, None
        if release is not None:
            release()

    async def aclose(self) -> None:
        self.close()


class StreamBody(BaseBody):
    """Chunks of an async generator, held to the promised length."""

    __slots__ = ("_chunks", "_received", "length")

    def __init__(self, chunks: AsyncGenerator[bytes, None], length: int | None = None) -> None:
        self._chunks = chunks
        self._received = 0
        self.length = length

    async def __anext__(self) -> bytes:
        try:
            chunk = b""
            while not chunk:
                chunk = await anext(self._chunks)
        except StopAsyncIteration:
            if self.length is not None and self._received < self.length:
                raise ShortBody(received=self._received, expected=self.length) from None
            raise
        self._received += len(chunk)
        if self.length is not None and self._received > self.length:
            await self.aclose()
            raise TooLarge(limit=self.length)
        return chunk

    async def aclose(self) -> None:
        await self._chunks.aclose()


class PushBody(BaseBody):
    """A body fed by someone who pushes: a protocol, a tee.

    The feeder calls `push`, then once `finish` or `fail`. `pause` is called when a full window
    waits, `resume` when half of it was taken; `closed` when the reader left before the end.
    """

    __slots__ = ("_chunks", "_closed", "_end", "_paused", "_reader", "_size", "_taken", "length",
                 "on_close", "on_pause", "on_resume", "window")  # fmt: skip

    def __init__(
        self,
        length: int | None = None,
        *,
        window: int = WINDOW_BYTES,
        on_pause: Callable[[], None] = lambda: None,
        on_resume: Callable[[], None] = lambda: None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.length = length
        self.window = window
        self.on_pause = on_pause
        self.on_resume = on_resume
        self.on_close = on_close
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._taken = 0
        self._paused = False
        self._closed = False
        self._end: Exception | None = None
        self._reader: Deferred[None] | None = None

    @property
    def buffered(self) -> int:
        """Bytes that wait to be asked for."""
        return self._size

    @property
    def ended(self) -> bool:
        """Whether `finish` or `fail` was called, or the reader left."""
        return self._end is not None or self._closed

    def push(self, chunk: bytes) -> None:
        """Add bytes; dropped if the reader has left or the body has ended."""
        if self.ended or not chunk:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= self.window and not self._paused:
            self._paused = True
            self.on_pause()
        self._wake()

    def finish(self) -> None:
        """All bytes were pushed."""
        self._stop(StopAsyncIteration())

    def fail(self, error: Exception) -> None:
        """The bytes end early: readers get what came, then the error."""
        self._stop(error)

    def _stop(self, end: Exception) -> None:
        if not self.ended:
            self._end = end
            self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(None)

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._end is not None:
                raise self._end
            await self._wait()
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        self._taken += len(chunk)
        if self._paused and self._size <= self.window // 2:
            self._paused = False
            self.on_resume()
        return chunk

    async def _wait(self) -> None:
        self._reader = Deferred()
        try:
            await self._reader
        finally:
            self._reader = None

    async def aclose(self) -> None:
        left_early = not self.ended or bool(self._chunks)
        self._closed = True
        if left_early:  # for one who still reads, this is no clean end
            self._end = BodyAborted(received=self._taken, reason="it was closed")
        self._chunks.clear()
        self._size = 0
        self._wake()
        if left_early:
            self.on_close()


_is_body: tuple[type[Body], ...] = (BytesBody, FileBody, StreamBody, PushBody)


async def read_all(body: Body, limit: int) -> bytes:
    """All bytes of a body that must be small; the body is closed on every way out.

    :raises TooLarge: it has more than `limit` bytes.
    """
    try:
        if body.length is not None and body.length > limit:
            raise TooLarge(limit=limit)
        chunks: list[bytes] = []
        size = 0
        async for chunk in body:
            size += len(chunk)
            if size > limit:
                raise TooLarge(limit=limit)
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        await body.aclose()
