"""Bodies: four ways out of every stream (finished, failed, closed early, cancelled), and pause.

Nothing here needs a clock: a `PushBody` is fed by hand.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from pigpen.errors import BodyAborted, ConnectionLost, ShortBody, TooLarge
from pigpen.http.body import BytesBody, FileBody, PushBody, StreamBody, read_all
from pigpen.testing import SimEnv
from tests.hypothesis_kit import given, st

chunk_lists = st.lists(st.binary(max_size=20), max_size=8)


async def pieces(body) -> list[bytes]:
    return [chunk async for chunk in body]


async def collect(body) -> bytes:
    return b"".join(await pieces(body))


def run(coroutine) -> Deferred:
    return Deferred.fromCoroutine(coroutine)


class BytesBodyTests(SynchronousTestCase):
    def test_once(self) -> None:
        """The bytes come in one chunk, once; a replay gives them again."""
        body = BytesBody(b"abc")
        self.assertEqual((body.length, body.replayable, body.held_back), (3, True, False))
        self.assertEqual(self.successResultOf(run(collect(body))), b"abc")
        self.assertEqual(self.successResultOf(run(collect(body))), b"")
        self.assertEqual(self.successResultOf(run(collect(body.replay()))), b"abc")

    def test_empty(self) -> None:
        """No bytes, no chunk."""
        self.assertEqual(self.successResultOf(run(collect(BytesBody()))), b"")

    def test_closed(self) -> None:
        """A closed body gives nothing."""
        body = BytesBody(b"abc")
        self.successResultOf(run(body.aclose()))
        self.assertEqual(self.successResultOf(run(collect(body))), b"")


class StreamBodyTests(SynchronousTestCase):
    def make(self, chunks: list[bytes], length: int | None = None) -> StreamBody:
        self.ended = 0

        async def generate() -> AsyncGenerator[bytes, None]:
            try:
                for chunk in chunks:
                    yield chunk
            finally:
                self.ended += 1

        return StreamBody(generate(), length)

    @given(chunk_lists)
    def test_whole(self, chunks: list[bytes]) -> None:
        """All bytes come, in order, with the right length or none; no chunk is empty."""
        data = b"".join(chunks)
        for length in (None, len(data)):
            body = self.make(chunks, length)
            seen = self.successResultOf(run(pieces(body)))
            self.assertEqual(b"".join(seen), data)
            self.assertNotIn(b"", seen)

    @given(chunk_lists, st.integers(1, 10))
    def test_short(self, chunks: list[bytes], missing: int) -> None:
        """Fewer bytes than promised are an error, never a clean end."""
        size = len(b"".join(chunks))
        failure = self.failureResultOf(
            run(collect(self.make(chunks, size + missing))), ShortBody
        ).value
        self.assertEqual(failure.facts, {"received": size, "expected": size + missing})

    @given(chunk_lists, st.integers(0, 10))
    def test_long(self, chunks: list[bytes], length: int) -> None:
        """More bytes than promised are an error, and the source is closed."""
        if len(b"".join(chunks)) > length:
            self.failureResultOf(run(collect(self.make(chunks, length))), TooLarge)
            self.assertEqual(self.ended, 1)

    def test_closed_early(self) -> None:
        """Closing ends the source; again is no harm."""
        body = self.make([b"a", b"b"])
        self.assertEqual(self.successResultOf(run(anext(body))), b"a")
        self.successResultOf(run(body.aclose()))
        self.successResultOf(run(body.aclose()))
        self.assertEqual(self.ended, 1)


class FileBodyTests(SynchronousTestCase):
    def make(self, size: int, offset: int, length: int) -> FileBody:
        self.released = 0
        self.env = SimEnv()
        self.data = self.env.random.randbytes(size)
        self.env.disk.plant_file("/x", self.data)
        self.file = self.env.disk.open_read("/x")
        return FileBody(self.file, offset, length, self.release)

    def release(self) -> None:
        self.released += 1
        self.env.disk.close_read(self.file)

    def test_range(self) -> None:
        """Exactly the range is read, in pieces, and the file is given back once."""
        body = self.make(400_000, 100, 300_000)
        self.assertEqual(self.env.run(collect(body)), self.data[100:300_100])
        self.assertEqual(body.sent, 300_000)
        self.env.run(body.aclose())
        self.assertEqual(self.released, 1)
        self.env.world.assert_clean(collect=False)

    def test_empty(self) -> None:
        """An empty range reads nothing, and gives the file back."""
        self.assertEqual(self.env_run_empty(), (b"", 1))

    def env_run_empty(self) -> tuple[bytes, int]:
        body = self.make(10, 10, 0)
        return self.env.run(collect(body)), self.released

    def test_shorter(self) -> None:
        """A file that became shorter is an error, never a clean end."""
        body = self.make(1000, 0, 2000)
        error = self.assertRaises(BodyAborted, self.env.run, collect(body))
        self.assertEqual((error.facts["received"], self.released), (1000, 1))
        self.assertTrue(body.damaged)

    def test_read_error(self) -> None:
        """A disk error reaches the reader, who closes."""
        body = self.make(1000, 0, 1000)
        self.env.disk.fail_next(OSError(5, "I/O error"), "read")
        self.assertRaises(OSError, self.env.run, read_all(body, 5000))
        self.assertEqual((self.released, body.damaged), (1, True))

    def test_sendfile(self) -> None:
        """Who sends straight from the file counts it here."""
        body = self.make(1000, 0, 1000)
        body.sent = 600
        self.assertEqual(self.env.run(collect(body)), self.data[600:])

    def test_closed_early(self) -> None:
        """Reading on after someone closed is an error, not the end of the file."""
        body = self.make(1000, 0, 1000)
        body.close()
        body.close()
        self.assertEqual(self.released, 1)
        self.assertRaises(BodyAborted, self.env.run, collect(body))


class PushBodyTests(SynchronousTestCase):
    def make(self, window: int = 10) -> PushBody:
        self.calls: list[str] = []
        return PushBody(
            window=window,
            on_pause=lambda: self.calls.append("pause"),
            on_resume=lambda: self.calls.append("resume"),
            on_close=lambda: self.calls.append("close"),
        )

    @given(chunk_lists)
    def test_finished(self, chunks: list[bytes]) -> None:
        """All that was pushed comes in order, whether it was read before or after."""
        for before in (0, len(chunks) // 2, len(chunks)):
            body = self.make()
            for chunk in chunks[:before]:
                body.push(chunk)
            done = run(collect(body))
            for chunk in chunks[before:]:
                body.push(chunk)
            self.assertNoResult(done)
            body.finish()
            self.assertEqual(self.successResultOf(done), b"".join(chunks))
            self.successResultOf(run(body.aclose()))
            self.assertNotIn("close", self.calls)

    def test_failed(self) -> None:
        """A failure comes after the bytes before it, and stays."""
        body = self.make()
        body.push(b"a")
        body.fail(ConnectionLost(peer="p", phase="sending"))
        body.finish()
        body.push(b"late")
        self.assertEqual(self.successResultOf(run(anext(body))), b"a")
        for _ in range(2):
            self.failureResultOf(run(anext(body)), ConnectionLost)
        self.assertTrue(body.ended)

    def test_failed_while_waiting(self) -> None:
        """A waiting reader hears of a failure at once."""
        body = self.make()
        done = run(anext(body))
        body.fail(ConnectionLost(peer="p", phase="sending"))
        self.failureResultOf(done, ConnectionLost)

    def test_closed_early(self) -> None:
        """The feeder hears once that the reader left; later bytes are dropped."""
        body = self.make()
        body.push(b"abc")
        self.successResultOf(run(body.aclose()))
        self.successResultOf(run(body.aclose()))
        body.push(b"d")
        self.assertEqual((self.calls, body.buffered, body.ended), (["close"], 0, True))

    def test_closed_with_bytes_left(self) -> None:
        """A reader who leaves after the feeder finished, but before the end, left early."""
        body = self.make()
        body.push(b"abc")
        body.finish()
        self.successResultOf(run(body.aclose()))
        self.assertEqual(self.calls, ["close"])

    def test_closed_under_a_reader(self) -> None:
        """If someone else closes, a waiting reader never takes that for the end."""
        body = self.make()
        body.push(b"abc")
        done = run(collect(body))
        self.successResultOf(run(body.aclose()))
        error = self.failureResultOf(done, BodyAborted).value
        self.assertEqual(error.facts["received"], 3)

    def test_cancelled(self) -> None:
        """A cancelled wait loses no byte: the next reader gets it."""
        body = self.make()
        done = run(anext(body))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        body.push(b"x")
        self.assertEqual(self.successResultOf(run(anext(body))), b"x")

    def test_window(self) -> None:
        """The feeder is paused at a full window and resumed at half of it, once each."""
        body = self.make(10)
        for size in (3, 3, 3):
            body.push(b"x" * size)
        self.assertEqual(self.calls, [])
        body.push(b"xxx")
        body.push(b"xx")
        self.assertEqual((self.calls, body.buffered), (["pause"], 14))
        for _ in range(2):
            self.successResultOf(run(anext(body)))
        self.assertEqual((self.calls, body.buffered), (["pause"], 8))
        self.successResultOf(run(anext(body)))
        self.assertEqual((self.calls, body.buffered), (["pause", "resume"], 5))
        self.successResultOf(run(anext(body)))
        body.push(b"x" * 20)
        self.assertEqual(self.calls, ["pause", "resume", "pause"])

    def test_push_in_resume(self) -> None:
        """A feeder may push from inside resume, for ever, in constant memory."""
        body = self.make(10)
        left = [b"x" * 10] * 100

        def more() -> None:
            if left:
                body.push(left.pop())
            else:
                body.finish()

        body.on_resume = more
        more()
        self.assertEqual(self.successResultOf(run(collect(body))), b"x" * 1000)


class ReadAllTests(SynchronousTestCase):
    @given(chunk_lists, st.integers(0, 60))
    def test_limit(self, chunks: list[bytes], limit: int) -> None:
        """All bytes up to the limit, else 413; closed on every way out."""
        body = PushBody(window=1000)
        for chunk in chunks:
            body.push(chunk)
        body.finish()
        data = b"".join(chunks)
        done = run(read_all(body, limit))
        if len(data) > limit:
            self.failureResultOf(done, TooLarge)
        else:
            self.assertEqual(self.successResultOf(done), data)
        self.assertEqual(body.buffered, 0)

    def test_announced(self) -> None:
        """A body that announces too much is refused before its first byte."""
        closed: list[int] = []
        body = PushBody(100, on_close=lambda: closed.append(1))
        self.failureResultOf(run(read_all(body, 99)), TooLarge)
        self.assertEqual(closed, [1])

    def test_cancelled(self) -> None:
        """Cancelling closes the body."""
        closed: list[int] = []
        done = run(read_all(PushBody(on_close=lambda: closed.append(1)), 99))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(closed, [1])
