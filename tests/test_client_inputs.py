"""Inputs: files and pipes are read ahead, and given up without a trace."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.client.inputs import (
    AHEAD_BYTES,
    PIECE_BYTES,
    SHARED_BYTES,
    FileInput,
    PipeInput,
    Pipes,
    ThreadBody,
)
from pigpen.errors import BodyAborted, FileFailed
from pigpen.http.body import Body, StreamBody
from pigpen.testing.env import SimEnv

DATA = bytes(range(256)) * (5 * PIECE_BYTES // 512)


class HeldFile:
    """A file whose reads end when they are told to."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int, Deferred[None]]] = []

    def fileno(self) -> None:
        return None

    def read_now(self, offset: int, size: int) -> None:
        return None

    async def read_at(self, offset: int, size: int) -> bytes:
        go: Deferred[None] = Deferred()
        self.reads.append((offset, size, go))
        await go
        return self.data[offset : offset + size]

    def end(self) -> None:
        self.reads.pop(0)[2].callback(None)


def next_of(body: Body) -> Deferred[bytes]:
    async def read() -> bytes:
        return await anext(body)

    return Deferred.fromCoroutine(read())


class PipeTests(SynchronousTestCase):
    """Streams that can be read once."""

    def setUp(self) -> None:
        self.go: list[Deferred[bytes]] = []

        async def chunks() -> AsyncGenerator[bytes, None]:
            while True:
                self.go.append(Deferred())
                yield await self.go[-1]

        self.stream = StreamBody(chunks())

    def next_at(self, pipe: PipeInput, offset: int) -> Deferred[bytes]:
        body = pipe.body(offset)
        assert body is not None
        return next_of(body)

    def test_cut(self) -> None:
        """A connection that is cut while the source is slow ends neither the source nor a byte."""
        pipe = PipeInput(self.stream)
        first = self.next_at(pipe, 0)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.next_at(pipe, 0)
        self.go[0].callback(b"abc")
        self.assertEqual(self.successResultOf(second), b"abc")
        third = self.next_at(pipe, 3)
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.go[1].callback(b"def")
        self.assertEqual(self.successResultOf(self.next_at(pipe, 3)), b"def")
        self.assertEqual(self.successResultOf(self.next_at(pipe, 1)), b"bc")
        self.assertEqual(len(self.go), 2)

    def test_left(self) -> None:
        """Who has no more use for a source ends its read."""
        pipes = Pipes()
        pipe = pipes.open(self.stream)
        reading = self.next_at(pipe, 0)
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        ended: list[object] = []
        _ = self.go[0].addBoth(ended.append)
        pipes.close(pipe)
        self.assertEqual(len(ended), 1)

    def test_shared(self) -> None:
        """Many pipes at once keep less each, together no more than one alone."""
        pipes = Pipes(1000)
        several = [pipes.open(self.stream) for _ in range(4)]
        self.assertEqual({pipe.keep for pipe in several}, {250})
        pipes.close(several.pop())
        pipes.close(several.pop())
        self.assertEqual({pipe.keep for pipe in several}, {500})
        self.assertEqual(Pipes().open(self.stream).keep, SHARED_BYTES)


class FileInputTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = HeldFile(DATA)

    def body(self, start: int, length: int, offset: int = 0) -> Body:
        body = FileInput(self.file, start, length).body(offset)
        assert body is not None
        return body

    def test_ahead(self) -> None:
        """While one piece is being sent, the next one is read, and no more."""
        body = self.body(0, len(DATA))
        first = next_of(body)
        self.file.end()
        self.assertEqual(self.successResultOf(first), DATA[:PIECE_BYTES])
        self.assertEqual([read[:2] for read in self.file.reads], [(PIECE_BYTES, PIECE_BYTES)])

    def test_part(self) -> None:
        """The rest of a part, to its end and not further."""
        body = self.body(100, PIECE_BYTES + 7, 5)
        pieces = []
        for _ in range(2):
            piece = next_of(body)
            self.file.end()
            pieces.append(self.successResultOf(piece))
        self.assertEqual(b"".join(pieces), DATA[105 : 107 + PIECE_BYTES])
        self.failureResultOf(next_of(body), StopAsyncIteration)
        self.assertEqual(self.file.reads, [])

    def test_shorter(self) -> None:
        """A file that was cut meanwhile is no clean end."""
        self.file.data = b"ab"
        body = self.body(0, 10)
        for expected in (b"ab", None):
            piece = next_of(body)
            self.file.end()
            if expected is not None:
                self.assertEqual(self.successResultOf(piece), expected)
        error = self.failureResultOf(piece, BodyAborted).value
        self.assertIn("shorter", error.message)

    def test_closed(self) -> None:
        """A read that nobody waits for any more may fail in silence."""
        body = self.body(0, len(DATA))
        first = next_of(body)
        self.file.end()
        self.successResultOf(first)
        self.successResultOf(Deferred.fromCoroutine(body.aclose()))
        self.file.reads.pop()[2].errback(OSError(5, "I/O error"))
        self.failureResultOf(next_of(body), StopAsyncIteration)


class ThreadBodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = SimEnv()

    def test_bounded(self) -> None:
        """What is read before it is wanted has a bound, however fast the pipe is."""
        given: list[int] = []

        def read() -> bytes:
            given.append(1)
            return b"x" * (AHEAD_BYTES // 2)

        body = ThreadBody(self.env, read, "pipe")
        for _ in range(10):
            self.env.run(next_of(body))
        self.assertLessEqual(len(given), 12)

    def test_end_and_failure(self) -> None:
        chunks = [b"a", b"b", b""]
        body = ThreadBody(self.env, lambda: chunks.pop(0), "pipe")
        self.assertEqual([self.env.run(next_of(body)) for _ in range(2)], [b"a", b"b"])
        ended = next_of(body)
        self.env.world.clock.advance(1)
        self.failureResultOf(ended, StopAsyncIteration)

        def broken() -> bytes:
            raise OSError(5, "Input/output error")

        body = ThreadBody(self.env, broken, "standard input")
        error = self.assertRaises(FileFailed, self.env.run, next_of(body))
        self.assertIn("standard input", error.message)
