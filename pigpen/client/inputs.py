"""Inputs: what an upload reads, and how far back it can go when a connection was cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from pigpen.env import Env, File
from pigpen.errors import BodyAborted, FileFailed
from pigpen.http.body import BaseBody, Body, BytesBody, PushBody

#: bytes of a pipe that stay in memory after they were sent: more than two sockets hold, so a
#: transfer can go on where the host says it was cut
REPLAY_BYTES = 8 * 1024 * 1024

#: of all pipes that share, together
SHARED_BYTES = 4 * 1024 * 1024

#: of a file, read at a time
PIECE_BYTES = 512 * 1024

#: of a pipe, read before they are asked for
AHEAD_BYTES = 512 * 1024


class Input(Protocol):
    """Bytes to store. ``length``: in all, None if unknown. ``identity``: text that is the same only
    for the same bytes (a file's inode and times), so that a later run may go on; or None."""

    @property
    def length(self) -> int | None: ...

    @property
    def identity(self) -> str | None: ...

    def body(self, offset: int) -> Body | None:
        """The bytes from `offset` to the end; None if they are not at hand any more. A new body
        ends the use of the one before."""


class BytesInput:
    """A few bytes in memory."""

    identity = None

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)

    def body(self, offset: int) -> Body | None:
        return BytesBody(self.data[offset:])


class FileInput:
    """A regular file, or the rest of one: it can be read again from anywhere."""

    def __init__(self, file: File, start: int, length: int, identity: str | None = None) -> None:
        self.file = file
        self.start = start
        self.length = length
        self.identity = identity

    def body(self, offset: int) -> Body | None:
        return _Ahead(self.file, self.start + offset, self.length - offset)


class _Ahead(BaseBody):
    """A part of a file, of which the next piece is read while one is being sent."""

    __slots__ = ("_file", "_left", "_next", "_position", "length")

    def __init__(self, file: File, offset: int, length: int) -> None:
        self.length = length
        self._file = file
        self._position = offset
        self._left = length
        self._next: Deferred[bytes] | None = None

    async def __anext__(self) -> bytes:
        if self._left <= 0:
            raise StopAsyncIteration
        reading, self._next = self._next or self._read(), None
        chunk = await reading
        if not chunk:
            received = (self.length or 0) - self._left
            raise BodyAborted(received=received, reason="the file became shorter")
        self._position += len(chunk)
        self._left -= len(chunk)
        if self._left > 0:
            self._next = self._read()
        return chunk

    def _read(self) -> Deferred[bytes]:
        size = min(self._left, PIECE_BYTES)
        return Deferred.fromCoroutine(self._file.read_at(self._position, size))

    async def aclose(self) -> None:
        self._left = 0
        if self._next is not None:
            _ = self._next.addErrback(lambda _: None)  # nobody wants it any more
            self._next = None


class PipeInput:
    """A stream that can be read once; its last few MiB are kept.

    A read that is under way when its reader is cancelled goes on, and its bytes are kept for the
    next reader: so a connection that is cut loses nothing.
    """

    identity = None

    def __init__(self, stream: Body, keep: int = REPLAY_BYTES) -> None:
        self.length = stream.length
        #: bytes that are kept; fewer are with the next chunk
        self.keep = keep
        self._stream = stream
        self._kept: deque[bytes] = deque()
        #: where the kept bytes begin and end
        self._first = 0
        self._end = 0
        #: why there are no more; the end of the stream is one
        self._stopped: Exception | None = None
        self._reading: Deferred[None] | None = None
        self._waiting: Deferred[None] | None = None

    def body(self, offset: int) -> Body | None:
        if not self._first <= offset <= self._end:
            return None
        return _Replay(self, offset)

    def forget(self) -> None:
        """Read no more, and give the memory of what is kept back now."""
        self._kept.clear()
        self._first = self._end
        if self._reading is not None:
            self._reading.cancel()

    async def read_from(self, offset: int) -> bytes:
        """Some bytes from `offset` on. :raises StopAsyncIteration: there are no more."""
        while offset >= self._end:
            if self._stopped is not None:
                raise self._stopped
            if self._reading is None:
                self._reading = Deferred.fromCoroutine(self._read())
                _ = self._reading.addBoth(self._read_ended)
            if self._reading is not None:
                await self._wait()
        newest = self._kept[-1]
        if offset == self._end - len(newest):
            return newest
        start = self._first
        for chunk in self._kept:
            if offset < start + len(chunk):
                return chunk[offset - start :] if offset > start else chunk
            start += len(chunk)
        raise AssertionError("what was dropped is not asked for again")

    async def _read(self) -> None:
        chunk = await anext(self._stream, b"")
        if not chunk:
            self._stopped = StopAsyncIteration()
            return
        self._kept.append(chunk)
        self._end += len(chunk)
        while self._end - self._first - len(self._kept[0]) > self.keep:
            self._first += len(self._kept.popleft())

    def _read_ended(self, result: Failure | None) -> None:
        self._reading = None
        if isinstance(result, Failure) and isinstance(result.value, Exception):
            self._stopped = result.value
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def _wait(self) -> None:
        self._waiting = Deferred()
        try:
            await self._waiting
        finally:
            self._waiting = None


class Pipes:
    """Pipes that share what they keep: many at once keep less each."""

    def __init__(self, keep: int = SHARED_BYTES) -> None:
        self._keep = keep
        self._open: dict[PipeInput, None] = {}

    def open(self, stream: Body) -> PipeInput:
        """Give it back with `close`."""
        pipe = PipeInput(stream)
        self._open[pipe] = None
        self._share()
        return pipe

    def close(self, pipe: PipeInput) -> None:
        pipe.forget()
        del self._open[pipe]
        self._share()

    def _share(self) -> None:
        for pipe in self._open:
            pipe.keep = self._keep // len(self._open)


class _Replay(BaseBody):
    """A pipe's bytes from an offset; closing it leaves the pipe open."""

    __slots__ = ("_input", "_position")

    def __init__(self, pipe: PipeInput, offset: int) -> None:
        self._input = pipe
        self._position = offset

    async def __anext__(self) -> bytes:
        chunk = await self._input.read_from(self._position)
        self._position += len(chunk)
        return chunk


class ThreadBody(BaseBody):
    """What a blocking function reads, such as ``os.read`` of standard input.

    A read that is under way when its reader is cancelled goes on, and its bytes are kept for the
    next reader: so nothing is lost between two connections.
    """

    __slots__ = ("_env", "_name", "_queue", "_read", "_reading")

    def __init__(self, env: Env, read: Callable[[], bytes], name: str) -> None:
        """:param read: some bytes, empty at the end. :param name: for messages."""
        self._env = env
        self._read = read
        self._name = name
        self._queue = PushBody()
        self._reading = False

    async def __anext__(self) -> bytes:
        if not (self._reading or self._queue.ended) and self._queue.buffered < AHEAD_BYTES:
            self._reading = True
            # the read's own end, not ours: it is not awaited, so our being cancelled leaves it
            _ = self._env.in_thread(self._read).addCallbacks(self._arrived, self._failed)
        return await anext(self._queue)

    def _arrived(self, chunk: bytes) -> None:
        self._reading = False
        if chunk:
            self._queue.push(chunk)
        else:
            self._queue.finish()

    def _failed(self, failure: object) -> None:
        self._reading = False
        error = getattr(failure, "value", None)
        reason = getattr(error, "strerror", None) or "reading failed"
        self._queue.fail(FileFailed(action="read", path=self._name, reason=reason))


_is_input: tuple[type[Input], ...] = (BytesInput, FileInput, PipeInput)
_is_body: type[Body] = ThreadBody
